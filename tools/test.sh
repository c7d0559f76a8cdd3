#!/usr/bin/env bash
# The tests.
#   tools/test.sh               all but what takes many minutes, on as many
#                               cores as there are, four at most
#   tools/test.sh quick [...]   of these, what starts no mesh and no training;
#                               further words go to pytest
#   tools/test.sh ...           any other words go to pytest, in one process:
#                               tools/test.sh -k config, tools/test.sh -m long
# Which tests start a mesh, and which share a worker: see tests/conftest.py.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
parallel=(-n auto --maxprocesses 4)
case "${1:-}" in
    -h | --help)
        sed -n '2,/^[^#]/s/^# \?//p' tools/test.sh
        exit
        ;;
    "") set -- "${parallel[@]}" ;;
    quick)
        shift
        set -- "${parallel[@]}" -m "not long and not mesh and not learning" "$@"
        ;;
esac
./tools/setup.sh test
unset PYTHONDONTWRITEBYTECODE # hundreds of processes would compile TensorFlow's Python anew: 11 CPU seconds, not 4
exec .venv/bin/python -m pytest "$@"
