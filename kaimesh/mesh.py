"""`mesh.json`: what runs in a run directory. Who writes it: `start` once, then only the keeper.

Fields: run, commit, state ("starting", "running", "stopping", "ended"), reason, started, up, ended, limits
{max_env_steps, max_seconds}, supervisor {socket, pid}, processes {name: {role, address, pid, supervisor, restarts}}.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import psutil

from kaimesh.config.load import ROOT
from kaimesh.run import RunDir, read_json

LIVE_STATES = ("starting", "running", "stopping")
SUPERVISOR = "supervisord"


def is_ours(pid: int | None, run: RunDir) -> bool:
    """Whether `pid` is alive and was started for this run: its command line names the run's directory."""
    if not pid:
        return False
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and any(str(run.root) in word for word in process.cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def supervisor_pid(run: RunDir) -> int | None:
    """The run's supervisord, from the file that it writes before it starts anything; None: it is gone."""
    try:
        pid = int((run.root / "supervisord.pid").read_text())
    except (FileNotFoundError, ValueError):
        return None
    return pid if is_ours(pid, run) else None


def pids(run: RunDir) -> Iterator[tuple[str, int]]:
    """Every living process of the run, (name, pid), from mesh.json and the status files; supervisord first."""
    mesh = read_json(run.mesh)
    known: dict[str, list[Any]] = {SUPERVISOR: [supervisor_pid(run)]}
    for name, process in mesh.get("processes", {}).items():
        known.setdefault(name, []).append(process.get("pid"))
    for name, status in run.statuses().items():
        known.setdefault(name, []).append(status.get("pid"))
    for name, candidates in known.items():
        for pid in {candidate for candidate in candidates if candidate}:
            if is_ours(pid, run):
                yield name, pid


def git_commit() -> str:
    """The checkout's commit, with `+changes` where files differ from it; `unknown` outside of a git checkout."""
    try:
        head = _git("rev-parse", "HEAD")
        changes = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return head + ("+changes" if changes else "")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()
