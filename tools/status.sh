#!/usr/bin/env bash
# What each process does and waits for: tools/status.sh [--json | --watch]
set -euo pipefail
export KAIMESH_FROM="$PWD"
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
./tools/setup.sh
exec .venv/bin/python -m kaimesh.operate.cli status "$@"
