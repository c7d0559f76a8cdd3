"""End-to-end env steps/s while learning: whole meshes, started and stopped as a user does, one after the other.

    .venv/bin/python -m benchmarks.train                 # PPO on gym:CartPole-v1, 64-64, three runs of 60 s
    .venv/bin/python -m benchmarks.train --app ale:pong --runs 1 --seconds 120

Prints JSON: each run's figures, their medians, and each process's time by phase (env, predict, wait, send, sample,
learn) as a share of its wall time, with its CPU time, so that a wait and a limit can be told apart. Further, of each
run:

- `bare_env_steps_per_s`: what the same environments reach before it, stepped by nobody but benchmarks/bare.py on the
  same cores, and `share_of_bare`, the mesh's steps while learning as a share of that.
- `bytes_per_transition`: of the samples in the buffer, for each step that counts; and `bytes_with_stacks`, what it
  would be if stacked frames were stored as they are seen.
- `learner_wait_share`: the learner's time without a batch, as a share of its time since the first learn.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.bare import bare
from benchmarks.report import as_program, finish, run_mesh
from kaimesh import envs
from kaimesh.config import Config, load
from kaimesh.config.load import DEFAULT_CONF
from kaimesh.contract.errors import ConfigError
from kaimesh.operate.cli.start import overrides_of
from kaimesh.process.run_dir import RunDir

RESULTS = ("env_steps_per_s", "learner_steps", "return_mean_100", "policy_lag_mean")
MORE = ("bare_env_steps_per_s", "share_of_bare", "bytes_per_transition", "bytes_with_stacks", "learner_wait_share")
ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Runs the meshes and reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--app", default="gym:CartPole-v1")
    parser.add_argument("--algo", default="ppo")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of a run, from the mesh being up")
    parser.add_argument("--bare-seconds", type=float, default=10.0, help="for the environments alone; 0: not measured")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in tools/start.sh")
    parser.add_argument("--json", type=Path, help="also write the JSON here")
    arguments = parser.parse_args()
    config = load(DEFAULT_CONF, overrides_of(arguments.app, arguments.algo, arguments.set))
    runs = [one_run(arguments, config, number) for number in range(1, arguments.runs + 1)]
    figures = {key: [run["result"][key] for run in runs] for key in RESULTS}
    figures |= {key: [run[key] for run in runs] for key in MORE}
    known = {key: [value for value in values if value is not None] for key, values in figures.items()}
    medians = {key: statistics.median(values) if values else None for key, values in known.items()}
    finish(
        "train",
        {"app": arguments.app, "algo": arguments.algo, "set": arguments.set, "median": medians, "runs": runs},
        arguments.json,
    )


def one_run(arguments: argparse.Namespace, config: Config, number: int) -> dict[str, Any]:
    """Steps the environments alone, then starts a mesh, lets it end by its limit, and reads what it left."""
    command = [
        sys.executable,
        "-m",
        "kaimesh.operate.cli",
        "start",
        "--wait",
        "--algo",
        arguments.algo,
        "--app",
        arguments.app,
    ]
    command += ["--max-seconds", str(arguments.seconds)]
    for setting in arguments.set:
        command += ["--set", setting]
    alone = bare(config, arguments.bare_seconds) if arguments.bare_seconds else None
    print(f"run {number} of {arguments.runs}: {' '.join(command[1:])}", file=sys.stderr, flush=True)
    started = time.time()
    watch = Watch(ROOT / config.app.runs_dir)
    run_mesh(command)
    watch.close()
    run = RunDir.latest(ROOT / config.app.runs_dir)
    statuses, result = run.statuses(), json.loads(run.result.read_text())
    rate, reference = result["env_steps_per_s"], alone and alone["env_steps_per_s"]
    return {
        "wall_s": round(time.time() - started, 1),
        "result": result,
        "bare_env_steps_per_s": reference,
        "share_of_bare": rate / reference if rate and reference else None,
        **transition_bytes(config, statuses),
        "learner_wait_share": watch.learner_wait_share(),
        "processes": {name: process(status, watch.cpu.get(name, 0.0)) for name, status in statuses.items()},
    }


def process(status: dict[str, Any], cpu_s: float) -> dict[str, Any]:
    """One process's life: its length, CPU seconds, and phases as shares of it."""
    lived_s = status["time"] - status["started"]
    shares = {phase: round(seconds / lived_s, 4) for phase, seconds in status["phase_seconds"].items()}
    return {"lived_s": round(lived_s, 1), "cpu_s": round(cpu_s, 1), "phases": shares, "gauges": status["gauges"]}


def transition_bytes(config: Config, statuses: dict[str, dict[str, Any]]) -> dict[str, float | None]:
    """Bytes in the buffer for each environment step that a sample holds, and what they would be with whole stacks."""
    buffers = [status for name, status in statuses.items() if name.startswith("buffer")]
    made = sum(status["counters"].get("samples_made", 0) for status in statuses.values())
    steps = sum(
        status["counters"].get("env_steps", 0) - status["counters"].get("env_steps_unfinished", 0)
        for status in statuses.values()
    )
    if not made or not steps:
        return {"bytes_per_transition": None, "bytes_with_stacks": None}
    stored = max(status["gauges"].get("sample_bytes", 0.0) for status in buffers)
    app = config.app
    env = envs.make_vector(app.app, 1, env_conf=app.env_conf, max_episode_steps=app.max_episode_steps)
    count, spaces = env.offers.frame_stack, env.spaces
    env.close()
    stacked = stored
    if count:
        frame = np.dtype(spaces.obs_dtype).itemsize * math.prod(spaces.obs_shape) // count
        length = config.hyper["unroll_length"]
        stacked += frame * (count * (length + 1) - (length + count))
    return {"bytes_per_transition": stored * made / steps, "bytes_with_stacks": stacked * made / steps}


class Watch:
    """Reads the processes of the newest run once a second: their CPU seconds, and how the learner's wait grows."""

    def __init__(self, runs: Path) -> None:
        self.cpu: dict[str, float] = {}
        self._runs = runs
        self._learner: list[dict[str, Any]] = []  # its status at the first learn, and its last
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the reading."""
        self._done.set()
        self._thread.join()

    def learner_wait_share(self) -> float | None:
        """The learner's phase "wait" as a share of the time since its first learn."""
        if len(self._learner) < 2:
            return None
        first, last = self._learner
        waited = last["phase_seconds"].get("wait", 0.0) - first["phase_seconds"].get("wait", 0.0)
        share: float = waited / (last["time"] - first["time"])
        return share

    def _run(self) -> None:
        started = time.time()
        while not self._done.wait(1.0):
            try:
                run = RunDir.latest(self._runs)
            except ConfigError:  # no run yet
                continue
            for name, status in run.statuses().items():
                if status["started"] < started:  # an earlier run's
                    continue
                if name.startswith("learner") and status["counters"].get("learner_steps"):
                    self._learner = [self._learner[0], status] if self._learner else [status]
                with contextlib.suppress(psutil.NoSuchProcess):
                    times = psutil.Process(status["pid"]).cpu_times()
                    self.cpu[name] = times.user + times.system


if __name__ == "__main__":
    as_program(main)
