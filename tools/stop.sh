#!/usr/bin/env bash
# Stops the mesh, or one kind of its processes: tools/stop.sh all | buffer | learner | actor | model_pool | aisrv
set -euo pipefail
export KAIMESH_FROM="$PWD"
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
./tools/setup.sh
exec .venv/bin/python -m kaimesh.operate.cli stop "$@"
