"""What every benchmark says of itself: commit, machine, time; JSON on stdout and, if asked, in a file."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

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
