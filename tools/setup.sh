#!/usr/bin/env bash
# Makes .venv and installs into it what the locks in requirements/ name:
#   tools/setup.sh [test] [torch]
#   run     what the mesh needs to run; always there, so that the other scripts
#           call this one
#   gpu     the same with TensorFlow's CUDA build, in place of run: KAIMESH_GPU=1;
#           it stays until KAIMESH_GPU=0
#   test    what tests, lint and types need beside it
#   torch   PyTorch with CUDA libraries of its own, for agents that want it; not
#           beside gpu, which has the same files
# Does nothing where that is done already. Needs Python 3.11; uses uv where it is
# installed. First starts take turns. A .venv that runs is never removed, whoever
# made it: others may be using it.
set -euo pipefail
case "${1:-}" in
    -h | --help)
        sed -n '2,/^[^#]/s/^# \?//p' "$0"
        exit
        ;;
esac
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

# A line for each set: the SHA-256 of the lock that it was installed from, else "unfinished" or "leaving", and its name.
state=.venv/.kaimesh-sets
say() { echo "setup: $*" >&2; }
runs() { "$@" -c '' 2>/dev/null; }
is_311() { "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; }
lock() { echo "requirements/$1.lock"; }
hash_of() { sha256sum "$(lock "$1")" | cut -d' ' -f1; }
holds() { grep -q "$1$" "$state" 2>/dev/null; } # a line that ends so
names() { sed -n 's/^\([A-Za-z0-9._-]*\).*==.*/\1/p' "$(lock "$1")"; }
ready() {
    [ -x .venv/bin/python ] || return
    for name in "${sets[@]}"; do holds "^$(hash_of "$name") $name" || return; done
}
# What stands before a set's name from now on; "": the set is gone.
becomes() {
    { grep -v " $1$" "$state" 2>/dev/null || true; [ -z "$2" ] || echo "$2 $1"; } >"$state.new"
    mv "$state.new" "$state"
}
# What an interrupted start left of a package counts as absent, and is written over. INSTALLER is written last.
forget_halves() {
    for info in .venv/lib/python3.11/site-packages/*.dist-info; do
        [ -e "$info/INSTALLER" ] || rm -rf "$info"
    done
}

base=run other=gpu
case "${KAIMESH_GPU:-}" in
"") ! holds " gpu" || holds "leaving gpu" || base=gpu other=run ;;
1) base=gpu other=run ;;
0) ;;
*)
    say "KAIMESH_GPU=$KAIMESH_GPU is neither 1 nor 0; nothing was installed."
    say "Say 1 for TensorFlow's CUDA build, 0 for the CPU's."
    exit 1
    ;;
esac
sets=("$base")
for name in "$@"; do
    case "$name" in
    test | torch) sets+=("$name") ;;
    *)
        say "there is no set $name to add; nothing was installed. Name test or torch; KAIMESH_GPU=1 is for a GPU."
        exit 1
        ;;
    esac
done
if [ $base = gpu ] && { [[ " ${sets[*]} " = *" torch "* ]] || holds " torch"; }; then
    say "gpu and torch cannot share a .venv: their CUDA libraries overwrite each other. Nothing was installed."
    say "For PyTorch, with CUDA of its own: KAIMESH_GPU=0 ./tools/setup.sh torch. For TensorFlow's: move .venv away first."
    exit 1
fi
ready && exit 0

exec 9<"$(lock run)"
if ! flock --nonblock 9; then
    say "another start is installing; waiting for it"
    flock 9
fi
ready && exit 0

start=$SECONDS
if runs .venv/bin/python; then
    is_311 .venv/bin/python || {
        say ".venv has another Python than 3.11, which TensorFlow 2.15 and dm-reverb need; nothing was installed."
        say "Move it away and run this again."
        exit 1
    }
    made=no
else
    rm -rf .venv # what an interrupted start left
    made=yes
fi

if command -v uv >/dev/null; then
    [ $made = no ] || uv venv --quiet --python 3.11 .venv
    pip() { uv pip "$1" --quiet --python .venv/bin/python "${@:2}"; }
    with=uv yes="" fast=""
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
    if ! .venv/bin/python -c 'import pip' 2>/dev/null \
        && ! .venv/bin/python -m ensurepip --default-pip >/dev/null 2>&1; then
        # Debian keeps ensurepip in python3-venv. pip's wheel is a program that can install itself.
        say "this Python has no ensurepip; fetching pip from the package index"
        .venv/bin/python tools/fetch_pip.py
    fi
    pip() { .venv/bin/python -m pip "$1" --quiet --disable-pip-version-check "${@:2}"; }
    with="pip (uv is faster)" yes=--yes fast=--no-compile # the bytecode of what is imported is made below, as after uv
fi

files=() count=0
for name in "${sets[@]}"; do
    ! holds "unfinished $name" || forget_halves
    becomes "$name" unfinished
    files+=(-r "$(lock "$name")")
    count=$((count + $(grep -c '==' "$(lock "$name")")))
done
say "installing $count packages of ${sets[*]/%/.lock} into .venv with $with (the first time: a minute or two)"
if holds " $other"; then # both TensorFlows have the same files, so the one goes before the other comes
    becomes "$other" leaving
    # shellcheck disable=SC2046,SC2086 # names of packages
    pip uninstall $yes $(comm -23 <(names "$other" | sort) <(names "$base" | sort))
    becomes "$other" ""
fi
# shellcheck disable=SC2086 # empty, or one word
pip install $fast --no-deps --require-hashes "${files[@]}"
# Made once, and not by every process of the first start, nor at each start where PYTHONDONTWRITEBYTECODE is set.
if [ -d .venv/lib/python3.11/site-packages/tensorflow ]; then
    say "making the bytecode of what the processes import"
    env -u PYTHONDONTWRITEBYTECODE TF_CPP_MIN_LOG_LEVEL=3 .venv/bin/python -c 'import gymnasium, grpc, pydantic, reverb'
fi
for name in "${sets[@]}"; do becomes "$name" "$(hash_of "$name")"; done
say "done in $((SECONDS - start)) s"
