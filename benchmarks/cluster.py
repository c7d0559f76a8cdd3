"""What containers cost: env steps/s of the same CartPole run in containers and as local processes, in turn.

    .venv/bin/python -m benchmarks.cluster                    # three pairs of 60 s
    .venv/bin/python -m benchmarks.cluster --runs 1 --seconds 20

Prints JSON: each pair, and the median of the ratios. The containers have no limits that the processes do not have.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.report import as_program, finish
from kaimesh.process.run_dir import RunDir
from kaimesh.wire.proxies import open_here

ROOT = Path(__file__).resolve().parent.parent
PROJECT, PAGE_PORT, CURVES_PORT = "kaimesh-benchmark", 18090, 16006
SETTLE_S = 15.0  # after the first learn: until throughput is what it will be


def main() -> None:
    """Runs the pairs and reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--json", type=Path, help="also write the JSON here")
    arguments = parser.parse_args()
    pairs = [
        {"containers": in_containers(arguments.seconds), "processes": as_processes(arguments.seconds)}
        for _ in range(arguments.runs)
    ]
    ratios = [pair["containers"] / pair["processes"] for pair in pairs]
    finish("cluster", {"pairs": pairs, "ratios": ratios, "median_ratio": statistics.median(ratios)}, arguments.json)


def in_containers(seconds: float) -> float:
    """Env steps/s over `seconds` after it has settled."""
    cores = str(os.cpu_count())
    limits = {f"{role}_CPUS": cores for role in ("BUFFER", "LEARNER", "ACTOR", "AISRV")}
    threads = {"COMPOSE_PROJECT_NAME": PROJECT, "STATUS_PORT": str(PAGE_PORT), "TENSORBOARD_PORT": str(CURVES_PORT)}
    environ = {**os.environ, **limits, **threads}
    try:
        _compose(environ, "up", "-d", "--wait", "--scale", "tensorboard=0")
        while not _report().get("learner_steps"):
            time.sleep(0.5)
        return _rate(lambda: float(_report()["env_steps"]), seconds)
    finally:
        _compose(environ, "down", "--volumes")


def as_processes(seconds: float) -> float:
    """The same, started as a user starts it on one machine."""
    command = [sys.executable, "-m", "kaimesh.operate.cli"]
    subprocess.run([*command, "start", "--detach"], cwd=ROOT, check=True, stdout=sys.stderr)
    run = RunDir.latest(ROOT / "runs")

    def total(counter: str) -> float:
        return float(sum(status.get("counters", {}).get(counter, 0) for status in run.statuses().values()))

    try:
        while not total("learner_steps"):
            time.sleep(0.5)
        return _rate(lambda: total("env_steps"), seconds)
    finally:
        subprocess.run([*command, "stop", "all"], cwd=ROOT, check=True, stdout=sys.stderr)


def _rate(steps: Any, seconds: float) -> float:
    time.sleep(SETTLE_S)
    began, before = time.monotonic(), steps()
    time.sleep(seconds)
    return float((steps() - before) / (time.monotonic() - began))


def _report() -> dict[str, Any]:
    try:
        with open_here(f"http://127.0.0.1:{PAGE_PORT}/status.json", 5.0) as answer:
            return dict(json.load(answer))
    except OSError:
        return {}


def _compose(environ: dict[str, str], *words: str) -> None:
    subprocess.run(["docker", "compose", *words], cwd=ROOT, env=environ, check=True, stdout=sys.stderr)


if __name__ == "__main__":
    as_program(main)
