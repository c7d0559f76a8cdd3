"""Simulations per second of MuZero's search on one core, against mctx in turns, with a trained network.

    .venv/bin/python -m benchmarks.search                  # all cases, a few minutes
    .venv/bin/python -m benchmarks.search --units 64 --rows 64 --rounds 5

The network is an MLP of tic-tac-toe, A = 9, two players, one hidden layer in dynamics and in prediction, which this
program teaches first (benchmarks/taught.py). Both sides search the same roots, positions of the game, with the same
rule (mctx's normalisation), so that their trees are equal; `same_visits` says how nearly. Besides:

bounds    our rule for board games, which mctx does not have
tree_ns   ns a simulation without the network: its answers are recorded, and the same trees are grown again
net_ns    ns a simulation of the network alone: what no search is faster than
depth     moves from the root to the node that a simulation makes, on average

Rates are by CPU seconds of this process, pinned to one core, so that others who use the machine do not count. A ratio
above 1 says that we are faster; intervals are those of its median over the rounds.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.pairs import environment_of, interval
from benchmarks.report import ROOT, as_program, finish

_ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}
_NS = {"tree_ns": "trees", "net_ns": "network"}
_LEARNS = 3000
_TURN_S = 0.3


class Case(NamedTuple):
    """What is compared. kind: puct or gumbel."""

    units: int
    rows: int
    kind: str


CASES = tuple(Case(units, rows, kind) for units in (64, 256) for kind in ("puct", "gumbel") for rows in (1, 16, 64))


def measure(case: Case, weights: dict[str, np.ndarray], rules: Any, simulations: int, rounds: int) -> dict[str, Any]:
    """All figures of a case."""
    from benchmarks import searches

    roots = searches.roots(weights, rules, case.rows)
    sides: dict[str, Callable[[], np.ndarray]] = {
        "ours": searches.ours(case.kind, "siblings", simulations, weights, roots),
        "bounds": searches.ours(case.kind, "bounds", simulations, weights, roots),
        "mctx": searches.theirs(case.kind, simulations, weights, roots),
    }
    again, depth = searches.trees(case.kind, simulations, weights, roots)
    if case.kind == "puct":
        sides |= {"trees": again, "network": searches.network(simulations, weights, roots)}
    visits = {name: run() for name, run in sides.items()}
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in list(sides)[:: 1 if number % 2 else -1]:
            rates[name].append(_turn(sides[name]) * case.rows * simulations)
    median, low, high = interval([ours / mctx for ours, mctx in zip(rates["ours"], rates["mctx"], strict=True)])
    same = (visits["ours"] == visits["mctx"]).all(1).mean() if case.kind == "puct" else None
    return {
        **case._asdict(),
        "sims_per_s": _spread(rates["ours"]),
        "bounds_sims_per_s": _spread(rates["bounds"]),
        "mctx_sims_per_s": _spread(rates["mctx"]),
        "us_per_sim": round(1e6 / float(np.median(rates["ours"])), 3),
        "bounds_us_per_sim": round(1e6 / float(np.median(rates["bounds"])), 3),
        **{name: _spread([1e9 / rate for rate in rates[side]]) for name, side in _NS.items() if side in rates},
        "ratio": round(median, 2),
        "interval_95": [round(low, 2), round(high, 2)],
        "depth": round(depth, 1),
        "same_visits": same if same is None else round(float(same), 3),
    }


def _turn(run: Callable[[], Any]) -> float:
    """Calls a CPU second."""
    start, calls = time.process_time(), 0
    while time.process_time() - start < _TURN_S or not calls:
        run()
        calls += 1
    return calls / (time.process_time() - start)


def _spread(values: list[float]) -> list[float]:
    """Median and its 95 % interval."""
    return [round(value, 1) for value in interval(values)]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, nargs="+", default=[64, 256], help="of the network (default: 64 256)")
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 16, 64], help="roots at once (default: 1 16 64)")
    parser.add_argument("--kind", nargs="+", choices=("puct", "gumbel"), default=["puct", "gumbel"])
    parser.add_argument("--simulations", type=int, default=50, help="of each root (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each side (default: %(default)s)")
    parser.add_argument("--core", type=int, default=0, help="where it is pinned to (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="also write the JSON here")
    arguments = parser.parse_args()
    wanted = {**environment_of(ROOT), **_ONE_THREAD}
    if wanted != dict(os.environ):  # libraries read it when they are loaded
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.search", *sys.argv[1:]], wanted)
    os.sched_setaffinity(0, {arguments.core})
    finish("search", {"simulations": arguments.simulations, "cases": list(_all(arguments))}, arguments.json)


def _all(arguments: argparse.Namespace) -> Any:
    from benchmarks import taught

    rules = taught.game()
    for units in arguments.units:
        began = time.process_time()
        weights = taught.taught(units, _LEARNS, rules)
        print(f"{units} units: {_LEARNS} learns, {time.process_time() - began:.0f} CPU s", file=sys.stderr, flush=True)
        for kind in arguments.kind:
            for rows in arguments.rows:
                found = measure(Case(units, rows, kind), weights, rules, arguments.simulations, arguments.rounds)
                print(found, file=sys.stderr, flush=True)
                yield found


if __name__ == "__main__":
    as_program(main)
