"""What every benchmark says of itself: commit, machine, time; JSON on stdout and, if asked, in a file."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from kaimesh.process.command import end_children, interrupted

ROOT = Path(__file__).resolve().parent.parent


def commit() -> str:
    """The checkout's commit, with "+" if files were changed since."""
    revision = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    changed = subprocess.run(
        ["git", "status", "--porcelain", "-uno"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    return (revision or "unknown") + ("+" if changed else "")


def finish(name: str, data: dict[str, Any], path: Path | None = None) -> None:
    """Prints the report and writes it to `path`."""
    report = {
        "benchmark": name,
        "commit": commit(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "machine": {
            "cores": os.cpu_count(),
            "processor": platform.processor() or platform.machine(),
            "python": platform.python_version(),
        },
        **data,
    }
    text = json.dumps(report, indent=2)
    print(text)
    if path is not None:
        path.write_text(text + "\n")


def as_program(main: Callable[[], None]) -> NoReturn:
    """Runs a benchmark as a program: Ctrl-C, `| head`, SIGTERM and SIGHUP end it quietly, with what it has started."""

    def leave(number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    code = 1
    try:
        code = interrupted(main)
    finally:
        if code:
            end_children()
    sys.exit(code)


def run_mesh(command: list[str]) -> None:
    """Runs `command`, a `start --wait`, to its end; if this program is left before, the mesh is stopped."""
    try:
        subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr)
    except BaseException:
        subprocess.run([*command[: command.index("start")], "stop", "all"], cwd=ROOT, check=False, stdout=sys.stderr)
        raise
