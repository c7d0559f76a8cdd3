"""The mesh as delivered learns CartPole: what a newcomer sees after the first command."""

from __future__ import annotations

import json

import pytest

from kaimesh.overview import look
from tests.harness import Mesh, wait_until


@pytest.mark.learning
@pytest.mark.timeout(300)
def test_the_delivered_configuration_solves_cartpole(mesh: Mesh) -> None:
    mesh.start("--wait", "--max-seconds", "75")
    result = json.loads(mesh.run.result.read_text())
    assert result["reason"] == "max_seconds"
    assert result["return_mean_100"] >= 475
    assert result["samples_lost"] <= 1024  # under way at the stop, at most
    assert result["env_steps"] > 100_000


@pytest.mark.learning
@pytest.mark.timeout(300)
def test_dqn_solves_cartpole(mesh: Mesh) -> None:
    """As Gymnasium says when CartPole-v1 is solved: a mean return of 475 over 100 episodes in a row.

    It is the training's own mean, of all environments, those that explore most among them; it goes up and down.
    """
    mesh.start("--detach", "--algo", "dqn")
    wait_until(lambda: (look(mesh.run).totals.return_mean_100 or 0) >= 475, 200, "it is solved")
