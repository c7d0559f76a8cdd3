#!/usr/bin/env bash
# The mesh in containers: tools/cluster.sh up | down | status | scale N | logs | kill SERVICE | upgrade
set -euo pipefail
export KAIMESH_FROM="$PWD"
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
./tools/setup.sh
exec .venv/bin/python -m kaimesh.operate.cluster.tool "$@"
