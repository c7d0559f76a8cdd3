"""Restores a run's directory when a start fails half-way."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kaimesh.process import documents
from kaimesh.process.run_dir import RunDir


class Undo:
    """Remembers conf.toml, mesh.json, result.json and the link `latest`.

    Calling it restores them, or removes a new run.
    """

    def __init__(self, run: RunDir, *, new: bool) -> None:
        self._run, self._new, self._link = run, new, run.root.parent / "latest"
        self._latest = os.readlink(self._link) if self._link.is_symlink() else None
        files = () if new else (run.conf, run.mesh, run.result)
        self._before: dict[Path, bytes | None] = {}
        for path in files:
            with suppress(OSError, ValueError):  # what cannot be read cannot be restored
                self._before[path] = documents.read_bytes(path) if os.path.lexists(path) else None

    def __call__(self) -> None:
        """Never raises: where the disk refuses the old content, it had refused the new content, too."""
        self._put_back_the_link()
        if self._new:
            shutil.rmtree(self._run.root, ignore_errors=True)
            return
        result = self._before.get(self._run.result)
        for renamed in self._run.root.glob("result-*.json"):
            with suppress(OSError, ValueError):
                if result is not None and documents.read_bytes(renamed) == result:
                    renamed.unlink()
        for path, content in self._before.items():
            with suppress(OSError):
                if content is None:
                    path.unlink(missing_ok=True)
                else:
                    documents.write_bytes(path, content)

    def _put_back_the_link(self) -> None:
        with suppress(OSError):
            if self._link.is_symlink() and os.readlink(self._link) != self._latest:
                self._link.unlink()
                if self._latest is not None:
                    self._link.symlink_to(self._latest)


@contextmanager
def undone_by_signals() -> Iterator[None]:
    """Makes SIGTERM and SIGHUP raise SystemExit, as Ctrl-C raises, so that a start that is ended is undone."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    with _handled({number: end for number in (signal.SIGTERM, signal.SIGHUP) if _ends_us(number)}):
        yield


def _ends_us(number: int) -> bool:
    return signal.getsignal(number) is signal.SIG_DFL


@contextmanager
def in_peace() -> Iterator[None]:
    """Ignores Ctrl-C, SIGTERM and SIGHUP: a second Ctrl-C while files are restored would leave half of them."""
    with _handled(dict.fromkeys((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), signal.SIG_IGN)):
        yield


@contextmanager
def _handled(handlers: Mapping[signal.Signals, Any]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
