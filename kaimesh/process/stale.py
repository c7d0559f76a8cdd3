"""Code that numba compiled and kept, though a source that it was made of has changed."""

from __future__ import annotations

from pathlib import Path


def forget_stale_code(folder: Path) -> None:
    """Removes numba's compiled files that are older than any source in the package `folder`. To be called when it is
    imported: numba itself compares each file with its own source only, though constants and functions of the others are
    compiled into it.
    """
    newest = max(source.stat().st_mtime for source in folder.glob("*.py"))
    for index in (folder / "__pycache__").glob("*.nbi"):
        try:
            if index.stat().st_mtime < newest:
                index.unlink()
        except FileNotFoundError:  # another process was faster
            continue
