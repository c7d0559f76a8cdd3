"""Whether reanalyse helps: runs with and without it, each with the same seeds, and their score by positions played.

    .venv/bin/python -m benchmarks.reanalyse                      # Connect Four, 3 seeds, 2 x 3 runs of an hour
    .venv/bin/python -m benchmarks.reanalyse --app spiel:tic_tac_toe --minutes 0.5 --seeds 1 --games 20 --points 2

Each run is a whole mesh, one after the other. Afterwards some of its models, equally far apart in positions played,
play against `--opponent`, in both seats. What a run came to is kept in `--folder`, and a run whose file is there is not
made again: after a stop, the same command goes on. Both runs of a seed learn from as many positions for each one played
(`replay_ratio`), so they differ in what half of each batch is: games as they were played, or searched again.

Prints JSON: of each run its points, with Wilson's 95 % interval of each score; and by positions played the mean score
over the seeds with and without reanalyse, and the mean of their differences, each with Student's 95 % interval over the
seeds (none of a single one). An interval of differences that contains 0 is told as such: no difference was shown.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import ROOT, as_program, commit, finish, run_mesh
from kaimesh.contract.errors import ConfigError
from kaimesh.process.run_dir import RunDir

KINDS = {"with": 1, "without": 0}  # reanalyse_count
T_975 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365}  # Student's, by degrees of freedom
_GRID = 9  # positions played at which seeds are compared


def main() -> None:
    """Runs what is missing, and reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--app", default="spiel:connect_four")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--minutes", type=float, default=60.0, help="length of each run")
    parser.add_argument("--points", type=int, default=6, help="models of each run that are judged")
    parser.add_argument("--opponent", default="minimax:2", help="as in tools/evaluate.sh")
    parser.add_argument("--games", type=int, default=200, help="against it, in each seat")
    parser.add_argument("--random-plies", type=int, default=2, help="that each of these begins with")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of all runs, as in start.sh")
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "reanalyse", help="where the runs are kept")
    parser.add_argument("--plot", type=Path, help="draw the curves: .svg or .png")
    parser.add_argument("--json", type=Path, help="also write the JSON here")
    arguments = parser.parse_args()
    wanted = [(seed, kind) for seed in arguments.seeds for kind in KINDS]
    runs = []
    for number, (seed, kind) in enumerate(wanted, 1):
        print(f"run {number} of {len(wanted)}: seed {seed}, {kind} reanalyse", file=sys.stderr, flush=True)
        runs.append(one_run(arguments, seed, kind))
    compared = compare(runs)
    if arguments.plot is not None:
        draw(runs, arguments.opponent, arguments.plot)
    settings = {key: getattr(arguments, key) for key in ("app", "minutes", "opponent", "games", "set", "random_plies")}
    finish("reanalyse", {**settings, "runs": runs, **compared}, arguments.json)


def one_run(arguments: argparse.Namespace, seed: int, kind: str) -> dict[str, Any]:
    """A run's points, from its file, or from a mesh that is run now."""
    file = arguments.folder / f"{kind}-{seed}.json"
    if file.is_file():
        print(f"  {file} is there", file=sys.stderr, flush=True)
        found: dict[str, Any] = json.loads(file.read_text())
        return found
    runs_dir = arguments.folder / f"{kind}-{seed}"
    runs_dir.mkdir(parents=True, exist_ok=True)
    settings = [
        *("max_save_model_file_count=1000", "modelpool_max_save_model_count=3", *arguments.set),
        *(f"runs_dir={runs_dir.resolve()}", f"random_seed={seed}", f"reanalyse_count={KINDS[kind]}"),
    ]
    command = [sys.executable, "-m", "kaimesh.operate.cli", "start", "--wait", "--algo", "muzero"]
    command += ["--app", arguments.app, "--max-seconds", str(60 * arguments.minutes)]
    for setting in settings:
        command += ["--set", setting]
    positions = runs_dir / "positions.json"  # there: the run is over, and only its models are to be judged
    if not positions.is_file():
        played = Played(runs_dir)
        run_mesh(command)
        positions.write_text(json.dumps(played.close()))
    by_model = {int(model): count for model, count in json.loads(positions.read_text()).items()}
    run = RunDir.latest(runs_dir)
    points = []
    for model in spread(by_model, arguments.points):
        points.append({"model": model, "positions": by_model[model], **judged(arguments, run, model)})
        print(f"  {points[-1]}", file=sys.stderr, flush=True)
    found = {
        "seed": seed,
        "kind": kind,
        "commit": commit(),
        "points": points,
        "result": json.loads(run.result.read_text()),
    }
    file.write_text(json.dumps(found, indent=1))
    return found


