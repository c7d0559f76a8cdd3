"""The overlay: a copy of the user's folder in the run's directory, which processes work in, so that none writes into
the folder itself.

Small files are copied. What lies in ckpt/, log/ or train/, and every file above 1 MB, is a link to the user's file; one
that is written is copied first (kaimesh/config/code/paths). What agents make stays in the overlay.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from kaimesh.config.code.paths import literally

FOLDER = "code"  # in a run's directory
_LINKED = ("ckpt", "log", "train")
_MOST_COPIED = 1 << 20
_MOST_READ = 64 << 20
_SKIPPED = (".git", "__pycache__")


def make(root: Path, overlay: Path) -> None:
    """Makes the overlay of the folder `root`, or brings it up to date: what the folder has replaces what is there, and
    what agents made stays. Raises OSError.
    """
    overlay.mkdir(parents=True, exist_ok=True)
    for path, info in files(root):
        place = overlay / path.relative_to(root)
        if stat.S_ISDIR(info.st_mode):
            if place.is_symlink() or place.is_file():
                place.unlink()
            place.mkdir(exist_ok=True)
            continue
        if not stat.S_ISREG(info.st_mode) or path.name in _SKIPPED:
            continue
        if os.path.lexists(place):
            if place.is_dir() and not place.is_symlink():
                shutil.rmtree(place)
            else:
                place.unlink()
        if info.st_size > _MOST_COPIED or path.relative_to(root).parts[0] in _LINKED:
            place.symlink_to(os.path.realpath(path))
        else:
            shutil.copyfile(path, place)
            os.chmod(place, stat.S_IMODE(info.st_mode) | stat.S_IWUSR)


def digest(root: Path) -> str:
    """The SHA-256 of the folder's files: their names, and what is in them; of one above 64 MB its size and time of
    change. `.git` is left out.
    """
    whole = hashlib.sha256()
    with literally():
        for path, info in files(root, skipped=(".git",)):
            kind = "d" if stat.S_ISDIR(info.st_mode) else "f"
            whole.update(f"{kind} {path.relative_to(root)}\0".encode(errors="surrogateescape"))
            if not stat.S_ISREG(info.st_mode):
                continue
            if info.st_size > _MOST_READ:
                whole.update(f"{info.st_size} {info.st_mtime_ns}\0".encode())
                continue
            with path.open("rb") as file:
                whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()


def files(root: Path, skipped: tuple[str, ...] = _SKIPPED) -> Iterator[tuple[Path, os.stat_result]]:
    """Every folder and file below `root`, folders before what is in them, in the order of their names; what links lead
    to counts as being there, but links to folders are not followed out of `root`.
    """
    names = sorted(os.listdir(root))
    for name in names:
        path = root / name
        if name in skipped:
            continue
        try:
            info = path.stat()
        except OSError:  # a link that leads nowhere
            continue
        if stat.S_ISDIR(info.st_mode):
            if path.is_symlink():
                continue
            yield path, info
            yield from files(path, skipped)
        else:
            yield path, info
