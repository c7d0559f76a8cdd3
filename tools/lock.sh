#!/usr/bin/env bash
# Makes requirements/*.lock anew from pyproject.toml and requirements/gpu.*; needs
# uv. What a lock pins stays as it is, unless asked for:
#   tools/lock.sh --upgrade-package NAME
set -euo pipefail
case "${1:-}" in
    -h | --help)
        sed -n '2,/^[^#]/s/^# \?//p' "$0"
        exit
        ;;
esac
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../requirements"
export UV_CUSTOM_COMPILE_COMMAND=tools/lock.sh

resolve() { # resolve NAME ARGUMENTS...: into NAME.lock
    local name=$1
    shift
    uv pip compile --quiet --no-header --python-version 3.11 --generate-hashes -o "$name.lock" ../pyproject.toml "$@"
    { echo "# $name.lock: ${about[$name]}. Made by tools/lock.sh; do not edit."; cat "$name.lock"; } >"$name.new"
    mv "$name.new" "$name.lock"
}

declare -A about=(
    [run]="what the mesh needs to run"
    [gpu]="run.lock with TensorFlow's CUDA build in place of tensorflow-cpu"
    [test]="what tests, lint and types need beside run.lock"
    [torch]="PyTorch, for agents that want it, beside run.lock"
)
resolve run "$@"
beside=(--constraints run.lock)
for package in $(sed -n 's/^\([A-Za-z0-9._-]*\).*==.*/\1/p' run.lock); do beside+=(--no-emit-package "$package"); done
resolve test --extra test "${beside[@]}" "$@"
resolve torch --extra torch "${beside[@]}" "$@"
resolve gpu gpu.in --constraints run.lock --overrides gpu.overrides "$@"
