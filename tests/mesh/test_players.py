"""Games of two players through all processes."""

from __future__ import annotations

import json

import pytest

from tests.harness import ROOT, Mesh

CONF = str(ROOT / "tests/mesh/agents/algo_conf.toml")


@pytest.mark.long
def test_who_moves_and_what_both_get_reach_the_learner(mesh: Mesh) -> None:
    """The agent in tests/mesh/agents/seats raises where a column is not as it should be, which would end the run."""
    done = mesh.start(
        "--wait", "--max-env-steps", "6000", app="spiel:tic_tac_toe", algo_conf=CONF, algo="seats", report_seconds=1.0
    )
    assert json.loads(mesh.run.result.read_text())["reason"] == "max_env_steps", done.stderr
    gauges = mesh.of("aisrv_0")["gauges"]
    assert (gauges["return_seat_0"], gauges["return_seat_1"]) == (1.0, -1.0), "the first free cell wins for the first"
    told = [json.loads(line) for line in (mesh.run.root / "history.jsonl").read_text().splitlines()]
    assert told[-1]["return_seat_0"] == told[-1]["return_mean_100"] == 1.0
