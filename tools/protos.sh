#!/bin/sh
# Makes the *_pb2*.py files from the .proto files; run tools/protos.sh after a
# change of one. Needs ./tools/setup.sh test.
set -eu
case "${1:-}" in
    -h | --help)
        sed -n '2,/^[^#]/s/^# \?//p' "$0"
        exit
        ;;
esac
cd "$(dirname "$0")/.."
for proto in kaimesh/model_pool/model_pool.proto kaimesh/learner/learner.proto; do
    .venv/bin/python -m grpc_tools.protoc -I . --python_out=. --grpc_python_out=. "$proto"
done
