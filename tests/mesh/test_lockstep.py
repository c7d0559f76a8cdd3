"""The same learns give the same bytes: in one process, in another, and through the five processes of a mesh."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from kaimesh.contract.errors import EXIT_AGENT, EXIT_WATCHDOG
from tests.forks import HEAVY
from tests.harness import ROOT, Mesh, wait_until
from tests.proxy import dead_proxy

LEARNS = 4
AT_ONCE = 2  # serial runs: each computes on one core
SETTINGS = {
    "aisrv_connect_to_kaiwu_env_count": "8",
    "train_batch_size": "8",
    "max_save_model_file_count": "100",
}


class Reference(NamedTuple):
    """What serial runs of `algo` with the hyper-parameters `flags` dumped: one, one more, and one of another seed."""

    algo: str
    flags: tuple[str, ...]
    models: list[bytes]
    again: list[bytes]
    of_another_seed: list[bytes]


def serial(
    runs: Path, algo: str = "ppo", *arguments: str, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """train_test.py with its run directory under `runs`, and `environ` on top of the environment."""
    flags = [flag for key, value in {**SETTINGS, "runs_dir": str(runs)}.items() for flag in ("--set", f"{key}={value}")]
    words = ["train_test.py", "--algo", algo, "--learns", str(LEARNS), "--seed", "3", *flags, *arguments]
    return HEAVY.run(words, env={**os.environ, **(environ or {})}, timeout_s=180)


def passes(*arguments: Any, **named: Any) -> None:
    """`serial`, and that it succeeds."""
    done = serial(*arguments, **named)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Train test succeed" in done.stdout


def dumped(folder: Path) -> list[bytes]:
    """The models 0...LEARNS."""
    return [(folder / "ckpt" / f"model.ckpt-{id}.npz").read_bytes() for id in range(LEARNS + 1)]


@pytest.fixture(scope="module", params=["ppo", "impala", "impala with a memory"])
def reference(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    algo, _, memory = request.param.partition(" ")
    flags = ("--set", f"{algo}.lstm_size=8") if memory else ()
    seeds = ("3", "3", "4")
    folders = [tmp_path_factory.mktemp("serial") for _ in seeds]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda folder, seed: passes(folder, algo, *flags, "--seed", seed), folders, seeds))
    return Reference(algo, flags, *(dumped(folder / "train_test") for folder in folders))


def test_a_second_serial_run_gives_the_same_bytes(reference: Reference) -> None:
    assert reference.again == reference.models
    assert len(set(reference.models)) == LEARNS + 1  # each learn changed something


def test_another_seed_gives_other_bytes(reference: Reference) -> None:
    assert reference.of_another_seed != reference.models


def test_what_is_replayed_depends_on_the_seed_alone(tmp_path: Path) -> None:
    models, runs = [], ("one", "two")
    replaying = ("impala", "--learns", "8", "--set", "replay_share=0.5")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ends = list(pool.map(lambda run: serial(tmp_path / run, *replaying), runs))
    for run, done in zip(runs, ends, strict=True):
        assert done.returncode == 0, done.stdout + done.stderr
        assert "4 of each batch of 8 are replayed" in done.stderr + done.stdout
        status = json.loads((tmp_path / run / "train_test/status/train_test.json").read_text())
        assert status["counters"]["samples_replayed"] == 6 * 4  # all but two learns
        assert status["counters"]["samples_learned"] == 8 * 8
        assert status["gauges"]["policy_lag_replayed"] > status["gauges"]["policy_lag"] >= 0
        models.append((tmp_path / run / "train_test/ckpt/model.ckpt-8.npz").read_bytes())
    assert models[0] == models[1]


def test_five_processes_give_the_same_bytes(reference: Reference, mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"algorithm_on_policy_or_off_policy": "on-policy", "aisrv_count": 1, "random_seed": 3, **SETTINGS}
    what = ("--detach", "--app", "gym:CartPole-v1", "--algo", reference.algo, *reference.flags)
    with dead_proxy("silent") as variables:  # none of the five has anything to do with it
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        mesh.start(*what, replay_buffer_capacity=64, dump_model_freq=1, **settings)
        wait_until(lambda: (mesh.run.ckpt / f"model.ckpt-{LEARNS}.npz").exists(), 180, f"model {LEARNS}")
    assert dumped(mesh.run.root) == reference.models


def test_other_agents_pass_and_need_no_proxy(tmp_path: Path) -> None:
    def without_proxy(algo: str, kind: str) -> None:
        with dead_proxy(kind) as variables:
            passes(tmp_path / algo, algo, environ=variables)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(without_proxy, ("diy", "dqn", "target_dqn"), ("silent", "refusing", "silent")))


def toy(runs: Path, algo: str, *settings: str) -> subprocess.CompletedProcess[str]:
    """train_test.py with one of tests/mesh/agents."""
    given = ("algo_conf=tests/mesh/agents/algo_conf.toml", "app=catch", *settings)
    return serial(runs, algo, *(word for setting in given for word in ("--set", setting)))


def test_an_observation_that_does_not_fit_is_an_error_not_a_silence(tmp_path: Path) -> None:
    done = toy(tmp_path, "wide")
    assert done.returncode == 1, done.stderr
    assert "TypeError" in done.stderr
    assert "AgentError: actor: Wide.predict raised TypeError" in done.stderr
    assert "watchdog: nothing" not in done.stderr


@pytest.mark.long
def test_a_learn_that_hangs_ends_in_words(tmp_path: Path) -> None:
    done = toy(tmp_path, "toy", "toy.fault=hang", "watchdog_seconds=5", "user_code_seconds=5")
    assert done.returncode == EXIT_WATCHDOG, done.stderr
    assert "watchdog: no progress for" in done.stderr
    assert re.search(r"slot-\d has had its turn for \d+ s: storing samples, learning", done.stderr)
    assert re.search(r"slot-\d is at .*tests/mesh/agents/toy.py:\d+ \(learn\), inside .*threading.py", done.stderr)


@pytest.mark.long
def test_a_workflow_that_catches_the_stop_is_ended_in_words(tmp_path: Path) -> None:
    conf = (ROOT / "tests/mesh/agents/algo_conf.toml").read_text()
    (tmp_path / "conf.toml").write_text(conf.replace("toy.workflow", "toy.stubborn_workflow"))
    done = toy(tmp_path, "toy", f"algo_conf={tmp_path}/conf.toml")
    assert done.returncode == EXIT_WATCHDOG, done.stderr
    assert "the workflow tests.mesh.agents.toy.stubborn_workflow goes on after the stop" in done.stderr
    assert re.search(r"caught Stopped [\d,]+ times, by `except:` or `except BaseException`", done.stderr)


@pytest.mark.long
def test_a_workflow_that_learns_nothing_is_no_success(tmp_path: Path) -> None:
    conf = (ROOT / "tests/mesh/agents/algo_conf.toml").read_text()
    (tmp_path / "conf.toml").write_text(conf.replace("toy.workflow", "toy.short_workflow"))
    done = toy(tmp_path, "toy", f"algo_conf={tmp_path}/conf.toml")
    assert done.returncode == 1, done.stdout
    assert "nothing was learned: the workflow ended, and the learner still waited for buffer: " in done.stderr


@pytest.mark.long
@pytest.mark.parametrize("place", ["__init__", "step"])
def test_an_environment_that_leaves_with_success_is_none(tmp_path: Path, place: str) -> None:
    lines = [
        "import os",
        "from gymnasium.envs.classic_control import CartPoleEnv",
        "class Leaves(CartPoleEnv):",
        f"    def {place}(self, *_, **__):",
        "        os._exit(0)",
    ]
    (tmp_path / "leaves.py").write_text("\n".join(lines))
    done = serial(tmp_path, "ppo", "--set", "app=leaves:Leaves", environ={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == EXIT_AGENT, done.stdout + done.stderr
    assert "train_test: ended with exit code 0 before its work was done: something inside it called exit" in done.stderr
    assert "Train test succeed" not in done.stdout


# What a mesh would wait for, and this cannot: see kaimesh.operate.serial_keys.
PACED = (
    "learner_train_by_while_true=false",
    "production_consume_ratio=0.1",
    "learner_train_sleep_seconds=200",
    "preload_ratio=1.0",
    "aisrv_count=3",
    "model_file_sync_per_minutes=5.0",
)
LONG = ("env_conf.rows=150", "replay_buffer_capacity=16", "send_sample_size=100")  # 149 samples at once
ODD_RUNS = {
    "a replay table, paced": ("replay", *PACED),
    "a queue, long": ("toy", *LONG, "algorithm_on_policy_or_off_policy=off-policy"),
    "a model to begin with": ("toy", "preload_model=true", "preload_model_id=70", "preload_model_dir={folder}"),
    "local": ("toy", "wrapper_type=local"),
}
MORE_ODD_RUNS = {
    "a queue, paced": ("toy", *PACED),
    "a replay table, long": ("replay", *LONG),
    "on-policy, long": ("toy", *LONG),
    "unrolls, more than a batch": ("vectorised", "aisrv_connect_to_kaiwu_env_count=20", "send_sample_size=3"),
    "local, unrolls": ("vectorised", "wrapper_type=local"),
}


@pytest.mark.parametrize("runs", [ODD_RUNS, pytest.param(MORE_ODD_RUNS, marks=pytest.mark.long)], ids=["some", "more"])
def test_nothing_that_is_set_makes_it_wait_for_ever(tmp_path: Path, runs: Mapping[str, tuple[str, ...]]) -> None:
    """Nor that the environment lies in the folder in which it is typed, nor that others run at the same time."""
    (tmp_path / "mine.py").write_text("from kaimesh.envs.catch import Catch as Mine\n")
    (tmp_path / "model.ckpt-70.txt").write_text("70 ")

    def ends(name: str) -> str:
        algo, *settings = runs[name]
        given = (f"algo_conf={ROOT}/tests/mesh/agents/algo_conf.toml", f"runs_dir={tmp_path}/runs", "app=mine:Mine")
        words = [word for one in (*given, *settings) for word in ("--set", one.replace("{folder}", str(tmp_path)))]
        begin = [str(ROOT / "train_test.py"), "--algo", algo, "--learns", str(LEARNS)]
        done = HEAVY.run([*begin, *words], cwd=tmp_path, timeout_s=90)
        return "" if "Train test succeed" in done.stdout else f"{name}: exit {done.returncode}\n{done.stderr[-3000:]}"

    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert not [wrong for wrong in pool.map(ends, runs) if wrong]
    assert {path.name for path in (tmp_path / "runs").glob("train*")} == {"train_test", "train_test-2"}


def test_ctrl_c_ends_it_without_a_traceback(tmp_path: Path) -> None:
    words = ["train_test.py", "--learns", "1000000", "--set", f"runs_dir={tmp_path}"]
    child = HEAVY.popen(words, stderr=subprocess.PIPE, start_new_session=True)
    wait_until(lambda: list(tmp_path.glob("train_test/ckpt/model.ckpt-2.*")), 90, "a learn")
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(60)
    assert child.wait() == 128 + signal.SIGINT
    assert "Traceback" not in said


def test_a_broken_configuration_is_one_report(tmp_path: Path) -> None:
    done = serial(tmp_path, "ppo", "--set", "train_bach_size=3", "--set", "aisrv_count=0")
    assert done.returncode != 0
    assert "did you mean 'train_batch_size'" in done.stderr
    assert "aisrv_count" in done.stderr
