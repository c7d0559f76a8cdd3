"""MuZero in one process (`wrapper_type = "local"`): the same bytes each time, and games that it learns in minutes."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kaimesh.arena import evaluate
from kaimesh.arena.models import find_model
from kaimesh.arena.players import load as load_model
from kaimesh.arena.players import prepared
from kaimesh.arena.scene import Scene
from kaimesh.config import load
from kaimesh.contract.arrays import Batch
from kaimesh.envs import three
from kaimesh.process.run_dir import RunDir
from tests.forks import HEAVY

pytestmark = [pytest.mark.long, pytest.mark.learning, pytest.mark.timeout(1800)]
SHORT = {"dump_model_freq": 1, "muzero.sync_games": 8, "muzero.sync_learns": 4, "muzero.simulations": 8}


def trained(runs: Path, app: str, learns: int, **settings: Any) -> Path:
    """The run directory of a training of `learns` rounds."""
    given = {"app": app, "wrapper_type": "local", "runs_dir": str(runs), **settings}
    words = [word for key, value in given.items() for word in ("--set", f"{key}={value}")]
    done = HEAVY.run(["train_test.py", "--algo", "muzero", "--learns", str(learns), *words], timeout_s=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout.splitlines()[-2], file=sys.stderr)
    return runs / "train_test"


def figures(run: Path, *words: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What tools/evaluate.sh finds."""
    assert evaluate.main(["--run", str(run), "--json", *words]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize("app", ["spiel:tic_tac_toe", "gym:CartPole-v1"])
def test_the_same_seed_gives_the_same_bytes_with_evaluations_and_without(app: str, tmp_path: Path) -> None:
    def models(name: str, **settings: Any) -> list[bytes]:
        run = trained(tmp_path / name, app, 4, **SHORT, **settings)
        return [(run / "ckpt" / f"model.ckpt-{id}.npz").read_bytes() for id in range(5)]

    one = models("one")
    assert len(set(one)) == 5
    assert models("same") == one
    assert models("judged", eval_games=3) == one
    assert models("other", random_seed=2) != one
    status = json.loads((tmp_path / "judged/train_test/status/train_test.json").read_text())
    assert status["gauges"]["evaluation/model"] == 4


def test_the_best_arm_of_a_bandit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = trained(tmp_path, "bandit", 40, aisrv_connect_to_kaiwu_env_count=32)
    found = figures(run, "--episodes", "50", capsys=capsys)
    assert found["report"]["share_of_best_arm"]["mean"] == 1


def test_three_players_are_near_their_equilibrium(tmp_path: Path) -> None:
    run = trained(tmp_path, "three", 60, aisrv_connect_to_kaiwu_env_count=32)
    gap = three.best_response_gap(policy_of(run))
    print("best-response gap", gap, file=sys.stderr)
    assert gap.max() <= 0.1


def policy_of(run: Path) -> np.ndarray:
    """What the newest model of a run in `three` chooses at each node, `[D, A]`."""
    config = load(run / "conf.toml", {})
    nodes = np.arange(three.NODES)
    movers = np.array([three.TURNS[three.depth_of(node)] for node in nodes.tolist()], np.int8)
    columns = {"obs": three.observations(nodes), "to_play": movers}
    scene = Scene(config.app, {})
    user = prepared(config, scene, logging.getLogger())
    load_model(config, scene, user, find_model(RunDir(run), "latest"))
    action = np.concatenate(
        [
            np.asarray(user.agent.exploit(Batch({name: column[i : i + 32] for name, column in columns.items()})).action)
            for i in range(0, len(nodes), 32)
        ]
    )
    return np.eye(three.CHOICES)[action]


def test_mancala_against_random_play(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = trained(tmp_path, "spiel:mancala", 60, aisrv_connect_to_kaiwu_env_count=32)
    found = figures(run, "--episodes", "100", "--opponent", "random", capsys=capsys)["all"]
    print("mancala", {name: found[name] for name in ("wins", "draws", "losses")}, file=sys.stderr)
    assert found["wins"] >= 190
