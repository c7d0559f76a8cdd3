"""The wiring, from a configuration to an open port."""

from __future__ import annotations

import logging
import socket
import threading
from pathlib import Path

import pytest

from kaimesh.actor.client import ActorClient
from kaimesh.actor.service import ActorService
from kaimesh.config import load
from kaimesh.contract.arrays import Batch
from kaimesh.contract.errors import MeshError
from kaimesh.process.life import Context
from kaimesh.process.meter import Meter
from kaimesh.process.run_dir import RunDir
from tests.actor.conftest import DEADLINE_S, SPACES, TOKEN, rows
from tests.harness import ROOT, free_ports, wait_until


def context_of(port: int, folder: Path) -> Context:
    overrides = {
        "actor_addrs": f'["127.0.0.1:{port}"]',
        "model_pool_addr": f"127.0.0.1:{free_ports(1)[0]}",
        "predict_batch_size": "4",
    }
    config = load(ROOT / "conf/configure_app.toml", overrides)
    run = RunDir(folder)
    run.prepare()
    return Context(
        "actor_0", 0, config, run, TOKEN, 1, Meter("actor_0"), logging.getLogger("actor_0"), threading.Event()
    )


def test_it_serves_on_the_configured_port_until_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    (port,) = free_ports(1)
    context = context_of(port, tmp_path)
    service = ActorService(context)
    assert context.meter.info["port"] == port
    thread = threading.Thread(target=service.run, daemon=True)
    thread.start()
    client = ActorClient(
        [f"127.0.0.1:{port}"],
        token=TOKEN,
        name="aisrv_0/0",
        meter=Meter("aisrv_0"),
        stop=threading.Event(),
        spaces=SPACES,
        timeout_s=DEADLINE_S,
    )
    client.send(Batch(rows(2).columns))
    wait_until(
        lambda: "no model yet" in context.meter.snapshot()["blocked_on"], DEADLINE_S, "it says what it waits for"
    )
    context.stop.set()
    thread.join(DEADLINE_S)
    assert not thread.is_alive()
    client.close()
    service.close()


def test_a_taken_port_names_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    listener = socket.create_server(("127.0.0.1", 0))
    with listener, pytest.raises(MeshError, match=r"actor_addrs\[0\].*Change the port in actor_addrs"):
        ActorService(context_of(listener.getsockname()[1], tmp_path))
