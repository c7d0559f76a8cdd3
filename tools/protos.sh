#!/bin/sh
# Makes the *_pb2*.py files from the .proto files; run it after a change of one. Needs ./tools/setup.sh test.
set -eu
cd "$(dirname "$0")/.."
for proto in kaimesh/model_pool/model_pool.proto kaimesh/learner/learner.proto; do
    .venv/bin/python -m grpc_tools.protoc -I . --python_out=. --grpc_python_out=. "$proto"
done
