#!/usr/bin/env bash
# Restarts one kind of processes of the running mesh: tools/restart.sh KIND, one of those that tools/status.sh shows
set -euo pipefail
export KAIMESH_FROM="$PWD"
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
./tools/setup.sh
exec .venv/bin/python -m kaimesh.operate.cli restart "$@"
