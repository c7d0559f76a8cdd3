"""benchmarks/backpressure.py in short: one side is slow, the other waits and says so, and no sample disappears."""

from __future__ import annotations

import re

import pytest

from benchmarks.backpressure import slow_environments, slow_learner
from tests.harness import Mesh

APP = "gym:CartPole-v1"


@pytest.fixture
def settings(mesh: Mesh) -> list[str]:
    return ["algo_conf=benchmarks/slow.toml", *(f"{key}={value}" for key, value in mesh.settings.items())]


def test_a_slow_learner_holds_the_mesh_back_and_no_sample_disappears(settings: list[str]) -> None:
    report, _ = slow_learner(APP, 8.0, 0.5, settings)
    queue, balance, says = report["queue"], report["balance"], report["says"]
    assert queue["most"] == queue["capacity"] == 64, "full, and never more than that"
    for name in ("aisrv_0", "aisrv_1"):
        assert says[name]["share"] > 0.5
        assert re.fullmatch(r"waiting \d+ s for buffer: \d+ samples are not stored yet", says[name]["last"])
    assert re.fullmatch(r"waiting \d+ s for learner: the queue is full \(64 samples\)", says["buffer_0"]["last"])
    assert set(balance["missing"].values()) == {0}, balance
    held = balance["in_queue"] + balance["in_flight"] + balance["refused"] + sum(balance["unfinished"].values())
    assert balance["made"] == balance["learned"] + held, balance
    assert balance["learned"] == 32 * report["learns"] > 0
    assert held > 64, "a stop under back-pressure leaves a full queue, and more"


def test_a_learner_with_slow_environments_waits_and_says_so(settings: list[str]) -> None:
    report = slow_environments(APP, 5.0, 0.1, settings)
    assert report["learner_wait_share"] > 0.8
    said = report["says"]["learner_0"]
    assert said["share"] > 0.25
    assert re.fullmatch(
        r"waiting \d+ s for buffer: too few samples for a batch of 32 \(\d+ in the table\)", said["last"]
    )
    assert set(report["balance"]["missing"].values()) == {0}, report["balance"]
