#!/bin/sh
# Everything that is checked, in one go: style, types, the whole test suite with its coverage.
#
#     tests/run.sh                   installs what is missing, then checks everything
#     tests/run.sh -k reconnect      the same; the arguments go to pytest
#     tests/run.sh --tox             also the core of the suite on the oldest and the newest Python
#
# May be run again at any time. PYTHON=/path/to/python chooses the interpreter.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/samples/setup.sh"

with_tox=
if [ "${1:-}" = --tox ]; then
    with_tox=1
    shift
fi

need_packages portaudio19-dev gcc libc6-dev \
    pulseaudio pulseaudio-utils libasound2-plugins flite pocketsphinx-testdata xvfb python3-tk
for program in gcc pulseaudio pactl paplay flite; do
    command -v "$program" >/dev/null 2>&1 || fail "The tests need the program $program."
done
recordings=/usr/share/pocketsphinx/test/data/librivox
[ -d "$recordings" ] || fail "The tests need the recordings of Debian's pocketsphinx-testdata in $recordings."
choose_python
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    fail "The type checker needs Python 3.10 or later, not $python; PYTHON=/path/to/python names one."
venv=$root/.venv-test
make_environment "$venv" dev
cd "$root"

failed=
# check TITLE COMMAND...: goes on after a failure, so that one run tells everything.
check() {
    title=$1
    shift
    say "$title"
    "$@" || failed="$failed${failed:+, }$title"
}

# begin NAME COMMAND...: in the background, what it says into a file; `end NAME` waits for it and shows that.
begin() {
    name=$1
    shift
    "$@" >"$logs/$name" 2>&1 &
    eval "job_$name=$!"
}

end() {
    result=0
    eval "wait \"\$job_$1\"" || result=$?
    cat "$logs/$1"
    return "$result"
}

# core_on VERSION...: one after the other.
core_on() (
    environments=
    for version in "$@"; do
        # pyenv's own command of that name may stand for a Python that is not switched on.
        bin=$(ls -d "${PYENV_ROOT:-${HOME:-/root}/.pyenv}/versions/$version".*/bin 2>/dev/null | tail -n 1)
        PATH=$bin${bin:+:}$PATH
        if "python$version" -c '' 2>/dev/null; then
            environments=$environments${environments:+,}py$(echo "$version" | tr -d .)
        else
            echo "There is no Python $version on this machine: its run is left out."
        fi
    done
    [ -z "$environments" ] || "$venv/bin/tox" run -q --skip-missing-interpreters false -e "$environments"
)

pytest() {
    "$venv/bin/python" -X dev -W error -m coverage run -m pytest "$@"
}

covered() {
    "$venv/bin/coverage" combine -q && "$venv/bin/coverage" report
}

rm -f .coverage .coverage.*
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
# Side by side, as tests wait more than they compute.
[ -z "$with_tox" ] || begin core core_on 3.8 3.13
[ $# -gt 0 ] || begin slow pytest -m slow
check "Style" "$venv/bin/ruff" check
check "Format" "$venv/bin/ruff" format --check
check "Types" "$venv/bin/mypy" --strict
if [ $# -gt 0 ]; then
    check "Tests" pytest "$@"
else
    check "Tests: the core" pytest -m "not slow"
    check "Tests: those that take long" end slow
fi
check "Coverage" covered
[ -z "$with_tox" ] || check "The core of the tests on Python 3.8 and 3.13" end core
[ -z "$failed" ] || fail "Failed: $failed."
say "All is well."
