#!/usr/bin/env bash
# Plays episodes with a trained model: tools/evaluate.sh --help
set -euo pipefail
export KAIMESH_FROM="$PWD"
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
./tools/setup.sh
exec .venv/bin/python -m kaimesh.arena.evaluate "$@"
