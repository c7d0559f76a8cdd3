"""Runs supervisord with three changes: `python -m kaimesh.operate.local.supervisord -c <conf>`.

A full disk does not end it. Its own log handler prints an error to stderr when it cannot write; if stderr lies on the
same full disk, that print raises an exception which ends supervisord and with it the mesh. Here the log line is lost,
or written later; the keeper reports the full disk.

It measures with a clock that nobody sets. It would kill a process that is still ending at once when the machine's clock
is set forward.

Values of its configuration are read literally. They hold paths, in which supervisord would expand every `%`, some of
them twice, and take what comes after ` #` or ` ;` for a comment.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, TextIO

from supervisor import loggers, options, process, rpcinterface, supervisord

from kaimesh.process.clocks import SteadyClock

_RETRY_S = 1.0


class Literal(options.UnhosedConfigParser):  # type: ignore[misc]
    """Reads values literally."""

    def __init__(self) -> None:
        super().__init__(inline_comment_prefixes=None)

    def expand_here(self, here: str) -> None:
        """Nothing is expanded."""


def as_it_stands(text: str, _expansions: Mapping[str, Any], _name: str) -> str:
    """Replaces supervisord's expansion of `%`: returns the text unchanged."""
    return text


class Steady:
    """A stream that drops what cannot be written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """As a stream does."""
        with contextlib.suppress(OSError, ValueError):
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """As a stream does."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class SteadyLog(loggers.RotatingFileHandler):  # type: ignore[misc]
    """A rotated log file. While it cannot be opened its lines are dropped; opening it is tried again each second."""

    def __init__(self, filename: str, _mode: str = "ab", maxBytes: int = 0, backupCount: int = 0) -> None:
        loggers.Handler.__init__(self)
        self.baseFilename, self.mode = filename, "ab"
        self.maxBytes, self.backupCount = maxBytes, backupCount
        self.counter, self.every = 0, 10
        self._again = 0.0
        self._open()

    def emit(self, record: Any) -> None:
        """Writes a line, and rotates where it is time."""
        if self._again and time.monotonic() >= self._again:
            self._close()
            self._open()
        loggers.Handler.emit(self, record)
        try:
            self.doRollover()
        except (OSError, ValueError):  # renaming failed: the file goes on unrotated
            self._close()
            self._open()

    def handleError(self) -> None:
        """Nothing: the line is lost, or stays in the stream's buffer."""

    def close(self) -> None:
        """Closes the file; what the disk does not take is lost."""
        self._close()
        self.closed = True

    def remove(self) -> None:
        """Closes and removes the file."""
        self.close()
        with contextlib.suppress(OSError):
            os.remove(self.baseFilename)

    def reopen(self) -> None:
        """As supervisord's `clearLog` and SIGUSR2 ask for."""
        self._close()
        self._open()
        self.closed = False

    def _close(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self.stream.close()

    def _open(self) -> None:
        try:
            try:
                self.stream = open(self.baseFilename, self.mode)  # noqa: SIM115 - kept open
            except OSError as error:
                if error.errno != errno.ESPIPE:  # a device that cannot be appended to
                    raise
                self.stream = open(self.baseFilename, "wb")  # noqa: SIM115
            self._again = 0.0
        except OSError:
            self.stream = open(os.devnull, "ab")  # noqa: SIM115
            self._again = time.monotonic() + _RETRY_S


def main() -> None:
    """Runs supervisord."""
    options.UnhosedConfigParser, options.expand = Literal, as_it_stands
    process.time = rpcinterface.time = supervisord.time = SimpleNamespace(**{**vars(time), "time": SteadyClock()})
    loggers.FileHandler = loggers.RotatingFileHandler = SteadyLog
    sys.stdout, sys.stderr = Steady(sys.stdout), Steady(sys.stderr)
    supervisord.main()


if __name__ == "__main__":
    main()
