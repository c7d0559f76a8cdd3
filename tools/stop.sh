#!/usr/bin/env bash
# Stops the mesh, or one kind of its processes: tools/stop.sh all, or KIND, one of those that tools/status.sh shows
set -euo pipefail
export KAIMESH_FROM="$PWD"
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
./tools/setup.sh
exec .venv/bin/python -m kaimesh.operate.cli stop "$@"
