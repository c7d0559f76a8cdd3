"""Showing and following the logs of a run's processes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from kaimesh.errors import ConfigError
from kaimesh.run import RunDir

Say = Callable[[str], None]
FOLLOW_S = 0.3
_FAILURE_LINES = 160


def files_of(run: RunDir, process: str | None) -> list[Path]:
    """The log of one process (`learner_0`), of every process of a kind (`learner`), or all. Raises ConfigError."""
    everything = sorted(run.logs.glob("*.log"))
    chosen = [path for path in everything if process in (None, path.stem, path.stem.rpartition("_")[0])]
    if not chosen:
        have = ", ".join(path.stem for path in everything) or "none yet"
        raise ConfigError(f"{run.root.name} has no log of {process!r}. It has: {have}.")
    return chosen


def tail(path: Path, lines: int) -> list[str]:
    """The last lines of a log; none where it is lost."""
    try:
        with path.open(errors="replace") as file:
            return [line.rstrip("\n") for line in deque(file, lines)]
    except OSError:
        return []


def failure(path: Path) -> list[str]:
    """From the line with which a process said why it ends, with its traceback; else the last lines."""
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
    """Says every new line, with the process's name where there are several logs, until interrupted."""
    positions = {path: path.stat().st_size for path in paths}
    while True:
        for path in paths:
            try:
                size = path.stat().st_size
            except FileNotFoundError:  # between the two steps of a rotation
                continue
            if size < positions[path]:  # rotated
                positions[path] = 0
            if size > positions[path]:
                with path.open("rb") as file:
                    file.seek(positions[path])
                    data = file.read()
                whole = data[: data.rfind(b"\n") + 1]
                positions[path] += len(whole)
                for line in whole.decode(errors="replace").splitlines():
                    say(f"{path.stem}: {line}" if len(paths) > 1 and path.stem not in line else line)
        time.sleep(FOLLOW_S)