class Played:
    """Notes, of the newest run in a folder, how many positions had been played when a model was pushed."""

    def __init__(self, runs: Path) -> None:
        self._runs, self._before = runs, time.time()
        self._by_model: dict[int, int] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> dict[int, int]:
        """Ends the reading; returns the positions by model."""
        self._done.set()
        self._thread.join()
        return self._by_model

    def _run(self) -> None:
        while not self._done.wait(0.5):
            try:
                statuses = RunDir.latest(self._runs).statuses().values()
            except ConfigError:  # no run yet
                continue
            now = [status for status in statuses if status.get("started", 0.0) > self._before]
            model = max((int(status["gauges"].get("pushed_version", 0)) for status in now), default=0)
            positions = sum(int(status["counters"].get("positions_inserted", 0)) for status in now)
            if model and model not in self._by_model:
                self._by_model[model] = positions


def spread(by_model: dict[int, int], count: int) -> list[int]:
    """At most `count` models whose positions are about equally far apart, the last one among them."""
    models = sorted(by_model)
    if not models:
        return []
    positions = np.array([by_model[model] for model in models])
    wanted = positions[-1] * np.arange(1, count + 1) / count
    return sorted({models[int(np.abs(positions - one).argmin())] for one in wanted})


def judged(arguments: argparse.Namespace, run: RunDir, model: int) -> dict[str, Any]:
    """A model's score against the opponent, in all seats, with its interval."""
    command = [sys.executable, "-m", "kaimesh", "evaluate", "--run", str(run.root), "--model", str(model)]
    command += ["--opponent", arguments.opponent, "--episodes", str(arguments.games), "--json"]
    command += ["--random-plies", str(arguments.random_plies)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    games = json.loads(done.stdout)["all"]
    return {"score": games["score"], "interval": games["intervals"]["score"]}


def compare(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean scores over the seeds by positions played, and of the differences with less without reanalyse."""
    curves = {(run["kind"], run["seed"]): curve(run) for run in runs if run["points"]}
    seeds = [seed for kind, seed in curves if kind == "with" and ("without", seed) in curves]
    if not seeds:
        return {"by_positions": [], "conclusion": "there is no seed with both runs, so nothing is compared"}
    ends = [curves[kind, seed][0][-1] for seed in seeds for kind in KINDS]
    starts = [curves[kind, seed][0][0] for seed in seeds for kind in KINDS]
    rows = []
    for positions in np.linspace(max(starts), min(ends), _GRID) if max(starts) < min(ends) else [min(ends)]:
        scores = {kind: [float(np.interp(positions, *curves[kind, seed])) for seed in seeds] for kind in KINDS}
        difference = [one - other for one, other in zip(scores["with"], scores["without"], strict=True)]
        rows.append({
            "positions": round(float(positions)),
            **{kind: mean(values) for kind, values in scores.items()},
            "difference": mean(difference),
        })  # fmt: skip
    return {"by_positions": rows, "conclusion": conclusion(rows, len(seeds))}


def curve(run: dict[str, Any]) -> tuple[list[int], list[float]]:
    """Positions played and scores, in order."""
    points = sorted(run["points"], key=lambda point: point["positions"])
    return [point["positions"] for point in points], [point["score"] for point in points]


def mean(values: Sequence[float]) -> dict[str, Any]:
    """The mean of independent values, with Student's 95 % interval; None: of a single one."""
    middle, count = float(np.mean(values)), len(values)
    if count < 2:
        return {"mean": middle, "interval": None}
    half = T_975[min(count - 1, max(T_975))] * float(np.std(values, ddof=1)) / count**0.5
    return {"mean": middle, "interval": [middle - half, middle + half]}


def conclusion(rows: Sequence[dict[str, Any]], seeds: int) -> str:
    """What the last row shows, in a sentence."""
    last = rows[-1]
    difference, interval = last["difference"]["mean"], last["difference"]["interval"]
    told = f"after {last['positions']:,} positions, reanalyse changes the score by {difference:+.3f}"
    if interval is None:
        return f"{told}, of one seed, which shows nothing by itself"
    told += f" ({interval[0]:+.3f} to {interval[1]:+.3f}, 95 %, {seeds} seeds)"
    return f"{told}: no difference was shown" if interval[0] <= 0 <= interval[1] else told


def draw(runs: Sequence[dict[str, Any]], opponent: str, out: Path) -> None:
    """Scores over positions played, each run a line."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    labelled = set[str]()
    for run in runs:
        if not run["points"]:
            continue
        positions, scores = curve(run)
        points = sorted(run["points"], key=lambda point: point["positions"])
        errors = np.abs(np.array([point["interval"] for point in points]).T - scores)
        colour = {"with": "tab:blue", "without": "tab:orange"}[run["kind"]]
        label = None if run["kind"] in labelled else f"{run['kind']} reanalyse"
        labelled.add(run["kind"])
        axes.errorbar(positions, scores, errors, color=colour, label=label, marker="o", capsize=3, alpha=0.8)
    axes.set_xlabel("positions played")
    axes.set_ylabel(f"score against {opponent}, with 95 % intervals")
    axes.set_ylim(0, 1)
    axes.grid(alpha=0.3)
    axes.legend()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    pyplot.close(figure)


if __name__ == "__main__":
    as_program(main)
