#!/bin/sh
# From a fresh Debian or Ubuntu to words on the screen, without a key: installs what is missing, then
# transcribes a recording of real speech through the local gateway, as each of the two models.
#
#     samples/first_run.sh
#
# May be run again at any time. PYTHON=/path/to/python chooses the interpreter.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/samples/setup.sh"

need_packages portaudio19-dev gcc libc6-dev
choose_python
make_environment "$root/.venv" mic,files,gateway,cli

speech=$root/samples/speech/sense_and_sensibility.wav
for model in reson8 soniox; do
    say "$(basename "$speech"), heard by the local gateway as $model"
    "$root/.venv/bin/slng-sync" transcribe --local --model "$model" "$speech"
done

say "What was really said"
cat "${speech%.wav}.txt"
printf '\nNow into your microphone:  %s listen --local\n' "$root/.venv/bin/slng-sync"
