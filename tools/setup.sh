#!/usr/bin/env bash
# Makes .venv and installs what requirements.lock names. Does nothing where that is done already; the other scripts call it.
# Needs Python 3.11; uses uv where it is installed. Two first starts at the same time take turns.
# A .venv that runs is never removed, whoever made it: others may be using it.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

wanted="$(sha256sum requirements.lock | cut -d' ' -f1)"
stamp=.venv/.requirements.sha256
ready() { [ -x .venv/bin/python ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; }
say() { echo "setup: $*" >&2; }
runs() { "$@" -c '' 2>/dev/null; }
is_311() { "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; }
ready && exit 0

exec 9<requirements.lock
if ! flock --nonblock 9; then
    say "another start is installing; waiting for it"
    flock 9
fi
ready && exit 0

start=$SECONDS
count="$(grep -c '==' requirements.lock)"
if runs .venv/bin/python; then
    is_311 .venv/bin/python || {
        say ".venv has another Python than 3.11, which TensorFlow 2.15 and dm-reverb need. Move it away and run this again."
        exit 1
    }
    made=no
else
    rm -rf .venv # what an interrupted start left
    made=yes
fi

if command -v uv >/dev/null; then
    say "installing $count packages into .venv with uv (the first time: a minute or two)"
    [ $made = no ] || uv venv --quiet --python 3.11 .venv
    uv pip install --quiet --python .venv/bin/python --no-deps -r requirements.lock
else
    if [ $made = yes ]; then
        python="$(command -v python3.11 || command -v python3 || true)"
        if [ -z "$python" ] || ! is_311 "$python"; then
            say "Python 3.11 is needed (TensorFlow 2.15 and dm-reverb have no other), but found: ${python:-none}."
            say "Install it (Debian 12: apt install python3; elsewhere: uv, pyenv or conda) and run this again."
            exit 1
        fi
        "$python" -m venv --without-pip .venv
    fi
    say "installing $count packages into .venv with pip (the first time: some minutes; uv is faster)"
    if ! .venv/bin/python -c 'import pip' 2>/dev/null && ! .venv/bin/python -m ensurepip --default-pip >/dev/null 2>&1; then
        # Debian keeps ensurepip in python3-venv. pip's wheel is a program that can install itself.
        say "this Python has no ensurepip; fetching pip from ${PIP_INDEX_URL:-https://pypi.org/simple}"
        .venv/bin/python tools/fetch_pip.py
    fi
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.lock
fi
echo "$wanted" >"$stamp"
say "done in $((SECONDS - start)) s"
