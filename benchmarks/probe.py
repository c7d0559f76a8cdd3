"""The work that benchmarks/pairs.py measures, with the code of whatever checkout is first on the path.

    probe.py train SECONDS      one mesh; prints JSON with `cpu_us`
    probe.py WHAT COUNTS        goes on until it is killed, and counts in the file COUNTS (int64)

It runs as a file, so that the checkout under test needs no part of it.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, NoReturn

_LONGEST_S = 600  # of a mesh whose end nobody orders
_SETTLE_S = 4.0  # of a mesh, from its first learn to the first look


def _module(*names: str) -> ModuleType:
    """The first of these below kaimesh that the checkout has: before version 0.2 some were called otherwise."""
    found = next(name for name in names if _is_there(f"kaimesh.{name}"))
    return importlib.import_module(f"kaimesh.{found}")


def _actor_client() -> ModuleType:
    return importlib.import_module("kaimesh.actor.client" if _is_there("kaimesh.actor.client") else "actor.client")


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


class Look(NamedTuple):
    """A mesh at one moment: its CPU time [s] over all processes, its env steps, and when each was read [s]."""

    cpu_s: float
    cpu_at: float
    env_steps: float
    steps_at: float


def train(seconds: float) -> float:
    """CPU us per env step of a whole mesh, supervisord and the keeper with it."""
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder)
        command = [
            sys.executable,
            "-m",
            _module("operate.cli", "cli").__name__,
            "start",
            "--wait",
            "--max-seconds",
            str(_LONGEST_S),
        ]
        for key, value in {"runs_dir": folder, **_addresses()}.items():
            command += ["--set", f"{key}={value}"]
        mesh = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            while not any(_counter(runs, "learner_steps")):
                if mesh.poll() is not None:
                    raise RuntimeError(f"the mesh ended with {mesh.returncode} before its first learn")
                time.sleep(0.2)
            time.sleep(_SETTLE_S)
            first = _look(runs)
            time.sleep(seconds)
            last = _look(runs)
        finally:
            stop = [*command[:3], "stop", "all"]
            subprocess.run(stop, env={**os.environ, "runs_dir": folder}, stdout=subprocess.DEVNULL, check=False)
            mesh.wait()
    cpu_per_s = (last.cpu_s - first.cpu_s) / (last.cpu_at - first.cpu_at)
    steps_per_s = (last.env_steps - first.env_steps) / (last.steps_at - first.steps_at)
    return cpu_per_s / steps_per_s * 1e6


def _addresses() -> dict[str, str]:
    """The keys of a mesh's ports, all free now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(5)]
    reverb, ingest, actor, learner, pool = (f"127.0.0.1:{sock.getsockname()[1]}" for sock in sockets)
    for sock in sockets:
        sock.close()
    return {
        "buffer_addrs": json.dumps([reverb]),
        "buffer_ingest_addrs": json.dumps([ingest]),
        "actor_addrs": json.dumps([actor]),
        "learner_addr": learner,
        "model_pool_addr": pool,
    }


def _statuses(runs: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in runs.glob("latest/status/[!.]*.json")]


def _counter(runs: Path, name: str) -> list[float]:
    return [status["counters"].get(name, 0) for status in _statuses(runs)]


def _look(runs: Path) -> Look:
    import psutil

    pids = {status["pid"] for status in _statuses(runs)} | {int((runs / "latest" / "supervisord.pid").read_text())}
    cpu_at = time.time()
    cpu_s = sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids)
    steppers = [status for status in _statuses(runs) if status["counters"].get("env_steps")]
    steps = sum(status["counters"]["env_steps"] for status in steppers)
    return Look(cpu_s, cpu_at, steps, sum(status["time"] for status in steppers) / len(steppers))


def predict(clients: int, rows: int) -> Callable[[Path], None]:
    """Clients that ask an actor for ever, `rows` observations at a time; each has a count of its own."""

    def work(counts: Path) -> None:
        from benchmarks.predict import serve

        context = multiprocessing.get_context("spawn")
        port, port_end = context.Pipe()
        never = context.Event()
        context.Process(target=serve, args=("numpy", port_end, never), daemon=True).start()
        number = port.recv()
        processes = [
            context.Process(target=ask, args=(number, rows, counts, slot), daemon=True) for slot in range(clients)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()

    return work


def ask(port: int, rows: int, counts: Path, slot: int) -> None:
    """One client's process."""
    import numpy as np

    from benchmarks.predict import LAYERS, TOKEN

    meter = _module("process.meter", "metrics").Meter("client")
    client = _actor_client().ActorClient(
        [f"127.0.0.1:{port}"], token=TOKEN, name=f"client {slot}", meter=meter, stop=threading.Event(), spaces=None,
        timeout_s=30.0,
    )  # fmt: skip
    batch = _module("contract.arrays", "arrays").Batch(
        {"obs": np.random.default_rng(0).normal(size=(rows, LAYERS[0])).astype(np.float32)}
    )
    for_ever(counts, slot)(lambda: client.predict(batch))


def through_buffer(role: str, load: str, *kind: str) -> Callable[[Path], None]:
    """A client of a buffer in one of benchmarks/buffer's roles, for ever."""

    def work(counts: Path) -> None:
        from benchmarks import buffer

        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        ports = [sock.getsockname()[1] for sock in sockets]
        for sock in sockets:
            sock.close()
        buffer.answer(buffer.child("serve_ours", load, *ports, *kind))
        buffer.timed = for_ever(counts, 0)
        getattr(buffer, role)(load, *ports, 0.0, *kind)

    return work


def for_ever(counts: Path, slot: int) -> Callable[..., NoReturn]:
    """A function that repeats its first argument and counts in `counts`, a file of int64."""
    import numpy as np

    count = np.memmap(counts, np.int64, "r+")

    def repeat(action: Callable[[], Any], *_: Any) -> NoReturn:
        while True:
            action()
            count[slot] += 1

    return repeat


class Steady(NamedTuple):
    """Work that goes on until it is killed. units: how many predictions or rows each of its counts stands for."""

    work: Callable[[Path], None]
    units: int


STEADY = {
    "predict": Steady(predict(4, 32), 32),
    "predict-1": Steady(predict(16, 1), 1),
    "buffer-in": Steady(through_buffer("insert_ours", "trajectories_32x128"), 16),
    "buffer-queue": Steady(through_buffer("learn_ours", "single_steps", "queue"), 1024),
    "buffer-replay": Steady(through_buffer("learn_ours", "single_steps", "replay"), 1024),
}
MOST_COUNTS = 16  # of one work


if __name__ == "__main__":
    _module("process.life", "lifecycle").set_threads(1)
    if sys.argv[1] == "train":
        print(json.dumps({"cpu_us": train(float(sys.argv[2]))}))
    else:
        STEADY[sys.argv[1]].work(Path(sys.argv[2]))
