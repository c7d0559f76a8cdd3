"""Starting, watching, failing and stopping, with real processes (the services count instead of training)."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import psutil
import pytest
import toml

from tests.operate.conftest import ADDRESS_KEYS, DEADLINE_S, Mesh


def test_a_run_ends_at_its_limit_in_order_with_a_result_and_is_resumed(mesh: Mesh) -> None:
    done = mesh.call("start", "--wait", "--max-env-steps", "300", "--set=ppo.gamma=0.5")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Reverb (buffer_addrs) has no authentication" in done.stderr
    assert "the run has ended: max_env_steps" in done.stdout
    result = mesh.result()
    assert result["env_steps"] >= 300
    assert result["episodes"] * 10 == result["env_steps"]
    assert (result["return_mean_100"], result["policy_lag_mean"]) == (1.5, 2.0)
    assert result["learner_steps"] == result["model_version"] > 0
    assert result["env_steps_per_s"] > 0
    assert 0 < result["up_s"] < result["wall_s"] < DEADLINE_S
    ends = (mesh.run / "ends.txt").read_text().split()
    assert ends == ["aisrv_0", "learner_0", "actor_0", "model_pool_0", "buffer_0"]
    assert not mesh.living()
    status = mesh.status()
    assert (status["state"], status["reason"]) == ("ended", "max_env_steps")
    assert {row["health"] for row in status["processes"]} == {"done"}
    assert (mesh.run / "history.jsonl").read_text().count("\n") >= 1
    assert list((mesh.run / "tensorboard" / "mesh").iterdir())
    assert toml.load(mesh.run / "conf.toml")["app"]["actor_addrs"] == [mesh.settings["actor_addrs"]]
    goes_on_in_the_same_directory(mesh)


def goes_on_in_the_same_directory(mesh: Mesh) -> None:
    """`start --resume` of a run that has ended."""
    first, run = mesh.result(), mesh.run
    steps = first["env_steps"] + 100
    done = mesh.call("start", "--resume", "--wait", "--max-env-steps", str(steps))
    assert done.returncode == 0, done.stdout + done.stderr
    assert mesh.run == run
    assert mesh.result()["env_steps"] >= steps
    assert mesh.result()["learner_steps"] > first["learner_steps"]
    assert len(list(run.glob("result-*.json"))) == 1
    assert toml.load(run / "conf.toml")["ppo"]["gamma"] == 0.5
    refused = mesh.call("start", "--resume", "--app", "catch")
    assert refused.returncode == 2
    assert "--resume with app = catch" in refused.stderr


def test_an_agent_that_raises_ends_the_run_and_shows_its_traceback(mesh: Mesh) -> None:
    process = mesh.popen("start", "--wait")
    mesh.until(lambda: (mesh.runs / "latest" / "mesh.json").exists() and mesh.status()["state"] == "running")
    mesh.order("learner_0", "raise")
    output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1
    assert "the run failed: learner_0: AgentError: learner: Agent.learn raised ValueError: a marked failure" in output
    assert 'raise ValueError("a marked failure")' in output
    assert mesh.result()["reason"].startswith("failed: learner_0")
    assert not mesh.living()


def test_a_process_that_crashes_too_often_ends_the_run(mesh: Mesh) -> None:
    mesh.settings["max_restarts"] = "1"
    mesh.start()
    mesh.order("actor_0", "crash")
    mesh.until(lambda: (mesh.run / "result.json").exists())
    reason = mesh.result()["reason"]
    assert reason.startswith("failed: actor_0 end")  # "ended ... 2 times", or "ends again and again" within a second
    assert "RuntimeError: a crash" in reason
    mesh.until(lambda: not mesh.living())


@pytest.mark.parametrize(
    ("process", "order", "reason"),
    [
        pytest.param("learner_0", "exit0", "it ended with exit code 0", marks=pytest.mark.long),
        pytest.param("aisrv_0", "exit0", "it ended with exit code 0", marks=pytest.mark.long),
        pytest.param("aisrv_0", "sys.exit", "code of this process called exit (0, SystemExit)", marks=pytest.mark.long),
    ],
)
def test_an_exit_inside_a_process_is_a_failure_that_names_it(mesh: Mesh, process: str, order: str, reason: str) -> None:
    mesh.start()
    mesh.until(lambda: time.time() - mesh.published(process)["started"] > 1.5)  # supervisord takes it for started
    mesh.order(process, order)
    mesh.until(lambda: (mesh.run / "result.json").exists())
    assert mesh.result()["reason"].startswith(f"failed: {process}: ")
    assert reason in mesh.result()["reason"]
    mesh.until(lambda: not mesh.living())


FAULTS = {
    "SIGSEGV": "Segmentation fault",
    "SIGABRT": "Aborted",
    "SIGBUS": "Bus error",
    "SIGFPE": "Floating point exception",
    "SIGILL": "Illegal instruction",
}


@pytest.mark.long
def test_every_signal_that_ends_a_process_is_named_and_leaves_its_trace(mesh: Mesh) -> None:
    signals = (*FAULTS, "SIGKILL")
    mesh.settings["max_restarts"] = str(len(signals) - 1)
    mesh.start()
    processes = ("aisrv_0", "learner_0", "actor_0", "buffer_0", "model_pool_0")
    for process in processes[1:]:
        mesh.order(process, "SIGSEGV")
    for signal_name in signals:
        life = mesh.published("aisrv_0")["pid"]
        mesh.order("aisrv_0", signal_name)
        mesh.until(lambda life=life: (mesh.run / "result.json").exists() or mesh.published("aisrv_0")["pid"] != life)
    mesh.until(lambda: (mesh.run / "result.json").exists())
    assert "aisrv_0 end" in mesh.result()["reason"]
    assert "killed by SIGKILL: somebody killed it, perhaps the machine because its memory" in mesh.result()["reason"]
    keeper = (mesh.run / "logs" / "keeper_0.log").read_text()
    for signal_name in signals[:-1]:
        assert f"aisrv_0 ended unexpectedly (killed by {signal_name}: " in keeper
    log = (mesh.run / "logs" / "aisrv_0.log").read_text()
    for signal_name in signals[:-1]:
        assert f"Fatal Python error: {FAULTS[signal_name]}" in log
    assert log.count("fake_service.py") >= len(signals) - 1
    for process in processes[1:]:
        assert "Fatal Python error: Segmentation fault" in (mesh.run / "logs" / f"{process}.log").read_text()


def test_a_workflow_that_returns_ends_the_run(mesh: Mesh) -> None:
    mesh.settings["aisrv_count"] = "2"
    mesh.start()
    mesh.order("aisrv_1", "return")
    mesh.until(lambda: mesh.process("aisrv_1")["health"] == "done")
    assert mesh.status()["state"] == "running"
    mesh.order("aisrv_0", "return")
    mesh.until(lambda: (mesh.run / "result.json").exists())
    assert mesh.result()["reason"] == "finished"


def test_local_mode_is_one_process_and_its_keeper(mesh: Mesh) -> None:
    mesh.settings["wrapper_type"] = "local"
    done = mesh.call("start", "--wait", "--max-env-steps", "50")
    assert done.returncode == 0, done.stderr
    assert "Reverb" not in done.stderr
    assert [row["name"] for row in mesh.status()["processes"]] == ["keeper_0", "aisrv_0"]


def test_a_wrong_configuration_starts_nothing_and_leaves_nothing(mesh: Mesh, tmp_path: Path) -> None:
    done = mesh.call("start", "--set", "train_batch_size=x", "--set", "no_such=1")
    assert done.returncode == 2
    assert "2 problems; nothing was started" in done.stderr
    assert "Traceback" not in done.stderr
    assert not mesh.runs.exists()
    for words in (
        ("start", "--set", "nothing"),
        ("start", "--wait", "--detach"),
        ("start", "--conf", str(tmp_path / "no")),
    ):
        assert mesh.call(*words).returncode == 2
    for words in (("status",), ("stop", "all"), ("logs",), ("start", "--resume")):
        done = mesh.call(*words)
        assert (done.returncode, "no run in" in done.stderr) == (2, True)


def test_a_taken_port_names_the_key_to_change(mesh: Mesh) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        for key in ADDRESS_KEYS:
            with pytest.MonkeyPatch.context() as patch:
                patch.setitem(mesh.settings, key, f"127.0.0.1:{port}")
                done = mesh.call("start", "--detach")
            assert done.returncode == 2
            assert f"{key}: port {port} is taken by process {os.getpid()}" in done.stderr
    assert not list(mesh.runs.glob("gym-*"))


def test_pids_of_others_are_never_touched(mesh: Mesh) -> None:
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        assert mesh.call("start", "--wait", "--max-env-steps", "50").returncode == 0
        path = mesh.run / "status" / "learner_0.json"
        path.write_text(f'{{"name": "learner_0", "state": "working", "pid": {stranger.pid}, "time": 9e9}}')
        assert "nothing of" in mesh.call("stop", "all").stdout
        assert psutil.Process(stranger.pid).status() != psutil.STATUS_ZOMBIE
    finally:
        stranger.kill()
        stranger.wait()


def test_processes_that_are_killed_come_back_and_the_counters_go_on(running: Mesh) -> None:
    for name in ("keeper_0", "aisrv_0", "learner_0"):
        before = running.published(name)
        os.kill(before["pid"], signal.SIGKILL)
        running.until(lambda name=name: running.process(name)["restarts"] == 1)
        running.until(lambda name=name: running.process(name)["health"] == "ok")
        after = running.published(name)
        assert after["pid"] != before["pid"]
        assert all(after["counters"][key] >= value for key, value in before["counters"].items())
    assert running.status()["state"] == "running"
    assert running.status()["limits"]["max_seconds"] == 1000


def test_one_kind_is_stopped_and_restarted_and_that_is_no_failure(running: Mesh) -> None:
    before = running.process("actor_0")["restarts"]
    done = running.call("stop", "actor")
    assert done.returncode == 0, done.stderr
    assert "actor_0 ended" in done.stdout
    running.until(lambda: running.process("actor_0")["health"] == "done")
    assert running.call("restart", "actor").returncode == 0
    running.until(lambda: running.process("actor_0")["health"] == "ok")
    assert (running.status()["state"], running.process("actor_0")["restarts"]) == ("running", before)
    assert running.call("stop", "model_pol").returncode == 2


def test_a_stop_signal_from_outside_is_no_end_of_the_work(running: Mesh) -> None:
    before = running.published("buffer_0")["pid"]
    os.kill(before, signal.SIGTERM)
    running.until(lambda: running.published("buffer_0")["pid"] != before)
    running.until(lambda: running.process("buffer_0")["health"] == "ok")
    assert running.status()["state"] == "running"


def test_a_waiting_process_says_for_what(running: Mesh) -> None:
    running.order("learner_0", "wait")
    running.until(lambda: running.process("learner_0")["state"] == "waiting")
    assert "s for buffer: 30 of 64 samples" in running.call("status").stdout
    running.order("learner_0", "")
    data = json.loads(running.call("status", "--json").stdout)
    assert data["env_steps"] > 0
    rows = {row["name"]: row for row in data["processes"]}
    assert rows["aisrv_0"]["throughput_unit"] == "env_steps/s"
    assert rows["actor_0"]["port"] == int(running.settings["actor_addrs"].rpartition(":")[2])


def test_logs_of_one_kind_and_of_all(running: Mesh) -> None:
    one = running.call("logs", "learner", "-n", "5")
    assert "learner_0 |" in one.stdout
    assert "==>" not in one.stdout
    assert running.call("logs").stdout.count("==>") >= 7
    missing = running.call("logs", "learnr")
    assert missing.returncode == 2
    assert "It has: actor_0" in missing.stderr


def test_a_second_start_is_refused_and_says_how_to_stop_the_first(running: Mesh) -> None:
    second = running.call("start", "--detach")
    assert second.returncode == 2
    assert "a mesh is running already" in second.stderr
    assert len(list(running.runs.glob("gym-*"))) == 1


def test_nothing_outlives_a_killed_supervisord(running: Mesh) -> None:
    """The last of this mesh. `stop` meets the leftovers, one of which takes its time."""
    running.order("learner_0", "slow")
    os.kill(int((running.run / "supervisord.pid").read_text()), signal.SIGKILL)
    running.until(lambda: running.status()["state"] == "dead" or not running.living())
    done = running.call("stop", "all")
    assert done.returncode == 0, done.stderr
    assert not running.living()
    assert running.result()["reason"] == "failed: supervisord is gone; it was killed"
    assert {"aisrv_0", "learner_0", "buffer_0"} <= set((running.run / "ends.txt").read_text().split())
