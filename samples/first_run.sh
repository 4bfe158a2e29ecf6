#!/bin/sh
# Install everything on a fresh Debian or Ubuntu and transcribe a recording of real speech, without an API key.
# The local gateway transcribes it twice, once with the protocol of each model.
#
#     samples/first_run.sh
#
# Can be run again at any time. PYTHON=/path/to/python chooses the interpreter.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/samples/setup.sh"

need_packages portaudio19-dev gcc libc6-dev
choose_python
make_environment "$root/.venv" mic,files,gateway,cli

speech=$root/samples/speech/sense_and_sensibility.wav
for model in reson8 soniox; do
    say "$(basename "$speech"), transcribed by the local gateway as $model"
    "$root/.venv/bin/slng-sync" transcribe --local --model "$model" "$speech"
done

say "What the speaker said"
cat "${speech%.wav}.txt"
printf '\nNow try your microphone:  %s listen --local\n' "$root/.venv/bin/slng-sync"
