#!/usr/bin/env bash
# Starts the mesh that conf/configure_app.toml describes and shows its progress: tools/start.sh --help
set -euo pipefail
export KAIMESH_FROM="$PWD"
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
./tools/setup.sh
exec .venv/bin/python -m kaimesh.operate.cli start "$@"
