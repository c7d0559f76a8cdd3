"""Whether memory stays bounded and no sample disappears when one side is slow: a whole mesh, watched once a second.

    .venv/bin/python -m benchmarks.backpressure                       # IMPALA on ale:pong: 10 minutes, then 1
    .venv/bin/python -m benchmarks.backpressure --app gym:CartPole-v1 --seconds 60

First a learner that pauses in each learn (benchmarks/slow.py), then environments that pause in each step. Prints JSON:

- `slow_learner.memory`: MiB of each process 60 s after the first learn and at the end, and the slope of a line through
  the time in between (least squares), MiB per minute. It is what the process itself allocated (RssAnon of proc(5)),
  without the code and files that it shares with others, whose share depends on what else runs on the machine.
- `slow_learner.queue`: the most samples it held, and its capacity.
- `slow_learner.balance`: where each sample is after the stop, from counters of three kinds of processes. Each of
  `missing` is one process's rows in, less its rows out, and must be 0: made = learned + in the queue + in flight +
  unfinished.
- `says`: of each process, the share of the seconds in which it said that it waits, and what it said last.
- `slow_environments.learner_wait_share`: the learner's time without a batch, as a share of all.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.report import as_program, finish
from kaimesh.config import load
from kaimesh.config.load import DEFAULT_CONF
from kaimesh.operate.cli.start import overrides_of
from kaimesh.operate.local.mesh_file import pids
from kaimesh.process.run_dir import RunDir

ROOT = Path(__file__).resolve().parent.parent
ALGO = "slow"
SETTLED_S = 60.0  # from the first learn on; then every buffer has its size
FIRST_LEARN_S = 300.0
TICK_S = 1.0
KEPT = 10  # of so many seconds one is in the JSON
Statuses = Mapping[str, Mapping[str, Any]]


def main() -> None:
    """Runs both meshes and reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--app", default="ale:pong")
    parser.add_argument("--seconds", type=float, default=600.0, help="of the slow learner, from its first learn")
    parser.add_argument("--env-seconds", type=float, default=60.0, help="of the slow environments, likewise")
    parser.add_argument("--learn-pause", type=float, default=3.0, help="seconds added to each learn")
    parser.add_argument("--step-pause", type=float, default=0.2, help="seconds added to each step of some environments")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in tools/start.sh")
    parser.add_argument("--json", type=Path, help="also write the JSON here")
    parser.add_argument("--plot", type=Path, help="draw memory and queue of the slow learner")
    arguments = parser.parse_args()
    settings = ["algo_conf=benchmarks/slow.toml", *arguments.set]
    learner = slow_learner(arguments.app, arguments.seconds, arguments.learn_pause, settings)
    environments = slow_environments(arguments.app, arguments.env_seconds, arguments.step_pause, settings)
    if arguments.plot:
        draw(learner.ticks, learner.report["queue"]["capacity"], arguments.plot)
    what = {"app": arguments.app, "algo": "impala", "set": arguments.set}
    slow = {"seconds": arguments.seconds, "learn_pause_s": arguments.learn_pause, **learner.report}
    finish("backpressure", {**what, "slow_learner": slow, "slow_environments": environments}, arguments.json)


class Tick(NamedTuple):
    """One second of a mesh. seconds: since its first learn. memory: MiB by process. queue: samples in it."""

    seconds: float
    memory: dict[str, float]
    queue: int
    statuses: Statuses

    def kept(self) -> dict[str, Any]:
        """What of it goes into the report."""
        memory = {name: round(size, 1) for name, size in self.memory.items()}
        counters = {
            "made": _sum(self.statuses, "aisrv", "samples_made"),
            "acknowledged": _sum(self.statuses, "aisrv", "samples_acked"),
            "inserted": _sum(self.statuses, "buffer", "inserted"),
            "sampled": _sum(self.statuses, "buffer", "sampled"),
            "learned": _sum(self.statuses, "learner", "samples_learned"),
        }
        return {"seconds": round(self.seconds), "queue": self.queue, **counters, "memory": memory}


