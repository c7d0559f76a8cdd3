"""Kills each role of a mesh in turn while it learns, stops it, and resumes it (benchmarks.strength --kill-every).

What that costs is read from the run's own files: how long until a process works again and the learner has learned twice
more, and how many samples were lost and counted in the books (kaimesh.operate.view.books).
"""

from __future__ import annotations

import os
import signal
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from kaimesh.config.roles import LEARNER, ROLES
from kaimesh.operate.view.books import lines
from kaimesh.process.run_dir import RunDir
from kaimesh.training.checkpoint import listed

TURNS = ("aisrv", "actor", "model_pool", "reanalyse", "buffer", "learner")
STOPPED = "stop and resume"  # what is done last, beside the names of roles
AROUND = 5  # dumps before, and after, of which the median counts
_LIMIT_S = 1800.0  # for each wait: other work may have the machine, too
_UNNAMED_WORK = "pulls"  # of the model pool
_LOST = ("samples_lost", "lost_in_kill", "fresh_lost_in_kill")


class Mesh(NamedTuple):
    """start: takes nothing, or "--resume". run: the newest."""

    start: Callable[..., Any]
    stop: Callable[[], Any]
    run: Callable[[], RunDir]


class Course(NamedTuple):
    """A run, and what was done to it.

    began: Unix seconds. happened: each with `what` (a role whose first process was killed, or STOPPED), seconds from
    the start, learns (the newest dump's), back_s (until it worked again), lost (samples, by the books' lines).
    """

    run: RunDir
    began: float
    happened: Sequence[dict[str, Any]] = ()


def killed_in_turn(mesh: Mesh, every: int) -> Course:
    """Kills a role after every so many learns, stops and resumes the mesh, and lets it learn for as long again."""
    mesh.start()
    run = mesh.run()
    began, happened, lost = run.conf.stat().st_mtime, [], []
    _learned(run, every)  # by then all processes are there
    turns = [*(role for role in TURNS if f"{role}_0" in run.statuses()), STOPPED]
    for number, what in enumerate(turns, 1):
        _learned(run, number * every)
        lost.append(_lost(run))
        seconds, learns = time.time() - began, listed(run.ckpt)[-1].id
        back_s = _resumed(mesh, run) if what == STOPPED else _killed(run, what)
        happened.append({"what": what, "seconds": round(seconds, 1), "learns": learns, "back_s": round(back_s, 1)})
        print(happened[-1], file=sys.stderr, flush=True)
    _learned(run, 2 * len(turns) * every)
    mesh.stop()
    lost.append(_lost(run))
    for one, before, after in zip(happened, lost, lost[1:], strict=False):
        one["lost"] = {name: count - before[name] for name, count in after.items() if count > before.get(name, 0)}
    return Course(run, began, happened)


def beside(
    happened: Sequence[Mapping[str, Any]], models: Sequence[Mapping[str, Any]], name: str
) -> list[dict[str, Any]]:
    """With `before` and `after`, the medians of `name` of the AROUND models on either side; None: there is none."""
    found = []
    for one in happened:
        sides = {
            "before": [model[name] for model in models if model["learns"] <= one["learns"]][-AROUND:],
            "after": [model[name] for model in models if model["learns"] > one["learns"]][:AROUND],
        }
        found.append({**one, **{key: statistics.median(side) if side else None for key, side in sides.items()}})
    return found


def _killed(run: RunDir, role: str) -> float:
    """Kills a role's first process; returns the seconds until it works again and the learner has learned twice."""
    name, work, at = f"{role}_0", ROLES[role].work or _UNNAMED_WORK, time.monotonic()
    pid = run.statuses()[name]["pid"]
    os.kill(pid, signal.SIGKILL)

    def works() -> bool:
        status = run.statuses().get(name, {})
        return bool(status.get("pid", pid) != pid and status["rates"].get(work))

    _until(works, f"{name} works again")
    _learned(run, _learns(run) + 2)
    return time.monotonic() - at


def _resumed(mesh: Mesh, run: RunDir) -> float:
    """The seconds from the resume, after a stop, until the learner has learned twice."""
    mesh.stop()
    at, learns = time.monotonic(), _learns(run)
    mesh.start("--resume")
    _learned(run, learns + 2)
    return time.monotonic() - at


def _lost(run: RunDir) -> dict[str, int]:
    """How many samples are lost and counted so far, by the books' lines."""
    return {line.name: sum(line.places.get(place, 0) for place in _LOST) for line in lines(run.statuses())}


def _learns(run: RunDir) -> float:
    learns: float = run.statuses().get(LEARNER.first, {}).get("counters", {}).get("learner_steps", 0)
    return learns


def _learned(run: RunDir, learns: float) -> None:
    _until(lambda: _learns(run) >= learns, f"{learns:.0f} learns, after {_learns(run):.0f}")


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _LIMIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {_LIMIT_S:.0f} s: {what}; see the run's logs")
        time.sleep(0.1)
