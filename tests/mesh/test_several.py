"""Two buffers and two actors: samples go to both servers; aisrv share the actors, and leave one that is gone."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

from tests.harness import WAIT_S, Mesh, free_ports, wait_until


def two(count: int = 2) -> str:
    """That many addresses, as a config value."""
    return json.dumps([f"127.0.0.1:{port}" for port in free_ports(count)])


def told_after(mesh: Mesh, moment: float, *processes: str) -> None:
    """Waits until each process has published since `moment`; before that its counters may be a second old."""
    for name in processes:
        wait_until(lambda name=name: mesh.of(name)["time"] > moment, WAIT_S, f"{name} publishes")


def test_lists_of_servers_are_all_used(mesh: Mesh) -> None:
    addresses: dict[str, Any] = {key: two() for key in ("buffer_addrs", "buffer_ingest_addrs", "actor_addrs")}
    mesh.start(
        "--detach",
        app="catch",
        aisrv_count=2,
        aisrv_connect_to_kaiwu_env_count=8,
        predict_timeout_seconds=8,  # the first answers wait for TensorFlow
        **addresses,
    )
    for buffer in ("buffer_0", "buffer_1"):
        mesh.wait_for(buffer, "inserted", 200)
    for actor in ("actor_0", "actor_1"):
        mesh.wait_for(actor, "predictions", 200)
    mesh.wait_for("learner_0", "learner_steps", 5)

    frozen = mesh.of("actor_0")["pid"]  # not killed: it would be back before anybody had to move
    os.kill(frozen, signal.SIGSTOP)
    try:
        told_after(mesh, time.time(), "actor_1", "aisrv_0", "aisrv_1")
        served = mesh.counter("actor_1", "predictions")
        for name in ("aisrv_0", "aisrv_1"):
            mesh.wait_for(name, "env_steps", mesh.counter(name, "env_steps") + 2000)
        mesh.wait_for("actor_1", "predictions", served + 2000)
    finally:
        os.kill(frozen, signal.SIGCONT)
    wait_until(lambda: mesh.of("actor_0")["time"] > mesh.of("actor_1")["time"] - 5, WAIT_S, "the frozen actor goes on")
    learned = mesh.counter("learner_0", "learner_steps")
    mesh.wait_for("learner_0", "learner_steps", learned + 3)
