"""A mesh whose samples are whole games: models' ids in the actor, the replay ratio and the books, over kills."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from tests.harness import Mesh

GAMES: dict[str, Any] = {"algo": "games", "algo_conf": "tests/mesh/agents/algo_conf.toml", "app": "catch"}


def ratio_of(mesh: Mesh) -> float:
    """Positions learned from, of those that were stored since the first learn."""
    stored = mesh.counter("buffer_0", "positions_inserted") - mesh.counter("learner_0", "positions_before_learning")
    return mesh.counter("learner_0", "positions_learned") / stored


@pytest.mark.long
def test_games_their_ratio_and_the_books_survive_kills_and_a_stop(mesh: Mesh) -> None:
    mesh.start("--detach", **GAMES)
    mesh.wait_for("learner_0", "learner_steps", 150)
    for role in ("learner_0", "buffer_0", "actor_0", "aisrv_0"):
        before = mesh.counter("learner_0", "learner_steps")
        os.kill(mesh.of(role)["pid"], signal.SIGKILL)
        mesh.wait_for("learner_0", "learner_steps", before + 150)
    mesh.wait_for("learner_0", "learner_steps", 1800, timeout_s=300)
    assert mesh.of("learner_0")["gauges"]["learn/newest"] > 100, "actors know how often was learned"
    mesh.cli("stop", "all")
    assert ratio_of(mesh) == pytest.approx(2, rel=0.02)
    assert not [line for line in mesh.status()["books"] if line["missing"]]
    steps = sum(mesh.counter(f"aisrv_{i}", "env_steps") for i in range(2))
    assert sum(mesh.counter(f"aisrv_{i}", "env_steps_unfinished") for i in range(2)) < 0.01 * steps
    mesh.start("--detach", "--resume", **GAMES)
    mesh.wait_for("learner_0", "learner_steps", 2000)
    mesh.cli("stop", "all")
    assert ratio_of(mesh) == pytest.approx(2, rel=0.02)
    assert not mesh.internal_errors()


@pytest.mark.long
def test_an_agent_that_is_too_slow_for_its_clients_ends_the_run_in_words(mesh: Mesh) -> None:
    done = mesh.start(check=False, games__fault="slow", **GAMES)
    assert done.returncode, done.stdout + done.stderr
    assert "Gamer.warm_up says that one call of 2 rows takes 1e+06 s" in done.stdout + done.stderr
