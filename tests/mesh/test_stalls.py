"""A stall is told: who waits says for what, and the watchdog ends a process that no deadline can reach."""

from __future__ import annotations

import os
import re
import signal
import time
from typing import Any

import pytest

from kaimesh.operate.local.mesh_file import supervisor_pid
from tests.harness import WAIT_S, Mesh, wait_until

TOY: dict[str, Any] = {
    "algo": "toy",
    "algo_conf": "tests/mesh/agents/algo_conf.toml",
    "app": "catch",
    "aisrv_count": 1,
    "aisrv_connect_to_kaiwu_env_count": 2,
}
STOP_S = 90.0  # supervisord kills later; some 8 s on a machine of two cores


@pytest.fixture(scope="module")
def training(shared_mesh: Mesh) -> Mesh:
    shared_mesh.start("--detach", **TOY)
    shared_mesh.wait_for("learner_0", "learner_steps", 5)
    return shared_mesh


def says(mesh: Mesh, process: str, pattern: str) -> None:
    """Waits until `status` says so of the process, in a sentence of the table."""

    def said() -> bool:
        row = next(line for line in mesh.cli("status").stdout.splitlines() if line.startswith(process))
        return re.search(pattern, row) is not None

    wait_until(said, WAIT_S, f"{process}: {pattern}\n{mesh.cli('status').stdout}")


def test_who_waits_for_a_frozen_learner_says_so_and_goes_on_with_it(training: Mesh) -> None:
    pid, steps = training.of("learner_0")["pid"], training.counter("learner_0", "learner_steps")
    os.kill(pid, signal.SIGSTOP)
    try:
        says(training, "buffer_0", r"waiting \d+ s for learner: the queue is full \(64 samples\)")
        says(training, "aisrv_0", r"waiting \d+ s for buffer: \d+ samples are not stored yet")
        says(training, "learner_0", r"silent +0 .*alive, but silent: it was \w+ when it last reported")
    finally:
        os.kill(pid, signal.SIGCONT)
    training.wait_for("learner_0", "learner_steps", steps + 20)
    assert training.of("learner_0")["pid"] == pid


def test_a_full_queue_comes_back_with_the_run(training: Mesh) -> None:
    training.cli("stop", "learner")
    says(training, "buffer_0", r"the queue is full \(64 samples\)")
    steps = training.counter("learner_0", "learner_steps")
    training.cli("stop", "all", timeout_s=STOP_S)
    training.start("--detach", "--resume")
    training.wait_for("learner_0", "learner_steps", steps + 5)
    assert "restored 8 items" in (training.run.logs / "buffer_0.log").read_text()


def test_a_learner_that_waits_inside_reverb_ends_in_time(training: Mesh) -> None:
    training.cli("stop", "aisrv")
    says(training, "learner_0", r"waiting \d+ s for buffer: too few samples for a batch of 8 \(\d in the table\)")
    began = time.monotonic()
    said = training.cli("stop", "all", timeout_s=STOP_S).stdout
    assert time.monotonic() - began < STOP_S
    assert "not cleanly" not in said
    assert "killing" not in said
    assert not training.living()


def test_a_learn_that_never_returns_is_ended_by_the_watchdog(mesh: Mesh) -> None:
    mesh.start("--detach", toy__fault="hang", watchdog_seconds=5, user_code_seconds=10, **TOY)
    mesh.until(lambda: (mesh.run.root / "hung").exists(), "the learn hangs")
    pid = mesh.of("learner_0")["pid"]
    mesh.until(lambda: mesh.of("learner_0")["pid"] != pid, "the learner comes back")
    mesh.wait_for("learner_0", "learner_steps", 10)
    log = (mesh.run.logs / "learner_0.log").read_text()
    warned = r"learner: Agent\.learn has not returned for 6 s, now at .*agents/toy\.py:\d+ \(learn\)"
    assert re.search(warned, log)
    assert re.search(r"watchdog: learner: Agent\.learn took longer than 10 s; raise user_code_seconds", log)
    assert re.search(r'agents/toy.py", line \d+ in learn', log), "where it hung"
    assert "exit status 70" in (mesh.run.logs / "supervisord.log").read_text()


@pytest.mark.long
def test_after_a_pause_of_everything_each_process_trains_on(mesh: Mesh) -> None:
    """Longer than the watchdog, every deadline on the way and the patience of every server."""
    mesh.start("--detach", watchdog_seconds=5, predict_timeout_seconds=2, **TOY)
    mesh.wait_for("learner_0", "learner_steps", 5)
    before = {row["name"]: row["pid"] for row in mesh.status()["processes"]}
    everything = [*before.values(), supervisor_pid(mesh.run)]
    for pid in everything:
        os.kill(pid, signal.SIGSTOP)
    end = time.monotonic() + 20.0
    wait_until(lambda: time.monotonic() > end, WAIT_S, "all were stopped for long")
    for pid in everything:
        os.kill(pid, signal.SIGCONT)
    for process, counter in (("aisrv_0", "env_steps"), ("actor_0", "predictions"), ("learner_0", "learner_steps")):
        mesh.wait_for(process, counter, mesh.counter(process, counter) + 50)
    status = mesh.status()
    assert {row["name"]: row["pid"] for row in status["processes"]} == before
    assert [row["name"] for row in status["processes"] if row["restarts"]] == []
    assert status["samples_lost"] == 0
