#!/bin/sh
# Measures slng_sync against what people would use instead, in one run on one machine.
#
#     tests/benchmarks/run.sh                    the main table, then start-up, idling and growth: ten minutes
#     tests/benchmarks/run.sh --sessions 500     one table of your own; the arguments go to compare.py
#
# Leave the machine alone meanwhile. PYTHON=/path/to/python chooses the interpreter, 3.10 or later.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/samples/setup.sh"
choose_python
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    fail "The clients that are compared want Python 3.10 or later, not $python."
venv=$root/.venv-bench
make_environment "$venv" bench
cd "$root/tests/benchmarks"
if [ $# -gt 0 ]; then
    exec "$venv/bin/python" compare.py "$@"
fi
"$venv/bin/python" compare.py
"$venv/bin/python" light.py
"$venv/bin/python" growth.py
