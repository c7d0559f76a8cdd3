"""Environments that fail in a running mesh: it trains on, and says how many were made anew."""

from __future__ import annotations

import json

import pytest

from tests.harness import Mesh

FAULTY = "tests.envs.faulty:Faulty"


@pytest.mark.long
def test_a_mesh_with_failing_environments_trains_on_and_counts_them(mesh: Mesh) -> None:
    done = mesh.start(
        "--wait", "--max-env-steps", "60000", algo="ppo", app=FAULTY, env_conf='{fault = "step", at = 900}',
        aisrv_count=2, aisrv_connect_to_kaiwu_env_count=4, timeout_s=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(mesh.run.result.read_text())
    assert result["reason"] == "max_env_steps"
    assert result["env_restarts"] >= 60000 // 900 - 8
    assert result["return_mean_100"] == 6.0, "whole episodes alone are counted"
    assert mesh.counter("aisrv_0", "samples_refused") == 0
    assert all(not process["restarts"] for process in json.loads(mesh.run.mesh.read_text())["processes"].values())
    log = (mesh.run.logs / "aisrv_0.log").read_text()
    assert "failed in step: ConnectionError: the game server closed the connection" in log


@pytest.mark.long
def test_what_returns_nonsense_in_the_middle_ends_the_run_at_once(mesh: Mesh) -> None:
    conf = '{fault = "reward nan", at = 50, again = true}'
    done = mesh.start("--wait", check=False, algo="ppo", app=FAULTY, env_conf=conf, timeout_s=120)
    assert done.returncode == 1
    reason = json.loads(mesh.run.result.read_text())["reason"]
    assert "EnvContractError" in reason
    assert "a reward is nan" in reason
