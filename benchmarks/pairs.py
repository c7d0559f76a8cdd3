"""CPU microseconds per unit of work, of this checkout beside another: interleaved pairs, and the interval of their ratio.

    git worktree add ../base COMMIT && ln -s "$PWD/.venv" ../base/.venv
    .venv/bin/python -m benchmarks.pairs ../base                      # everything, ten pairs each
    .venv/bin/python -m benchmarks.pairs ../base --what train --pairs 12 --seconds 20

What is measured, all processes of the work summed:

train          env steps of a whole mesh while it learns (gym:CartPole-v1, PPO), between two looks at its processes
predict        predictions, 4 clients of 32 rows; predict-1: 16 clients of one row (benchmarks/predict, its NumPy network)
buffer-in      trajectories [32, 128] until they are acknowledged (benchmarks/buffer)
buffer-queue   single steps through a queue up to `learn`, written and read; buffer-replay: read from a replay table

The last five run a short and a long measurement, whose difference holds no start-up. Each side's code is its own; only this file and
benchmarks/probe.py are this checkout's. A ratio below 1 says that this checkout is cheaper. Within a pair the order alternates.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.probe import PROBES
from benchmarks.report import ROOT, finish

_RESAMPLES = 10_000
_SLOWED_BY = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # set to an older core, they make NumPy's products slower


def cost(checkout: Path, what: str, seconds: float) -> float:
    """CPU microseconds per unit, measured by a probe that imports the checkout's own code. Raises CalledProcessError."""
    environment = {name: value for name, value in os.environ.items() if name not in _SLOWED_BY}
    environment |= {"PYTHONPATH": str(checkout), "PYTHONSAFEPATH": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, str(ROOT / "benchmarks" / "probe.py"), what, str(seconds)]
    done = subprocess.run(command, cwd=checkout, env=environment, text=True, check=True, stdout=subprocess.PIPE)
    return float(json.loads(done.stdout.splitlines()[-1])["cpu_us"])


def interval(ratios: list[float]) -> tuple[float, float, float]:
    """Median of `ratios`, and the 95 % interval of that median by the bootstrap: (median, low, high)."""
    values = np.asarray(ratios)
    drawn = np.random.default_rng(0).choice(values, (_RESAMPLES, len(values)))  # [resamples, pairs]
    low, high = np.quantile(np.median(drawn, axis=1), (0.025, 0.975))
    return float(np.median(values)), float(low), float(high)


def compare(base: Path, what: str, pairs: int, seconds: float) -> dict[str, Any]:
    """`pairs` costs of both checkouts in turn, and their ratio, this one's by the other's."""
    costs: dict[str, list[float]] = {"base": [], "here": []}
    for pair in range(pairs):
        for side in ("base", "here") if pair % 2 == 0 else ("here", "base"):
            costs[side].append(cost(base if side == "base" else ROOT, what, seconds))
        told = {side: round(found[-1], 3) for side, found in costs.items()}
        print(f"{what}, pair {pair + 1} of {pairs}: {told}", file=sys.stderr, flush=True)
    median, low, high = interval([here / there for here, there in zip(costs["here"], costs["base"], strict=True)])
    medians = {f"{side}_us": round(float(np.median(found)), 3) for side, found in costs.items()}
    return {
        **medians,
        "ratio": round(median, 4),
        "interval_95": [round(low, 4), round(high, 4)],
        "runs": {side: [round(value, 3) for value in found] for side, found in costs.items()},
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path, help="the other checkout, with a .venv")
    parser.add_argument("--what", nargs="+", choices=PROBES, default=list(PROBES), help="only these")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=8.0, help="length of one measurement")
    parser.add_argument("--json", type=Path, help="also write the JSON here")
    arguments = parser.parse_args()
    base = arguments.base.resolve()
    if not (base / "kaimesh").is_dir():
        parser.error(f"{base} is no checkout of kaimesh: it has no folder kaimesh/")
    found = {what: compare(base, what, arguments.pairs, arguments.seconds) for what in arguments.what}
    finish(
        "pairs", {"base": str(base), "pairs": arguments.pairs, "seconds": arguments.seconds, **found}, arguments.json
    )


if __name__ == "__main__":
    main()
