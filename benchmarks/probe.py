"""One measurement for benchmarks/pairs.py, with the code of whatever checkout is first on the path; prints JSON with `cpu_us`.

It runs as a file, so that the checkout under test needs no part of it.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

_SHORT_S = 0.5
_LONGEST_S = 600  # of a mesh whose end nobody orders
_SETTLE_S = 4.0  # of a mesh, from its first learn to the first look


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
        command = [sys.executable, "-m", "kaimesh.cli", "start", "--wait", "--max-seconds", str(_LONGEST_S)]
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


def difference(work: Callable[[float], float], seconds: float) -> float:
    """CPU us of the children per unit of `work(seconds)`, which returns units/s: a long measurement less a short one."""
    spent: dict[float, tuple[float, float]] = {}
    for length in (_SHORT_S, _SHORT_S + seconds):
        before = _children_s()
        rate = work(length)
        spent[length] = (_children_s() - before, rate)
    (short_cpu, short_rate), (long_cpu, long_rate) = spent.values()
    units = long_rate * (_SHORT_S + seconds) - short_rate * _SHORT_S
    return (long_cpu - short_cpu) / units * 1e6


def _children_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def predict(clients: int, rows: int) -> Callable[[float], float]:
    """Predictions/s of an actor and its clients."""
    from benchmarks.predict import over_tcp

    return lambda seconds: over_tcp("numpy", clients, rows, seconds)[0]


def rows(what: str, load: str, *kind: str) -> Callable[[float], float]:
    """Rows/s through a buffer and its client."""
    from benchmarks.buffer import once

    return lambda seconds: once(what, "ours", load, seconds, *kind) * 1.25  # a quarter of the time warms up


PROBES: dict[str, Callable[[float], float]] = {
    "train": train,
    "predict": lambda seconds: difference(predict(4, 32), seconds),
    "predict-1": lambda seconds: difference(predict(16, 1), seconds),
    "buffer-in": lambda seconds: difference(rows("insert", "trajectories_32x128"), seconds),
    "buffer-queue": lambda seconds: difference(_steps("queue"), seconds),
    "buffer-replay": lambda seconds: difference(_steps("replay"), seconds),
}


def _steps(kind: str) -> Callable[[float], float]:
    """Single steps/s up to `learn`: benchmarks/buffer's batches times their rows."""
    return rows("learn", "single_steps", kind)


if __name__ == "__main__":
    from kaimesh.lifecycle import set_threads

    set_threads(1)
    print(json.dumps({"cpu_us": PROBES[sys.argv[1]](float(sys.argv[2]))}))
