"""The pool as a process: started, asked, stopped, killed, its port taken."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kaimesh.contract.errors import EXIT_CONFIG, EXIT_OK
from kaimesh.model_pool.client import ModelPoolClient
from kaimesh.process.documents import read_json
from kaimesh.process.run_dir import RunDir
from kaimesh.training import checkpoint
from tests.forks import LIGHT, Fork
from tests.harness import connected, free_ports

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 60.0


class Process:
    """`python -m kaimesh.model_pool` in a run directory of its own."""

    def __init__(self, folder: Path) -> None:
        (self.port,) = free_ports(1)
        self.run = RunDir(folder / "run")
        self.run.root.mkdir()
        self.run.prepare()
        self._conf = folder / "conf.toml"
        self._conf.write_text(f'[app]\nmodel_pool_addr = "127.0.0.1:{self.port}"\nmodelpool_max_save_model_count = 2\n')
        self.child: Fork | None = None

    def start(self) -> Fork:
        command = [
            "-m",
            "kaimesh.model_pool",
            "--conf",
            str(self._conf),
            "--run-dir",
            str(self.run.root),
        ]
        self.child = LIGHT.popen(command)
        return self.child

    def status(self) -> dict[str, Any]:
        return read_json(self.run.status / "model_pool_0.json")

    def wait_for(self, condition: Callable[[dict[str, Any]], bool]) -> None:
        deadline = time.monotonic() + WAIT_S
        while not condition(self.status()):
            assert time.monotonic() < deadline, json.dumps(self.status())
            assert self.child is not None
            assert self.child.poll() is None, self.child.stdout and self.child.stdout.read()
            threading.Event().wait(0.05)

    def is_ready(self, status: dict[str, Any]) -> bool:
        assert self.child is not None
        return status.get("state") == "ready" and status.get("pid") == self.child.pid


@pytest.fixture
def process(tmp_path):
    process = Process(tmp_path)
    yield process
    if process.child is not None:
        process.child.kill()
        process.child.wait()


def test_a_life_with_a_kill_in_it(process, tmp_path):
    process.start()
    process.wait_for(process.is_ready)
    assert process.status()["port"] == process.port
    client = connected(ModelPoolClient(f"127.0.0.1:{process.port}", process.run.token()))
    for id in (1, 2, 3):
        info = checkpoint.dump(
            tmp_path / "ckpt", id, lambda path, id: Path(path, f"model.ckpt-{id}.x").write_bytes(b"w") and None
        )
        client.push(tmp_path / "ckpt", info)
    process.wait_for(lambda status: status.get("model_version") == 3 and status["counters"].get("pushes") == 3)

    process.child.send_signal(signal.SIGKILL)
    process.child.wait()
    process.start()
    process.wait_for(process.is_ready)
    assert connected(client).pull("latest", tmp_path / "into").id == 3
    assert [info.id for info in client.list()] == [2, 3]
    client.close()
    process.wait_for(lambda status: status["counters"].get("pulls") == 1)
    assert process.status()["counters"]["pushes"] == 3  # counters go on

    process.child.send_signal(signal.SIGTERM)
    assert process.child.wait(WAIT_S) == EXIT_OK
    assert process.status()["state"] == "done"


def test_a_taken_port_names_the_key(process):
    with socket.create_server(("127.0.0.1", process.port)):
        child = process.start()
        output, _ = child.communicate(timeout=WAIT_S)
    assert child.returncode == EXIT_CONFIG
    assert f"model_pool_addr = 127.0.0.1:{process.port} cannot be listened on" in output
    assert "Change model_pool_addr" in output