class Watched(NamedTuple):
    """A report, and the seconds that it is of."""

    report: dict[str, Any]
    ticks: list[Tick]


def slow_learner(app: str, seconds: float, pause_s: float, settings: Sequence[str]) -> Watched:
    """A mesh whose learner pauses for `pause_s` in each learn: its memory, its queue, and where each sample is."""
    with mesh(app, [*settings, f"{ALGO}.learn_seconds={pause_s}"]) as run:
        ticks = watch(run, seconds)
    statuses = run.statuses()
    queues = [status["gauges"]["capacity"] for name, status in statuses.items() if name.startswith("buffer")]
    report = {
        "learns": _sum(statuses, "learner", "learner_steps"),
        "memory": memory(ticks),
        "queue": {"most": max(tick.queue for tick in ticks), "capacity": int(sum(queues))},
        "balance": balance(statuses),
        "says": says(ticks),
        "timeline": [tick.kept() for tick in ticks[::KEPT]],
    }
    return Watched(report, ticks)


def slow_environments(app: str, seconds: float, pause_s: float, settings: Sequence[str]) -> dict[str, Any]:
    """A mesh whose environments pause for `pause_s` in each step: how long the learner waits, and what it says."""
    with mesh(app, [*settings, f"{ALGO}.step_seconds={pause_s}"]) as run:
        ticks = watch(run, seconds)
    first, last = (tick.statuses["learner_0"] for tick in (ticks[0], ticks[-1]))
    waited_s = last["phase_seconds"]["wait"] - first["phase_seconds"]["wait"]
    lines = (run.logs / "learner_0.log").read_text().splitlines()
    return {
        "seconds": seconds,
        "step_pause_s": pause_s,
        "learns": last["counters"]["learner_steps"] - first["counters"]["learner_steps"],
        "learner_wait_share": waited_s / (last["time"] - first["time"]),
        "says": says(ticks),
        "log": [line for line in lines if "blocked on buffer" in line][-1:],
        "balance": balance(run.statuses()),
    }


@contextlib.contextmanager
def mesh(app: str, settings: Sequence[str]) -> Iterator[RunDir]:
    """The run of a mesh that has learned once; it is stopped in order at the end."""
    command = [sys.executable, "-m", "kaimesh.operate.cli", "start", "--detach", "--app", app, "--algo", ALGO]
    runs_dir = load(DEFAULT_CONF, overrides_of(app, ALGO, list(settings))).app.runs_dir
    for setting in settings:
        command += ["--set", setting]
    subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr)
    run = RunDir.latest(ROOT / runs_dir)
    print(f"{run.root}", file=sys.stderr, flush=True)
    try:
        _wait_until(lambda: _sum(run.statuses(), "learner", "learner_steps") >= 1, "the first learn")
        yield run
    finally:
        stop = [sys.executable, "-m", "kaimesh.operate.cli", "stop", "all", "--run", str(run.root)]
        subprocess.run(stop, cwd=ROOT, check=True, stdout=sys.stderr)


def watch(run: RunDir, seconds: float) -> list[Tick]:
    """Looks at every process once a second."""
    began = time.monotonic()
    ticks = []
    while (now := time.monotonic() - began) <= seconds:
        statuses = run.statuses()
        queue = sum(int(status["gauges"].get("size", 0)) for name, status in statuses.items() if "buffer" in name)
        ticks.append(Tick(now, {name: _memory(pid) for name, pid in pids(run)}, queue, statuses))
        time.sleep(max(0.0, TICK_S * len(ticks) - (time.monotonic() - began)))
    return ticks


