"""The mesh as delivered learns CartPole: what a newcomer sees after the first command."""

from __future__ import annotations

import json

import pytest

from kaimesh.operate.view.overview import look
from tests.harness import Mesh, wait_until

SOLVED = 475  # Gymnasium's word for CartPole-v1: the mean return of 100 episodes in a row
WITHIN_S = 400.0


def solve(mesh: Mesh, *arguments: str) -> None:
    """Trains until it is solved. A policy that explores has bad moments, before that and after."""
    mesh.start("--detach", *arguments)
    wait_until(lambda: (look(mesh.run).totals.return_mean_100 or 0) >= SOLVED, WITHIN_S, "it is solved")


@pytest.mark.learning
@pytest.mark.timeout(700)
def test_the_delivered_configuration_solves_cartpole(mesh: Mesh) -> None:
    """Some 25 s of training on two cores."""
    solve(mesh)
    mesh.cli("stop", "all")
    result = json.loads(mesh.run.result.read_text())
    assert result["reason"] == "stopped"
    assert result["samples_lost"] <= 1024  # under way at the stop, at most


@pytest.mark.learning
@pytest.mark.timeout(700)
def test_dqn_solves_cartpole(mesh: Mesh) -> None:
    """The mean is of all environments, those that explore most among them."""
    solve(mesh, "--algo", "dqn")
