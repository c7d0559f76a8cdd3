"""`mesh.json`: the processes and the state of a run. `start` writes it once, then only the keeper of that start.

Fields: run, commit, start (an id, also in the environment of all processes of that start), state ("starting",
"running", "stopping", "ended"), reason, started, up, ended, limits {max_env_steps, max_seconds}, supervisor
{socket, pid}, processes {name: {role, address, stop, pid, supervisor, restarts, excused}}, disk (while something is
wrong with the run's disk), and the keeper's stamp {time, clock, boot} of the last writing. All times are those of the
keeper's clock, which goes on steadily whoever sets the machine's (kaimesh.process.clocks.SteadyClock).
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import psutil

from kaimesh import ROOT
from kaimesh.config import Config
from kaimesh.operate.local.supervise import SUPERVISORD, programs, socket_path
from kaimesh.process import documents
from kaimesh.process.run_dir import RunDir

LIVE_STATES = ("starting", "running", "stopping")
SUPERVISOR = "supervisord"
START_VARIABLE = "KAIMESH_START"  # JSON, from which a lost mesh.json is made anew


def read(run: RunDir) -> dict[str, Any]:
    """mesh.json, checked; {} if it is missing or damaged."""
    return documents.read_json(run.mesh, documents.MESH)


def new(run: RunDir, config: Config, order: dict[str, Any]) -> dict[str, Any]:
    """What `start` writes. order: start (its id), commit, started (wall time, s), its stamp, limits, and
    learner_steps_before, without which a mesh.json that is made anew would not know what this life has learned.
    """
    return {
        "run": str(run.root),
        "state": "starting",
        "reason": "",
        "supervisor": {"socket": str(socket_path(run))},
        "processes": {program.name: program.entry for program in programs(config)},
        **order,
    }


def order_of_this_life() -> dict[str, Any]:
    """The `order` that `new` takes, of the start that this process belongs to; {} in a process outside of a mesh."""
    order: dict[str, Any] = json.loads(os.environ.get(START_VARIABLE, "{}"))
    return order


def is_ours(pid: int | None, run: RunDir) -> bool:
    """Whether `pid` is alive and a process of this run.

    Its command line tells, for the kernel may have reused the number.
    """
    return bool(name_of(pid, run))


def name_of(pid: int | None, run: RunDir) -> str:
    """The name in this run of the living process `pid`; "" if it is none of the run's, or has ended."""
    if not pid or pid < 0:
        return ""
    try:
        process = psutil.Process(pid)
        return _name(process.cmdline(), run) if process.status() != psutil.STATUS_ZOMBIE else ""
    except (psutil.Error, OverflowError):
        return ""


def supervisor_pid(run: RunDir) -> int | None:
    """The pid of the run's supervisord, from its pid file, else by its command line; None: it has ended."""
    text = documents.read_text(run.root / "supervisord.pid").strip()
    if text.isdecimal() and len(text) < 10 and name_of(int(text), run) == SUPERVISOR:
        return int(text)
    return dict(processes(run)).get(SUPERVISOR)  # the pid file may be lost, damaged or of an earlier start


def processes(run: RunDir) -> Iterator[tuple[str, int]]:
    """Every living process of the run, (name, pid), found by its command line alone."""
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
            if (name := _name(command, run)) and process.status() != psutil.STATUS_ZOMBIE:
                yield name, process.pid
        except psutil.Error:  # it ended meanwhile, or is somebody else's
            continue


def _name(command: Sequence[str], run: RunDir) -> str:
    """The name of the run's process with that command line; "": another program, such as an editor of its files."""
    if str(run.root / SUPERVISORD) in command and any("supervisord" in word for word in command[:3]):
        return SUPERVISOR
    options = dict(pairwise(command))
    if options.get("--run-dir") != str(run.root) or "--conf" not in command[1:]:
        return ""
    role = command[command.index("--conf") - 1].rpartition(".")[2]
    return f"{role}_{options.get('--index', 0)}"


def pids(run: RunDir) -> Iterator[tuple[str, int]]:
    """As `processes`, but looks only at pids in mesh.json and the status files, which is faster; supervisord first."""
    known: dict[str, list[Any]] = {SUPERVISOR: [supervisor_pid(run)]}
    for name, process in read(run).get("processes", {}).items():
        known.setdefault(name, []).append(process.get("pid"))
    for name, status in run.statuses().items():
        known.setdefault(name, []).append(status.get("pid"))
    for name, candidates in known.items():
        for pid in {candidate for candidate in candidates if candidate}:
            if is_ours(pid, run):
                yield name, pid


def wait_for_the_last(run: RunDir, limit_s: float, but: Sequence[str] = ()) -> dict[str, int]:
    """Waits until all processes of the run have ended, or for `limit_s`; returns those left.

    but: names not waited for.
    """
    deadline = time.monotonic() + limit_s
    while left := {name: pid for name, pid in processes(run) if name not in but}:
        if time.monotonic() >= deadline:
            break
        time.sleep(0.1)
    return left


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
