"""kill -9 of each process of a training mesh: it comes back, the others wait, training goes on, nothing is corrupt."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from kaimesh.contract.errors import MeshError
from kaimesh.training import checkpoint
from tests.harness import WAIT_S, Mesh, wait_until

PROCESSES = ["actor_0", "model_pool_0", "aisrv_0", "buffer_0", "learner_0"]


@pytest.fixture(scope="module")
def training(shared_mesh: Mesh) -> Mesh:
    shared_mesh.start(
        "--detach", app="catch", aisrv_count=1, aisrv_connect_to_kaiwu_env_count=8, buffer_checkpoint_seconds=2
    )
    shared_mesh.wait_for("learner_0", "learner_steps", 3)
    return shared_mesh


@pytest.mark.parametrize("process", PROCESSES)
def test_training_goes_on_after_a_kill(training: Mesh, process: str) -> None:
    before = {name: status["counters"] for name, status in training.run.statuses().items()}
    pid = training.of(process)["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: training.of(process)["pid"] != pid, WAIT_S, f"{process} comes back")
    training.wait_for("aisrv_0", "env_steps", before["aisrv_0"]["env_steps"] + 2000)
    training.wait_for("learner_0", "learner_steps", before["learner_0"]["learner_steps"] + 3)
    model = training.of("learner_0")["model_version"]
    wait_until(
        lambda: training.of("actor_0").get("model_version", -1) >= model,
        WAIT_S,
        f"the actor predicts with model {model}",
    )
    for name, counters in before.items():
        now = training.of(name)["counters"]
        for key in set(counters) & {"env_steps", "episodes", "learner_steps"}:
            assert now[key] >= counters[key], f"{name}: {key} went back"
    verify(training.run.ckpt)


def verify(folder: Path) -> None:
    """Every model that is listed is whole; the learner drops the oldest at each dump, also while this looks at them."""
    for info in checkpoint.models(folder):
        try:
            checkpoint.verify(folder, info)
        except MeshError:
            assert info not in checkpoint.listed(folder)


def test_aisrv_has_loaded_neither_tensorflow_nor_reverb(training: Mesh) -> None:
    with open(f"/proc/{training.of('aisrv_0')['pid']}/maps") as maps:
        loaded = maps.read()
    assert "tensorflow" not in loaded
    assert "reverb" not in loaded
    with open(f"/proc/{training.of('learner_0')['pid']}/maps") as maps:
        assert "tensorflow" in maps.read()  # so the search above can find something


def test_the_restarts_are_counted_and_the_end_is_clean(training: Mesh) -> None:
    restarts = {process["name"]: process["restarts"] for process in training.status()["processes"]}
    assert all(restarts[name] >= 1 for name in PROCESSES)
    pids = [status["pid"] for status in training.run.statuses().values()]
    training.cli("stop", "all")
    for pid in pids:
        assert not os.path.exists(f"/proc/{pid}")
    assert training.run.result.exists()
