"""One mesh's life: started under a view that is left, visited by strangers, stopped, resumed, and orphaned."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kaimesh.contract.errors import EXIT_CONFIG, Refused
from kaimesh.learner.client import LearnerClient
from kaimesh.model_pool.client import ModelPoolClient
from kaimesh.operate.local.mesh_file import supervisor_pid
from kaimesh.process.documents import read_json
from kaimesh.wire import frame as wire
from kaimesh.wire.client import FrameClient
from kaimesh.wire.frame import Kind
from kaimesh.wire.gate import role_token
from tests.forks import Fork
from tests.harness import WAIT_S, Mesh, connected, wait_until

TOY: dict[str, Any] = {
    "algo": "replay",
    "algo_conf": "tests/mesh/agents/algo_conf.toml",
    "app": "catch",
    "aisrv_count": 1,
    "aisrv_connect_to_kaiwu_env_count": 2,
}


@pytest.fixture(scope="module")
def life(shared_mesh: Mesh) -> Mesh:
    view = shared_mesh.view(report_seconds=0.5, **TOY)
    try:
        wait_until(lambda: (shared_mesh.runs / "latest" / "mesh.json").exists(), WAIT_S, "the run begins")
        output = said_until(view, " | running | env steps ")
        shared_mesh.wait_for("learner_0", "learner_steps", 5)
        os.killpg(view.pid, signal.SIGINT)
        output += view.stdout.read() if view.stdout else ""
        view.wait(WAIT_S)
    finally:
        view.kill()
    assert view.returncode == 0, output
    assert "The mesh goes on." in output
    return shared_mesh


def said_until(view: Fork, words: str) -> str:
    """What it says, up to the line that holds `words`. Fails where it ends before."""
    said = ""
    while words not in said:
        assert view.stdout is not None
        said += (line := view.stdout.readline())
        assert line, said
    return said


def goes_on(mesh: Mesh) -> None:
    """Waits for more steps of everybody."""
    for process, counter in (("aisrv_0", "env_steps"), ("actor_0", "predictions"), ("learner_0", "learner_steps")):
        mesh.wait_for(process, counter, mesh.counter(process, counter) + 20)


def test_ctrl_c_leaves_the_view_and_not_the_mesh(life: Mesh) -> None:
    goes_on(life)
    wait_until(lambda: {row["health"] for row in life.status()["processes"]} == {"ok"}, WAIT_S, "all are well")
    status = life.status()
    assert status["state"] == "running"
    assert {row["name"] for row in status["processes"]} == {
        f"{role}_0" for role in ("keeper", "buffer", "model_pool", "learner", "actor", "aisrv")
    }
    for row in status["processes"]:
        assert row["restarts"] == 0
        assert row["pid"] == life.of(row["name"])["pid"]
    assert status["env_steps"] > 0
    assert status["buffer_size"] > 0
    assert status["model_version"] > 0


def test_logs_shows_one_process_or_all(life: Mesh) -> None:
    assert "training trigger: off-policy" in life.cli("logs", "learner", "-n", "1000").stdout
    everything = life.cli("logs").stdout
    assert "learner_0.log" in everything
    assert "buffer_0.log" in everything


def hello(**changes: Any) -> bytes:
    """A whole HELLO frame."""
    payload = wire.to_json(
        {"protocol": wire.PROTOCOL, "token": "wrong", "role": "player", "name": "stranger", **changes}
    )
    return wire.encode(Kind.HELLO, len(payload)) + payload


def test_strangers_are_refused_and_training_goes_on(life: Mesh) -> None:
    pids = {name: status["pid"] for name, status in life.run.statuses().items()}
    token = life.run.token()
    settings = {key: address.strip('[]"') for key, address in life.settings.items() if key.endswith(("addr", "addrs"))}
    framed = [settings["actor_addrs"], settings["buffer_ingest_addrs"]]
    remote = [settings["model_pool_addr"], settings["learner_addr"]]
    attacks = [
        os.urandom(5000),
        b"GET / HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + os.urandom(500),
        hello(),
        hello(token=token, protocol=99),
        hello(token=token, role="king"),
        hello(token=token)[:-7],
        wire.encode(Kind.HELLO, (1 << 31) - 1) + b"x",
        wire.encode(Kind.DATA, 1 << 29, rows=1 << 30),
    ]
    with contextlib.ExitStack() as open_sockets:
        for address in framed + remote:
            host, _, port = address.rpartition(":")
            for attack in attacks:
                sock = open_sockets.enter_context(socket.create_connection((host, int(port)), 5))
                with contextlib.suppress(OSError):  # it may be refused before all of it is sent
                    sock.sendall(attack)
        for address, role in zip(framed, ("player", "writer"), strict=True):
            with pytest.raises(Refused, match="wrong token"):
                FrameClient(address, token="wrong", role=role, name="stranger", stop=None)
        pool = connected(ModelPoolClient(settings["model_pool_addr"], "wrong"))
        with pytest.raises(Refused):
            pool.list()
        pool.close()
        learner = connected(LearnerClient(settings["learner_addr"], "wrong"))
        with pytest.raises(Refused):
            learner.status()
        learner.close()
        goes_on(life)  # while those that stall in the middle of a frame are still connected
    for process in ("actor_0", "buffer_0"):
        log = (life.run.logs / f"{process}.log").read_text()
        for reason in ("wrong token", "protocol 99", "role 'king'", "refused: "):
            assert reason in log, f"{process}: {reason}"
    for process in ("model_pool_0", "learner_0"):
        assert "wrong token" in (life.run.logs / f"{process}.log").read_text()
    assert {name: status["pid"] for name, status in life.run.statuses().items()} == pids


@pytest.mark.long
def test_an_aisrv_elsewhere_needs_its_roles_token_alone(life: Mesh, tmp_path: Path) -> None:
    """It has no part of the run's folder but its configuration; nothing else can be started with that token."""
    conf = tmp_path / "conf.toml"
    conf.write_bytes(life.run.conf.read_bytes())
    environ = {**os.environ, "KAIMESH_TOKEN": role_token(life.run.token(), "aisrv")}

    def start(role: str) -> subprocess.Popen[str]:
        words = ["-m", f"kaimesh.{role}", "--conf", str(conf), "--runs", str(tmp_path / "runs"), "--index", "1"]
        return subprocess.Popen(
            [sys.executable, *words], env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    aisrv = start("aisrv")
    try:
        status = tmp_path / "runs" / f"{life.run.root.name.rpartition('_')[0]}" / "status" / "aisrv_1.json"
        wait_until(lambda: read_json(status).get("counters", {}).get("samples_acked", 0) > 20, WAIT_S, "it works there")
    finally:
        aisrv.terminate()
        said = aisrv.communicate(timeout=WAIT_S)[0]
    assert aisrv.returncode == 0, said
    for role in ("actor", "learner", "model_pool", "buffer"):
        other = start(role)
        said = other.communicate(timeout=WAIT_S)[0]
        assert other.returncode == EXIT_CONFIG, said
        assert f"the token of role aisrv, and this process is of role {role}" in said
    assert not list((tmp_path / "runs").glob("*/token")), "no token is made there"
    goes_on(life)


def test_a_stopped_run_goes_on_where_it_was(life: Mesh) -> None:
    said = life.cli("stop", "all").stdout
    assert "learner_0 ended after" in said
    assert "has ended: stopped" in said
    assert "not cleanly" not in said
    assert not life.living()
    assert "nothing of" in life.cli("stop", "all").stdout
    result = json.loads(life.run.result.read_text())
    run, held = life.run.root, life.of("buffer_0")["gauges"]["size"]
    assert held > 0

    life.start("--detach", "--resume")
    life.wait_for_state("running")
    assert life.run.root == run
    assert life.of("buffer_0")["gauges"]["size"] >= 0.9 * held
    assert "restored" in (life.run.logs / "buffer_0.log").read_text()
    assert f"resumed from model {result['model_version']} of" in (life.run.logs / "learner_0.log").read_text()
    assert life.counter("learner_0", "learner_steps") >= result["learner_steps"]
    assert life.counter("aisrv_0", "env_steps") >= result["env_steps"]
    goes_on(life)


def test_nothing_outlives_a_killed_supervisord(life: Mesh) -> None:
    pid = supervisor_pid(life.run)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not life.living(), 90, f"all ended: {life.living()}")  # sooner than a watchdog would end them
    status = life.status()
    assert status["state"] == "ended"
    assert "supervisord is gone" in status["reason"]
    assert life.run.result.exists()
