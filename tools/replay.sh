#!/usr/bin/env bash
# Plays a recorded episode again, as a GIF, an MP4 or a page: tools/replay.sh --help
set -euo pipefail
export KAIMESH_FROM="$PWD"
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
./tools/setup.sh
exec .venv/bin/python -m kaimesh.arena.replay "$@"
