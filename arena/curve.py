"""Draws runs: `python -m kaimesh.arena.curve RUN... -o out.png`. The return and the speed of each, over wall time."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from kaimesh.contract.errors import ConfigError, MeshError
from kaimesh.process.command import interrupted

RETURN, SPEED = "return_mean_100", "env_steps_per_s"


class Curve(NamedTuple):
    """One run's history: `minutes` since its first line; a value is NaN where there was none yet."""

    name: str
    minutes: list[float]
    returns: list[float]
    speeds: list[float]


def read(run: Path) -> Curve:
    """The curve in `run/history.jsonl`, which the keeper writes.

    Raises ConfigError: there is none, or nothing in it yet.
    """
    path = run / "history.jsonl"
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read ({error.strerror}): {run} is no run that tools/start.sh made, so there is nothing "
            "to draw. Name another one."
        ) from error
    points = [point for point in map(_point, lines) if point is not None]
    if damaged := len(lines) - len(points):
        print(f"curve: {path}: {damaged} of {len(lines)} lines are damaged and left out", file=sys.stderr)
    if not points:
        raise ConfigError(
            f"{path} has no points yet, so there is nothing to draw; wait: the keeper writes one every report_seconds"
        )
    times = [point["time"] or 0.0 for point in points]

    def column(key: str) -> list[float]:
        return [float("nan") if (value := point[key]) is None else value for point in points]

    minutes = [(moment - times[0]) / 60 for moment in times]
    return Curve(run.resolve().name, minutes, column(RETURN), column(SPEED))


def _point(line: bytes) -> dict[str, float | None] | None:
    """A line's numbers; None: a disk, or a kill that came while it was written, left no point of it."""
    try:
        point = json.loads(line)
        named = {key: point.get(key) for key in ("time", RETURN, SPEED)}
        numbers = {key: None if value is None else float(value) for key, value in named.items()}
    except (ValueError, TypeError, AttributeError, RecursionError, OverflowError):
        return None
    return numbers if math.isfinite(numbers["time"] or math.nan) else None


class Level(NamedTuple):
    """A return to compare with, drawn as a line across."""

    value: float
    label: str


def draw(curves: Sequence[Curve], out: Path, levels: Sequence[Level] = ()) -> None:
    """Writes the picture; its format is the one that `out` ends in."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (above, below) = pyplot.subplots(2, 1, sharex=True, figsize=(8, 6), layout="constrained")
    for curve in curves:
        above.plot(curve.minutes, curve.returns, label=curve.name)
        below.plot(curve.minutes, curve.speeds)
    for level in levels:
        above.axhline(level.value, color="black", linestyle="dashed", linewidth=1)
        above.annotate(
            level.label,
            (1, level.value),
            (-4, -3),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize="small",
        )
    above.set_ylabel("mean return, last 100 episodes")
    below.set_ylabel("env steps / s")
    below.set_xlabel("minutes")
    below.set_ylim(bottom=0)
    above.legend(fontsize="small")
    for axes in (above, below):
        axes.grid(alpha=0.3)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    pyplot.close(figure)


def _level(text: str) -> Level:
    value, _, label = text.partition("=")
    return Level(float(value), label or value)


def main(argv: Sequence[str] | None = None) -> int:
    """Draws as the arguments say; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m kaimesh.arena.curve", description="Draws the curves of runs.")
    parser.add_argument(
        "run", nargs="*", type=Path, default=[Path("runs/latest")], help="run directories (default: runs/latest)"
    )
    parser.add_argument("-o", "--out", type=Path, default=Path("curve.png"), help="the picture (default: %(default)s)")
    parser.add_argument(
        "--level", action="append", default=[], type=_level, metavar="VALUE=LABEL", help="a line across at a return"
    )
    arguments = parser.parse_args(argv)
    try:
        draw([read(run) for run in arguments.run], arguments.out, arguments.level)
    except MeshError as error:
        print(f"curve: {error}", file=sys.stderr)
        return error.exit_code
    print(arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(interrupted(main))
