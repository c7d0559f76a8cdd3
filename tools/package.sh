#!/usr/bin/env bash
# Makes a package of a folder of agents, or looks at one: tools/package.sh --help
set -euo pipefail
export KAIMESH_FROM="$PWD"
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
./tools/setup.sh
exec .venv/bin/python -m kaimesh.operate.package "$@"
