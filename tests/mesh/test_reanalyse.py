"""A mesh that searches its games again: kills of each role that this takes, a stop, a resume, the books."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from tests.harness import Mesh

GAMES: dict[str, Any] = {
    "algo": "muzero",
    "app": "spiel:tic_tac_toe",
    "aisrv_count": 1,
    "aisrv_connect_to_kaiwu_env_count": 16,
    "replay_buffer_capacity": 2000,
    "reanalyse_count": 1,
    "reverb_rate_limiter": "MinSize",
    "replay_ratio": 8,
    "train_batch_size": 16,
    "preload_ratio": 0.01,
    "dump_model_freq": 20,
    "muzero__simulations": 8,
}


def balanced(mesh: Mesh) -> None:
    """After a stop every sample and every copy is in a counter or a gauge."""
    books = {line["name"]: line for line in mesh.status()["books"]}
    assert {"aisrv_0", "reanalyse_0", "buffer_0", "buffer_0, fresh copies"} <= set(books)
    assert not [line for line in books.values() if line["missing"]]
    made, kept = books["reanalyse_0"]["places"], books["buffer_0, fresh copies"]["came"]
    assert made["samples_acked"] <= kept <= books["reanalyse_0"]["came"]
    assert made["samples_refused"] == 0


@pytest.mark.long
@pytest.mark.timeout(900)
def test_games_are_searched_again_over_kills_a_stop_and_a_resume(mesh: Mesh) -> None:
    mesh.start("--detach", **GAMES)
    mesh.wait_for("learner_0", "samples_reanalysed", 200)
    for role in ("reanalyse_0", "actor_0", "buffer_0", "learner_0"):
        searched = mesh.counter("reanalyse_0", "reanalysed_samples")
        learned = mesh.counter("learner_0", "samples_reanalysed")
        os.kill(mesh.of(role)["pid"], signal.SIGKILL)
        mesh.wait_for("reanalyse_0", "reanalysed_samples", searched + 64)
        mesh.wait_for("learner_0", "samples_reanalysed", learned + 64)
    assert mesh.of("reanalyse_0")["gauges"]["reanalysed_age"] > 0, "newer models than those that played"
    mesh.cli("stop", "all")
    balanced(mesh)
    counts = [mesh.counter("learner_0", "samples_reanalysed"), mesh.counter("learner_0", "samples_learned")]
    assert 0.3 < counts[0] / counts[1] < 0.53, "half of each batch; those that wait to be learned from, too"
    kept, size = mesh.of("buffer_0")["gauges"]["fresh_size"], mesh.of("buffer_0")["gauges"]["size"]
    refused = mesh.start("--detach", "--resume", check=False, **GAMES, reanalyse_capacity=300)
    assert refused.returncode == 2
    told = " ".join(refused.stderr.split())
    assert "--resume with reanalyse_capacity = 300 (it was 0, which means 500)" in told
    assert f"none of them could be used. Nothing was changed. Leave that as it was, or delete {mesh.run.buffer}" in told
    mesh.start("--detach", "--resume", **GAMES, reanalyse_capacity=500)
    mesh.until(lambda: mesh.of("buffer_0").get("gauges", {}).get("fresh_size", 0) >= kept, "copies came back")
    mesh.wait_for("learner_0", "samples_reanalysed", counts[0] + 200)
    mesh.cli("stop", "all")
    balanced(mesh)
    assert mesh.of("buffer_0")["gauges"]["size"] >= size
    stored = mesh.counter("buffer_0", "positions_inserted") - mesh.counter("learner_0", "positions_before_learning")
    assert mesh.counter("learner_0", "positions_learned") / stored == pytest.approx(8, rel=0.05), "copies add none"
    assert not mesh.internal_errors()


@pytest.mark.long
def test_an_algorithm_that_does_not_search_is_refused_before_anything_starts(mesh: Mesh) -> None:
    done = mesh.start(check=False, algo="ppo", app="catch", reanalyse_count=1)
    assert done.returncode
    assert "has no questions, reanalyse, copies" in done.stdout + done.stderr
    assert not list(mesh.runs.glob("*/conf.toml")), "nothing was started"
