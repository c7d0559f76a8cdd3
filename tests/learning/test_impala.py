"""The mesh learns by IMPALA, and remembers with an LSTM what a feed-forward network cannot see."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.harness import Mesh


def learned(mesh: Mesh, seconds: int, **settings: Any) -> dict[str, Any]:
    mesh.start("--wait", "--max-seconds", str(seconds), timeout_s=seconds + 240, algo="impala", **settings)
    result: dict[str, Any] = json.loads(mesh.run.result.read_text())
    assert result["reason"] == "max_seconds"
    return result


@pytest.mark.long
@pytest.mark.timeout(600)
def test_cartpole_is_solved_in_three_minutes(mesh: Mesh) -> None:
    result = learned(mesh, 180)
    assert result["return_mean_100"] >= 475
    assert result["policy_lag_mean"] < 30
    assert result["samples_lost"] <= 256  # under way at the stop, at most
    assert "policy_lag" in (mesh.run.logs / "learner_0.log").read_text()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_cartpole_is_solved_with_half_of_each_batch_replayed(mesh: Mesh) -> None:
    result = learned(mesh, 180, replay_share=0.5)
    assert result["return_mean_100"] >= 475
    log = (mesh.run.logs / "learner_0.log").read_text()
    assert "16 of each batch of 32 are replayed" in log
    assert "policy_lag_replayed" in log


@pytest.mark.long
@pytest.mark.timeout(900)
def test_cartpole_without_velocities_is_solved_with_a_memory(mesh: Mesh) -> None:
    assert learned(mesh, 240, app="cartpole-masked")["return_mean_100"] >= 475


@pytest.mark.long
@pytest.mark.timeout(600)
def test_and_not_without_one(mesh: Mesh) -> None:
    result = learned(mesh, 120, app="cartpole-masked", impala__lstm_size=0)
    assert result["env_steps"] > 200_000
    assert result["return_mean_100"] < 150