def memory(ticks: Sequence[Tick]) -> dict[str, dict[str, float]]:
    """Of each process and of all: MiB when it had settled and at the end, and MiB per minute in between."""
    settled = [tick for tick in ticks if tick.seconds >= min(SETTLED_S, ticks[-1].seconds / 2)]
    minutes = np.array([tick.seconds / 60 for tick in settled])
    sizes = {name: np.array([tick.memory.get(name, 0.0) for tick in settled]) for name in settled[-1].memory}
    sizes["total"] = np.sum(list(sizes.values()), axis=0)
    return {
        name: {
            "settled": round(float(size[0]), 1),
            "end": round(float(size[-1]), 1),
            "most": round(float(size.max()), 1),
            "per_minute": round(float(np.polyfit(minutes, size, 1)[0]), 3),
        }
        for name, size in sizes.items()
    }


def balance(statuses: Statuses) -> dict[str, Any]:
    """Where the samples are after an orderly stop; in flight: those that the buffer did not get, or had no room for."""
    of = {
        name: _sum(statuses, "aisrv", f"samples_{name}") for name in ("made", "acked", "refused", "lost", "unfinished")
    }
    inserted, sampled = (_sum(statuses, "buffer", name) for name in ("inserted", "sampled"))
    size, pending = (
        int(sum(status["gauges"].get(name, 0) for status in statuses.values())) for name in ("size", "pending")
    )
    learned, again, unfinished = (
        _sum(statuses, "learner", f"samples_{name}") for name in ("learned", "replayed", "unfinished")
    )
    learned -= again
    in_flight = of["made"] - of["unfinished"] - of["refused"] - inserted + pending
    return {
        "made": of["made"],
        "learned": learned,
        "in_queue": size,
        "in_flight": in_flight,
        "refused": of["refused"],
        "unfinished": {"aisrv": of["unfinished"], "learner": unfinished},
        "aisrv": of,
        "buffer": {"inserted": inserted, "sampled": sampled, "size": size, "pending": pending},
        "missing": {
            "aisrv": of["made"] - of["acked"] - of["refused"] - of["lost"] - of["unfinished"],
            "buffer": inserted - sampled - size - pending,
            "learner": sampled - learned - unfinished,
            "lost_uncounted": max(0, in_flight - of["lost"]),
        },
    }


def says(ticks: Sequence[Tick]) -> dict[str, dict[str, Any]]:
    """What the processes that waited said of it."""
    found = {}
    for name in ticks[-1].statuses:
        waits = [status for tick in ticks if (status := tick.statuses.get(name, {})).get("state") == "waiting"]
        if waits:
            last = waits[-1]
            found[name] = {
                "share": round(len(waits) / len(ticks), 3),
                "last": f"waiting {last['time'] - last['since']:.0f} s for {last['blocked_on']}",
            }
    return found


def draw(ticks: Sequence[Tick], capacity: int, out: Path) -> None:
    """Memory and queue over time."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (above, below) = pyplot.subplots(
        2, 1, sharex=True, height_ratios=(3, 1), figsize=(9, 6), layout="constrained"
    )
    minutes = [tick.seconds / 60 for tick in ticks]
    above.plot(minutes, [sum(tick.memory.values()) for tick in ticks], color="black", label="total")
    for name in sorted(ticks[-1].memory, key=lambda name: -ticks[-1].memory[name]):
        above.plot(minutes, [tick.memory.get(name, float("nan")) for tick in ticks], label=name)
    above.set_ylabel("allocated memory, MiB")
    below.plot(minutes, [tick.queue for tick in ticks], label="in the queue")
    below.axhline(capacity, color="black", linestyle="dashed", linewidth=1, label="capacity")
    below.set_ylabel("samples")
    below.set_xlabel("minutes since the first learn")
    for axes in (above, below):
        axes.set_ylim(0, 1.05 * axes.get_ylim()[1])
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    pyplot.close(figure)


def _memory(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:  # it has ended
        return 0.0
    return sum(float(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon:"))


def _sum(statuses: Statuses, role: str, counter: str) -> int:
    counters = [status.get("counters", {}) for name, status in statuses.items() if name.startswith(f"{role}_")]
    return int(sum(of.get(counter, 0) for of in counters))


def _wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + FIRST_LEARN_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come within {FIRST_LEARN_S:.0f} s; see the run's logs")
        time.sleep(0.2)


if __name__ == "__main__":
    as_program(main)
