"""End-to-end env steps/s while learning: whole meshes, started and stopped as a user does, one after the other.

    .venv/bin/python -m benchmarks.train                 # PPO on gym:CartPole-v1, 64-64, three runs of 60 s
    .venv/bin/python -m benchmarks.train --app ale:pong --runs 1 --seconds 120

Prints JSON: each run's figures, their medians, and each process's time by phase (env, predict, wait, send, sample, learn)
as a share of its wall time, with its CPU time, so that a wait and a limit can be told apart.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.report import finish
from kaimesh.errors import ConfigError
from kaimesh.run import RunDir

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Runs the meshes and reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--app", default="gym:CartPole-v1")
    parser.add_argument("--algo", default="ppo")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of a run, from the mesh being up")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in tools/start.sh")
    parser.add_argument("--json", type=Path, help="also write the JSON here")
    arguments = parser.parse_args()
    runs = [one_run(arguments, number) for number in range(1, arguments.runs + 1)]
    keys = ("env_steps_per_s", "learner_steps", "return_mean_100", "policy_lag_mean")
    medians = {key: statistics.median([run["result"][key] or 0.0 for run in runs]) for key in keys}
    finish(
        "train",
        {"app": arguments.app, "algo": arguments.algo, "set": arguments.set, "median": medians, "runs": runs},
        arguments.json,
    )


def one_run(arguments: argparse.Namespace, number: int) -> dict[str, Any]:
    """Starts a mesh, lets it end by its limit, and reads what it left."""
    command = [sys.executable, "-m", "kaimesh.cli", "start", "--wait", "--algo", arguments.algo, "--app", arguments.app]
    command += ["--max-seconds", str(arguments.seconds)]
    for setting in arguments.set:
        command += ["--set", setting]
    cpu: dict[str, float] = {}
    done = threading.Event()
    sampler = threading.Thread(target=sample_cpu, args=(cpu, done), daemon=True)
    print(f"run {number} of {arguments.runs}: {' '.join(command[1:])}", file=sys.stderr, flush=True)
    started = time.time()
    sampler.start()
    subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr)
    done.set()
    run = RunDir.latest(ROOT / "runs")
    processes = {}
    for name, status in run.statuses().items():
        lived_s = status["time"] - status["started"]
        shares = {phase: round(seconds / lived_s, 4) for phase, seconds in status["phase_seconds"].items()}
        processes[name] = {
            "lived_s": round(lived_s, 1),
            "cpu_s": round(cpu.get(name, 0.0), 1),
            "phases": shares,
            "gauges": status["gauges"],
        }
    return {
        "wall_s": round(time.time() - started, 1),
        "result": json.loads(run.result.read_text()),
        "processes": processes,
    }


def sample_cpu(cpu: dict[str, float], done: threading.Event) -> None:
    """CPU seconds of each process of the newest run, read while they live."""
    while not done.wait(1.0):
        try:
            statuses = RunDir.latest(ROOT / "runs").statuses()
        except ConfigError:  # no run yet
            continue
        for name, status in statuses.items():
            try:
                times = psutil.Process(status["pid"]).cpu_times()
            except psutil.NoSuchProcess:
                continue
            cpu[name] = times.user + times.system


if __name__ == "__main__":
    main()
