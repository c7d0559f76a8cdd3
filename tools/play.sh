#!/usr/bin/env bash
# You play an environment in this terminal: tools/play.sh --help
set -euo pipefail
export KAIMESH_FROM="$PWD"
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
./tools/setup.sh
exec .venv/bin/python -m kaimesh.arena.terminal "$@"
