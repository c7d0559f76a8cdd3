"""The mesh against the serial run: the same learns give the same bytes, in one process, twice, and through five processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.harness import ROOT, Mesh, wait_until

LEARNS = 4
SETTINGS = {
    "aisrv_connect_to_kaiwu_env_count": "8",
    "train_batch_size": "8",
    "max_save_model_file_count": "100",
}


class Reference(NamedTuple):
    """What a serial run of `algo` with the hyper-parameters `flags` dumped."""

    algo: str
    flags: tuple[str, ...]
    models: list[bytes]


def serial(runs: Path, algo: str = "ppo", *arguments: str) -> subprocess.CompletedProcess[str]:
    """train_test.py with its run directory under `runs`."""
    flags = [flag for key, value in {**SETTINGS, "runs_dir": str(runs)}.items() for flag in ("--set", f"{key}={value}")]
    command = [
        sys.executable,
        "train_test.py",
        "--algo",
        algo,
        "--learns",
        str(LEARNS),
        "--seed",
        "3",
        *flags,
        *arguments,
    ]
    return subprocess.run(command, cwd=ROOT, text=True, capture_output=True, timeout=180)


def dumped(folder: Path) -> list[bytes]:
    """The models 0...LEARNS."""
    return [(folder / "ckpt" / f"model.ckpt-{id}.npz").read_bytes() for id in range(LEARNS + 1)]


@pytest.fixture(scope="module", params=["ppo", "impala", "impala with a memory"])
def reference(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    algo, _, memory = request.param.partition(" ")
    flags = ("--set", f"{algo}.lstm_size=8") if memory else ()
    runs = tmp_path_factory.mktemp("serial")
    done = serial(runs, algo, *flags)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Train test succeed" in done.stdout
    return Reference(algo, flags, dumped(runs / "train_test"))


def test_a_second_serial_run_gives_the_same_bytes(reference: Reference, tmp_path: Path) -> None:
    assert serial(tmp_path, reference.algo, *reference.flags).returncode == 0
    assert dumped(tmp_path / "train_test") == reference.models
    assert len(set(reference.models)) == LEARNS + 1  # each learn changed something


def test_another_seed_gives_other_bytes(reference: Reference, tmp_path: Path) -> None:
    assert serial(tmp_path, reference.algo, *reference.flags, "--seed", "4").returncode == 0
    assert dumped(tmp_path / "train_test") != reference.models


def test_what_is_replayed_depends_on_the_seed_alone(tmp_path: Path) -> None:
    models = []
    for run in ("one", "two"):
        done = serial(tmp_path / run, "impala", "--learns", "8", "--set", "replay_share=0.5")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "4 of each batch of 8 are replayed" in done.stderr + done.stdout
        status = json.loads((tmp_path / run / "train_test/status/train_test.json").read_text())
        assert status["counters"]["samples_replayed"] == 6 * 4  # all but two learns
        assert status["counters"]["samples_learned"] == 8 * 8
        assert status["gauges"]["policy_lag_replayed"] > status["gauges"]["policy_lag"] >= 0
        models.append((tmp_path / run / "train_test/ckpt/model.ckpt-8.npz").read_bytes())
    assert models[0] == models[1]


def test_five_processes_give_the_same_bytes(reference: Reference, mesh: Mesh) -> None:
    settings = {"algorithm_on_policy_or_off_policy": "on-policy", "aisrv_count": 1, "random_seed": 3, **SETTINGS}
    what = ("--detach", "--app", "gym:CartPole-v1", "--algo", reference.algo, *reference.flags)
    mesh.start(*what, replay_buffer_capacity=64, dump_model_freq=1, **settings)
    wait_until(lambda: (mesh.run.ckpt / f"model.ckpt-{LEARNS}.npz").exists(), 180, f"model {LEARNS}")
    assert dumped(mesh.run.root) == reference.models


@pytest.mark.parametrize("algo", ["diy", "dqn", "target_dqn"])
def test_other_agents_pass(algo: str, tmp_path: Path) -> None:
    done = serial(tmp_path, algo)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Train test succeed" in done.stdout


def test_a_broken_configuration_is_one_report(tmp_path: Path) -> None:
    done = serial(tmp_path, "ppo", "--set", "train_bach_size=3", "--set", "aisrv_count=0")
    assert done.returncode != 0
    assert "did you mean 'train_batch_size'" in done.stderr
    assert "aisrv_count" in done.stderr
