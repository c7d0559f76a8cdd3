#!/usr/bin/env bash
# Makes .venv and installs what requirements.lock names. Does nothing where that is done already; the other scripts call it.
# Needs Python 3.11; uses uv where it is installed. Two first starts at the same time take turns.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

wanted="$(sha256sum requirements.lock | cut -d' ' -f1)"
stamp=.venv/.requirements.sha256
ready() { [ -x .venv/bin/python ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; }
say() { echo "setup: $*" >&2; }
ready && exit 0

exec 9<requirements.lock
if ! flock --nonblock 9; then
    say "another start is installing; waiting for it"
    flock 9
fi
ready && exit 0

start=$SECONDS
if command -v uv >/dev/null; then
    say "installing $(grep -c '==' requirements.lock) packages into .venv with uv (the first time: a minute or two)"
    if ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
        rm -rf .venv
        uv venv --quiet --python 3.11 .venv || { say "uv found no Python 3.11; install it (uv python install 3.11)"; exit 1; }
    fi
    uv pip install --quiet --python .venv/bin/python --no-deps -r requirements.lock
else
    python="$(command -v python3.11 || command -v python3 || true)"
    if [ -z "$python" ] || ! "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
        say "Python 3.11 is needed (TensorFlow 2.15 and dm-reverb have no other), but found: ${python:-none}."
        say "Install it (Debian 12: apt install python3; elsewhere: uv, pyenv or conda) and run this again."
        exit 1
    fi
    say "installing $(grep -c '==' requirements.lock) packages into .venv with pip (the first time: some minutes; uv is faster)"
    if ! .venv/bin/python -c 'import pip, sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
        rm -rf .venv
        if ! "$python" -c 'import ensurepip' 2>/dev/null; then
            # Debian's python3 has no ensurepip (it is in python3-venv). pip's wheel is a program that can install itself.
            say "this Python has no ensurepip; fetching pip from ${PIP_INDEX_URL:-https://pypi.org/simple}"
            "$python" -m venv --without-pip .venv
            .venv/bin/python tools/fetch_pip.py
        else
            "$python" -m venv .venv
        fi
    fi
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.lock
fi
echo "$wanted" >"$stamp"
say "done in $((SECONDS - start)) s"
