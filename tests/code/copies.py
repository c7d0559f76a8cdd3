"""Copies of the agent folders in tests/code/folders, with changes, and short trainings from them."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests.forks import HEAVY

FOLDERS = Path(__file__).parent / "folders"
TRAIN_S = 240.0  # a machine may be slow


class Change(NamedTuple):
    """In `file`, `old` becomes `new`. old "": the file is written anew. new None: the file is removed."""

    file: str
    old: str
    new: str | None

    def make(self, root: Path) -> None:
        """Changes the folder `root`."""
        path = root / self.file
        if self.new is None:
            path.unlink()
        elif not self.old:
            path.write_text(self.new)
        else:
            text = path.read_text()
            assert self.old in text, f"{self.file} has no {self.old!r}"
            path.write_text(text.replace(self.old, self.new))


def copy(name: str, target: Path, *changes: Change) -> Path:
    """A copy of the folder `name` at `target`, with these changes."""
    shutil.copytree(FOLDERS / name, target, ignore=shutil.ignore_patterns("__pycache__"))
    for change in changes:
        change.make(target)
    return target


def digest(root: Path) -> dict[str, str]:
    """The SHA-256 of every file of a folder, and "" for each folder in it, by name."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(root.rglob("*"))
    }


def train(root: Path, runs: Path, settings: Mapping[str, object], *words: str) -> subprocess.CompletedProcess[str]:
    """`train_test.py --code ROOT` with keys of the configuration; its run is `runs`/train_test."""
    keys = {"runs_dir": runs, **settings}
    flags = [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return HEAVY.run(["train_test.py", "--code", str(root), *flags, *words], env=environ, timeout_s=TRAIN_S)
