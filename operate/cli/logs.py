"""Shows and follows the logs of a run's processes."""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from kaimesh.contract.errors import ConfigError
from kaimesh.process.command import reader_is_gone
from kaimesh.process.run_dir import RunDir

Say = Callable[[str], None]
FOLLOW_S = 0.3
_FAILURE_LINES = 160
# Colours may pass; what else a process prints could clear the terminal, or change what stands above.
_COLOUR_OR_CONTROL = re.compile(r"\x1b\[[\d;]*m|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def files_of(run: RunDir, process: str | None) -> list[Path]:
    """The log of one process (`learner_0`), of every process of a kind (`learner`), or all. Raises ConfigError."""
    everything = sorted(run.logs.glob("*.log"))
    chosen = [path for path in everything if process in (None, path.stem, path.stem.rpartition("_")[0])]
    if not chosen:
        have = ", ".join(path.stem for path in everything) or "none yet"
        raise ConfigError(
            f"{run.root.name} has no log of {process!r}, so there is nothing to show. It has: {have}. Name one of "
            "these."
        )
    return chosen


def _harmless(line: str) -> str:
    """`line` with control characters escaped, but for tabs and colours."""
    return _COLOUR_OR_CONTROL.sub(lambda m: m[0] if m[0].endswith("m") else repr(m[0])[1:-1], line)


def tail(path: Path, lines: int) -> list[str]:
    """The last lines of a log; none if it is missing or no regular file."""
    if not path.is_file():
        return []
    try:
        with path.open(errors="replace") as file:
            return [_harmless(line.rstrip("\n")) for line in deque(file, lines)]
    except OSError:
        return []


def failure(path: Path) -> list[str]:
    """The lines from where a process logged why it ends, with the traceback; if it did not, the last 30 lines."""
    lines = tail(path, 1000)
    starts = [
        number
        for number, line in enumerate(lines)
        if (" ERROR " in line and " ends: " in line) or line.startswith("Fatal Python error: ")
    ]
    ends = [number for number, line in enumerate(lines) if " could not end cleanly" in line or " watchdog: " in line]
    start = max([*starts, *ends], default=max(0, len(lines) - 30))
    return lines[start:][:_FAILURE_LINES]


def follow(paths: list[Path], say: Say) -> None:
    """Says every new line, with the process's name where there are several logs, until interrupted or unread."""
    positions = {path: path.stat().st_size if path.is_file() else 0 for path in paths}
    while not reader_is_gone():
        for path in paths:
            if not path.is_file():  # between the two steps of a rotation
                continue
            try:
                with path.open("rb") as file:
                    size = file.seek(0, os.SEEK_END)
                    positions[path] = positions[path] if positions[path] <= size else 0  # it was rotated
                    file.seek(positions[path])
                    data = file.read()
            except OSError:
                continue
            if data:
                whole = data[: data.rfind(b"\n") + 1]
                positions[path] += len(whole)
                for line in map(_harmless, whole.decode(errors="replace").splitlines()):
                    say(f"{path.stem}: {line}" if len(paths) > 1 and path.stem not in line else line)
        time.sleep(FOLLOW_S)
