"""The numbers of a process that outlive a kill: a small file, written in place, which its next life reads.

The status file is a second old when a process is killed. What is written here is in the kernel's hands at once, so that
SIGKILL cannot undo it; a power cut can (there is no fsync).
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path

from kaimesh.process.documents import read_bytes

_BYTES = 4096  # of the file: one page, which one write replaces as a whole
_RETRY_S = 1.0
_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode  # made once: `dumps` would make it each time


class Kept:
    """The file at `path`; None: nothing is kept. found: what the former life wrote; {}: nothing, or it is damaged.

    On a disk that is full or fails, nothing is kept, with a warning; it is tried again each second.
    """

    def __init__(self, path: Path | None, logger: logging.Logger) -> None:
        self._path, self._log = path, logger
        self.found: dict[str, float] = {} if path is None else _read(path, logger)
        self._file: int | None = None
        self._written, self._length = b"", 0
        self._failed_at: float | None = None

    def write(self, numbers: Mapping[str, float]) -> None:
        """Replaces what is kept, if it changed; some microseconds. Never raises."""
        now = time.monotonic()
        if self._path is None or (self._failed_at is not None and now - self._failed_at < _RETRY_S):
            return
        text = _encode(numbers).encode()
        if text == self._written or len(text) > _BYTES:
            return
        try:
            if self._file is None:
                self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
                self._length = min(os.fstat(self._file).st_size, _BYTES)
                os.truncate(self._file, self._length)  # a damaged one may be longer
            self._length = max(self._length, len(text))
            os.pwrite(self._file, text.ljust(self._length), 0)  # blanks over what is longer there
            self._written, self._failed_at = text, None
        except OSError as error:
            if self._failed_at is None:
                self._log.warning(
                    "%s cannot be written (%s): after a kill, the counters of samples go on from the status file, "
                    "which is up to a second old. Free some space, or mend the disk.", self._path, error.strerror,
                )  # fmt: skip
            self._failed_at, self._written = now, b""
            self.close()
            with contextlib.suppress(OSError):
                self._path.unlink()  # old numbers would stand in the place of newer ones

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _read(path: Path, logger: logging.Logger) -> dict[str, float]:
    try:
        data = json.loads(read_bytes(path))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        logger.warning("%s is damaged (%s); the counters go on from the status file", path, error)
        return {}
    numbers = data.items() if isinstance(data, dict) else ()
    return {name: value for name, value in numbers if type(value) in (int, float) and math.isfinite(value)}
