#!/usr/bin/env bash
# The tests; arguments go to pytest: tools/test.sh -k config
set -euo pipefail
export KAIMESH_FROM="$PWD"
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
./tools/setup.sh test
exec .venv/bin/python -m pytest "$@"
