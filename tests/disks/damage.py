"""What a power cut, a failing disk or a person leaves of a file."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

Damage = Callable[[Path], None]


def _writes(content: bytes) -> Damage:
    def damage(path: Path) -> None:
        path.write_bytes(content)

    return damage


def _as_json(value: Any) -> Damage:
    return _writes(json.dumps(value).encode())


def half(path: Path) -> None:
    """The first half of what was there."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def nested(path: Path) -> None:
    """Valid JSON with the right keys, each holding something else."""
    try:
        keys = list(json.loads(path.read_bytes()))
    except (ValueError, UnicodeDecodeError):
        keys = []
    path.write_text(json.dumps({key: [{"x": [None]}] for key in keys}))


def folder(path: Path) -> None:
    """A folder in its place."""
    path.unlink()
    path.mkdir()
    (path / "x").touch()


def pipe(path: Path) -> None:
    """A pipe in its place, which a naive reader waits for without end."""
    path.unlink()
    os.mkfifo(path)


def dangling(path: Path) -> None:
    """A link to itself."""
    path.unlink()
    path.symlink_to(path)


KINDS: dict[str, Damage] = {
    "empty": _writes(b""),
    "zeros": _writes(b"\0" * 4096),
    "half": half,
    "garbage": _writes(bytes(range(256)) * 16),
    "not UTF-8": _writes(b'{"state": "\xff\xfe"}'),
    "list": _as_json([1, 2]),
    "null": _as_json(None),
    "number": _as_json(-1),
    "text": _as_json("running"),
    "other object": _as_json({"a": 1}),
    "nested": nested,
    "deep": _writes(b"[" * 100_000),
    "huge numbers": _writes(b'{"pid": 1e999, "time": 1e400, "counters": {"env_steps": 9' + b"9" * 400 + b"}}"),
    "folder": folder,
    "pipe": pipe,
    "link to itself": dangling,
    "gone": lambda path: path.unlink(),
}


def of_ours(run: Path) -> list[Path]:
    """Every small file of a run that some process or command reads."""
    named = ("mesh.json", "result.json", "history.jsonl", "token", "supervisord.pid", "supervisord.conf")
    return sorted([*(run / name for name in named), *run.glob("status/*.json")])


def restore(path: Path, content: bytes) -> None:
    """Undoes any of these."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()
    path.write_bytes(content)
