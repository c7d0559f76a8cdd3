"""A whole mesh is stopped and goes on, or the machine's clock is set: nothing is restarted, ends, or tells a wrong age.

The wall clock of the mesh's processes is this test's: a `sitecustomize` adds to it what a file says. The host's is not
touched.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.clock import Clock
from tests.harness import WAIT_S, wait_until
from tests.operate.conftest import Mesh

WATCHDOG_S = 5


def goes_on(mesh: Mesh) -> None:
    """More env steps are made, more lines of the history are written, and every process is well and the same."""
    steps, lines = mesh.status()["env_steps"], len(history(mesh))
    mesh.until(lambda: mesh.status()["env_steps"] > steps + 50 and len(history(mesh)) > lines + 1)
    mesh.until(lambda: {row["health"] for row in mesh.status()["processes"]} == {"ok"})
    assert [row["name"] for row in mesh.status()["processes"] if row["restarts"]] == []
    assert mesh.status()["state"] == "running"


def history(mesh: Mesh) -> list[float]:
    """The times of its lines."""
    return [json.loads(line)["time"] for line in (mesh.run / "history.jsonl").read_text().splitlines()]


def all_stopped(processes: list[psutil.Process]) -> bool:
    return {process.status() for process in processes} == {psutil.STATUS_STOPPED}


def pids(mesh: Mesh) -> dict[str, int]:
    return {row["name"]: row["pid"] for row in mesh.status()["processes"]}


@pytest.mark.long
@pytest.mark.parametrize("jumps", [(3600.0, -7200.0), (-1e6, 1e8, 5.0)])
def test_when_the_clock_is_set_nothing_ends_and_every_duration_stays_what_it_is(
    mesh: Mesh, tmp_path: Path, jumps: tuple[float, ...]
) -> None:
    clock = Clock(tmp_path / "clock", mesh.environ)
    mesh.start("--max-seconds", "1000")
    before = pids(mesh)
    for ahead_s in jumps:
        clock.set(ahead_s)
        goes_on(mesh)
    assert pids(mesh) == before
    times = history(mesh)
    assert all(0 < later - earlier < WAIT_S for earlier, later in itertools.pairwise(times))
    mesh.order("learner_0", "wait")
    mesh.until(lambda: "waiting" in mesh.process("learner_0")["does"])
    clock.set(0.0)
    mesh.until(lambda: abs(mesh.published("learner_0")["time"] - time.time()) < WAIT_S)
    found = re.match(r"waiting (-?\d+) s for", mesh.process("learner_0")["does"])
    assert found is not None
    assert 0 <= int(found[1]) < WAIT_S
    os.kill(before["aisrv_0"], signal.SIGKILL)
    mesh.until(lambda: mesh.process("aisrv_0")["restarts"] == 1)
    assert mesh.call("stop", "all").returncode == 0
    assert mesh.result()["reason"] == "stopped"
    assert 0 < mesh.result()["wall_s"] < WAIT_S


@pytest.mark.long
def test_after_a_pause_of_everything_nothing_is_restarted_and_who_is_stopped_alone_is_found(mesh: Mesh) -> None:
    mesh.settings["watchdog_seconds"] = str(WATCHDOG_S)
    mesh.start()
    before = pids(mesh)
    for order in (1, -1):  # whoever wakes up first
        everything = mesh.living()[::order]
        for process in everything:
            process.send_signal(signal.SIGSTOP)
        wait_until(lambda all=everything: all_stopped(all), WAIT_S, "all are stopped")
        until = time.monotonic() + 2 * WATCHDOG_S + 3
        wait_until(lambda until=until: time.monotonic() > until, WAIT_S, "it is stopped for longer than any limit")
        for process in everything:
            process.send_signal(signal.SIGCONT)
        goes_on(mesh)
        assert pids(mesh) == before
    os.kill(before["learner_0"], signal.SIGSTOP)
    mesh.until(lambda: mesh.process("learner_0")["restarts"] == 1)
    mesh.until(lambda: mesh.process("learner_0")["health"] == "ok")
    log = (mesh.run / "logs" / "keeper_0.log").read_text()
    assert re.search(r"learner_0 was stopped by a signal \(SIGSTOP\) for \d+ s; it was killed", log)
    assert {**pids(mesh), "learner_0": None} == {**before, "learner_0": None}
