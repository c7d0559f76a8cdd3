"""A mesh that was killed, in its files and in its processes, goes on in a new life,
and the old one writes no word into it.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.disks import damage
from tests.harness import WAIT_S, wait_until
from tests.operate.conftest import Mesh


def kill(mesh: Mesh, *names: str) -> None:
    """kill -9, all of them in the same moment."""
    pids = {row["name"]: row["pid"] for row in mesh.status()["processes"]}
    pids["supervisord"] = int((mesh.run / "supervisord.pid").read_text())
    for name in names:
        os.kill(pids[name], signal.SIGKILL)


@pytest.mark.parametrize(
    "rounds",
    [1, pytest.param(2, marks=pytest.mark.long)],
)
def test_a_killed_mesh_is_resumed_at_once_and_twice(mesh: Mesh, rounds: int) -> None:
    """The first time while one of its processes takes its time to end."""
    mesh.start()
    mesh.order("learner_0", "slow")
    for killed in (("supervisord",), ("keeper_0", "supervisord"))[:rounds]:
        before, run = mesh.status()["env_steps"], mesh.run
        kill(mesh, *killed)
        mesh.start("--resume")
        start = json.loads((run / "mesh.json").read_text())["start"]
        mesh.until(lambda before=before: mesh.status()["env_steps"] > before)
        rows = mesh.status()["processes"]
        assert [row["name"] for row in rows if row["pid"] is None] == []
        assert json.loads((run / "mesh.json").read_text())["start"] == start
        assert len(mesh.living()) == len(rows) + 1, "nothing of the old life lives"
    assert not (mesh.run / "result.json").exists()
    assert mesh.call("stop", "all").returncode == 0
    assert mesh.result()["reason"] == "stopped"


@pytest.mark.long
def test_a_mesh_whose_files_are_damaged_goes_on_and_can_be_stopped(mesh: Mesh) -> None:
    mesh.start("--max-seconds", "1000")
    keeper = mesh.published("keeper_0")["pid"]
    os.kill(keeper, signal.SIGSTOP)  # or it would write mesh.json anew at once
    damage.KINDS["nested"](mesh.run / "mesh.json")
    damage.KINDS["empty"](mesh.run / "status" / "keeper_0.json")
    assert mesh.call("status").returncode == 0
    refused = mesh.call("start", "--detach")
    assert "its mesh.json is damaged" in refused.stderr
    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: mesh.status()["state"] == "running", WAIT_S, "mesh.json is made anew")
    assert mesh.status()["limits"]["max_seconds"] == 1000
    for path in damage.of_ours(mesh.run):
        if path.name in ("supervisord.pid", "token"):
            damage.KINDS["garbage"](path)
    stopped = mesh.call("stop", "all")
    assert stopped.returncode == 0, stopped.stderr
    assert "supervisord ended" in stopped.stdout
    assert not mesh.living()


def resumes_with(mesh: Mesh, damages: dict[Path, str]) -> None:
    for path, kind in damages.items():
        if path.exists():
            damage.KINDS[kind](path)
    done = mesh.call("start", "--resume", "--wait", "--max-env-steps", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert mesh.result()["reason"] == "max_env_steps"
    assert not mesh.living()


@pytest.mark.long
def test_a_run_with_damage_everywhere_is_resumed(mesh: Mesh) -> None:
    """Each file another damage; which file gets which does not matter, see the long test."""
    assert mesh.call("start", "--wait", "--max-env-steps", "50").returncode == 0
    kinds = [kind for kind in damage.KINDS if kind != "gone"]
    files = damage.of_ours(mesh.run)
    resumes_with(mesh, {path: kinds[number % len(kinds)] for number, path in enumerate(files)})


@pytest.mark.long
def test_a_run_is_resumed_after_each_damage_to_all_of_its_files(mesh: Mesh) -> None:
    assert mesh.call("start", "--wait", "--max-env-steps", "50").returncode == 0
    for kind in damage.KINDS:
        resumes_with(mesh, dict.fromkeys(damage.of_ours(mesh.run), kind))


@pytest.mark.parametrize(
    ("stage", "number"),
    [
        ("building", signal.SIGINT),
        ("mesh.json", signal.SIGTERM),
        pytest.param("supervisord.pid", signal.SIGINT, marks=pytest.mark.long),
        pytest.param("logs/keeper_0.log", signal.SIGHUP, marks=pytest.mark.long),
    ],
)
def test_a_start_that_is_interrupted_leaves_nothing(mesh: Mesh, stage: str, number: signal.Signals) -> None:
    command = mesh.popen("start", "--detach")
    if stage == "building":
        wait_until(lambda: psutil.Process(command.pid).children(), WAIT_S, "an environment is built")
    else:
        wait_until(lambda: list(mesh.runs.glob(f"*/{stage}")), WAIT_S, f"{stage} is there")
    command.send_signal(number)
    said, _ = command.communicate(timeout=WAIT_S)
    assert (command.returncode != 0, "Traceback" in said) == (True, False), said
    assert not mesh.living()
    left = [path.name for path in mesh.runs.iterdir()] if mesh.runs.exists() else []
    assert [name for name in left if name != ".start.lock"] == []


@pytest.mark.parametrize("kind", ["empty", "half", "garbage", "not UTF-8", "zeros", "folder"])
def test_a_damaged_configuration_says_what_to_do(mesh: Mesh, kind: str) -> None:
    from kaimesh import ROOT
    from kaimesh.config import load
    from kaimesh.contract.errors import ConfigError
    from kaimesh.operate.cli.start import Wish, configure
    from kaimesh.process.documents import write_text
    from kaimesh.process.run_dir import RunDir

    run = RunDir.create(mesh.runs, "gym:CartPole-v1", "ppo")
    default = ROOT / "conf" / "configure_app.toml"
    write_text(run.conf, load(default, {"runs_dir": str(mesh.runs)}).to_toml())
    damage.KINDS[kind](run.conf)
    wish = Wish(None, {"runs_dir": str(mesh.runs)}, resume=True)
    with pytest.raises(ConfigError, match=r"conf\.toml .*(?s:.)*tools/start.sh --resume --conf <file>"):
        configure(wish)
    _, resumed = configure(wish._replace(conf=default))
    assert resumed is not None
    with pytest.raises(ConfigError, match="has another name"):
        configure(wish._replace(conf=default, overrides={**wish.overrides, "app": "catch"}))
