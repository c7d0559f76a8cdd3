"""CPU microseconds per unit of work of this checkout and another: interleaved pairs, and the interval of their ratio.

    git worktree add ../base COMMIT && ln -s "$PWD/.venv" ../base/.venv
    .venv/bin/python -m benchmarks.pairs ../base                      # everything, about half an hour
    .venv/bin/python -m benchmarks.pairs ../base --what predict --pairs 20

What is measured, all processes of the work summed:

train          env steps of a whole mesh while it learns (gym:CartPole-v1, PPO), between two looks at its processes
predict        predictions (benchmarks/predict, its NumPy network), 4 clients of 32 rows; predict-1: 16 clients of one
buffer-in      trajectories [32, 128] until they are acknowledged (benchmarks/buffer)
buffer-queue   single steps through a queue up to `learn`, written and read; buffer-replay: read from a replay table

Meshes run one after the other. Of the rest both sides stand ready, and each is stopped while the other has its turn of
a fifth of a second, so that a noisy neighbour of the machine is in both. Processes of the same code differ by up to 3 %
from start to start (where their memory lies), so the interval is that of the starts. Each side's code is its own; this
file, turns.py and probe.py are this checkout's. A ratio below 1 says that this checkout is cheaper.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.probe import STEADY
from benchmarks.report import ROOT, as_program, finish
from benchmarks.turns import Side

WHAT = ("train", *STEADY)
_RESAMPLES = 10_000
_SLOWED_BY = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # set to an older core, they make NumPy's products slower


def environment_of(checkout: Path) -> dict[str, str]:
    """Of a probe that imports the checkout's own code."""
    environment = {name: value for name, value in os.environ.items() if name not in _SLOWED_BY}
    return {**environment, "PYTHONPATH": str(checkout), "PYTHONSAFEPATH": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}


def mesh_cost(checkout: Path, seconds: float) -> float:
    """CPU microseconds per env step. Raises CalledProcessError."""
    command = [sys.executable, str(ROOT / "benchmarks" / "probe.py"), "train", str(seconds)]
    done = subprocess.run(
        command, cwd=checkout, env=environment_of(checkout), text=True, check=True, stdout=subprocess.PIPE
    )
    return float(json.loads(done.stdout.splitlines()[-1])["cpu_us"])


def of_meshes(base: Path, pairs: int, seconds: float) -> Iterator[dict[str, float]]:
    """Costs of a mesh of either checkout, one after the other."""
    for pair in range(pairs):
        yield {side: mesh_cost({"base": base, "here": ROOT}[side], seconds) for side in _order(pair)}


def of_turns(base: Path, what: str, pairs: int, turns: int, seconds: float) -> Iterator[dict[str, float]]:
    """Costs of `what`, each the median of `turns` turns of `seconds`. Both sides start anew for each pair, in turns the
    one and the other first.
    """
    for pair in range(pairs):
        with ExitStack() as stack:
            sides: dict[str, Side] = {}
            for name in _order(pair):
                checkout = {"base": base, "here": ROOT}[name]
                sides[name] = stack.enter_context(Side(what, checkout, environment_of(checkout)))
            for side in sides.values():
                side.start()
            costs = [{side: sides[side].turn(seconds) for side in _order(pair + turn)} for turn in range(turns)]
        ratio = float(np.median([cost["here"] / cost["base"] for cost in costs]))  # of neighbours in time
        middle = float(np.median([cost["base"] for cost in costs]))
        yield {"base": middle, "here": middle * ratio}


def _order(pair: int) -> tuple[str, str]:
    return ("base", "here") if pair % 2 == 0 else ("here", "base")


def interval(ratios: list[float]) -> tuple[float, float, float]:
    """Median of `ratios`, and the 95 % interval of that median by the bootstrap: (median, low, high)."""
    values = np.asarray(ratios)
    drawn = np.random.default_rng(0).choice(values, (_RESAMPLES, len(values)))  # [resamples, pairs]
    low, high = np.quantile(np.median(drawn, axis=1), (0.025, 0.975))
    return float(np.median(values)), float(low), float(high)


def compare(what: str, found: Iterator[dict[str, float]]) -> dict[str, Any]:
    """Pairs of costs and the interval of their ratio, this checkout's by the other's."""
    costs: dict[str, list[float]] = {"base": [], "here": []}
    for number, pair in enumerate(found, 1):
        for side, cost in pair.items():
            costs[side].append(cost)
        told = {side: round(values[-1], 3) for side, values in costs.items()}
        print(f"{what}, pair {number}: {told}", file=sys.stderr, flush=True)
    median, low, high = interval([here / there for here, there in zip(costs["here"], costs["base"], strict=True)])
    medians = {f"{side}_us": round(float(np.median(values)), 3) for side, values in costs.items()}
    return {
        **medians,
        "pairs": len(costs["base"]),
        "ratio": round(median, 4),
        "interval_95": [round(low, 4), round(high, 4)],
        "runs": {side: [round(value, 3) for value in values] for side, values in costs.items()},
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path, help="the other checkout, with a .venv")
    parser.add_argument("--what", nargs="+", choices=WHAT, default=list(WHAT), help="only these")
    parser.add_argument("--pairs", type=int, default=12, help="starts of both sides (default: %(default)s)")
    parser.add_argument(
        "--mesh-seconds", type=float, default=8.0, help="length of a mesh's measurement (default: %(default)s)"
    )
    parser.add_argument("--turns", type=int, default=40, help="turns of each pair (default: %(default)s)")
    parser.add_argument("--turn-seconds", type=float, default=0.2, help="length of a turn (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="also write the JSON here")
    arguments = parser.parse_args()
    base = arguments.base.resolve()
    if not (base / "kaimesh").is_dir():
        parser.error(f"{base} is no checkout of kaimesh: it has no folder kaimesh/")
    found = {}
    for what in arguments.what:
        if what == "train":
            pairs = of_meshes(base, arguments.pairs, arguments.mesh_seconds)
        else:
            pairs = of_turns(base, what, arguments.pairs, arguments.turns, arguments.turn_seconds)
        found[what] = compare(what, pairs)
    finish("pairs", {"base": str(base), **found}, arguments.json)


if __name__ == "__main__":
    as_program(main)
