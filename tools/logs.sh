#!/usr/bin/env bash
# The processes' logs: tools/logs.sh [process] [-f]
set -euo pipefail
export KAIMESH_FROM="$PWD"
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
./tools/setup.sh
exec .venv/bin/python -m kaimesh.operate.cli logs "$@"
