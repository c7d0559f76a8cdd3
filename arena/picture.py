"""Episodes as a picture: how good they were, how long they took, and what the environment counted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kaimesh.arena.episodes import Episode
from kaimesh.arena.figures import SHARE, column, is_flag, names

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STEPS = "optimum_steps"  # in an environment's report; lengths are drawn against it
MOST_COUNTS = 4  # so many of a report's other numbers are drawn, the first ones
MOST_BARS = 30  # whole numbers get a bar each, up to so many
_FAR = 5  # episodes longer than so many times the longest optimum are drawn on a logarithmic axis
_BLUE, _RED, _GREY = "#0072B2", "#D55E00", "#9AA5B1"


def draw(episodes: Sequence[Episode], title: str, out: Path) -> None:
    """Writes the picture; its format is the one that `out` ends in.

    Above, on the left: the distribution of the share of the optimum, or else of the return. On the right: lengths
    against the optimum's lengths, or else their distribution. Below: distributions of the other numbers of the reports.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    flags = [name for name in names(episodes) if is_flag(episodes, name)]
    counts = [name for name in names(episodes) if name not in (SHARE, STEPS, *flags)][:MOST_COUNTS]
    rows: list[Any] = [["quality"] * MOST_COUNTS + ["steps"] * MOST_COUNTS]
    if counts:
        width = 2 * MOST_COUNTS // len(counts)
        below = [name for name in counts for _ in range(width)]
        rows = [rows[0], rows[0], below + ["."] * (2 * MOST_COUNTS - len(below))]
    figure, axes = pyplot.subplot_mosaic(rows, figsize=(11, 3 + 1.5 * len(rows)), layout="constrained")
    _quality(axes["quality"], episodes)
    _steps(axes["steps"], episodes, flags)
    for name in counts:
        _distribution(axes[name], column(episodes, name), name.replace("_", " "))
    for each in axes.values():
        each.grid(alpha=0.25)
        each.set_axisbelow(True)
        each.spines[["top", "right"]].set_visible(False)
    shares = "".join(f", {name} {column(episodes, name).mean():.0%}" for name in flags)
    figure.suptitle(f"{title}{shares}", fontsize="large")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    pyplot.close(figure)


def _quality(axes: Axes, episodes: Sequence[Episode]) -> None:
    if SHARE not in names(episodes):
        _distribution(axes, np.array([episode.score for episode in episodes]), "return")
        return
    shares = 100 * column(episodes, SHARE)
    axes.hist(shares, np.linspace(10 * np.floor(shares.min() / 10), max(100.0, shares.max()), 41), color=_BLUE)
    axes.axvline(shares.mean(), color=_RED)
    axes.set_title(
        f"share of the optimum, mean {shares.mean():.1f} %, median {np.median(shares):.1f} %", fontsize="medium"
    )
    axes.set_xlabel("%")
    axes.set_ylabel("episodes")


def _steps(axes: Axes, episodes: Sequence[Episode], flags: Sequence[str]) -> None:
    lengths = np.array([episode.length for episode in episodes])
    if STEPS not in names(episodes):
        _distribution(axes, lengths, "steps")
        return
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    best = column(episodes, STEPS)
    done = np.logical_and.reduce([np.ones(len(lengths), bool), *(column(episodes, name) > 0 for name in flags)])
    line = np.linspace(0.95 * best.min(), 1.05 * best.max() + 1)
    axes.plot(line, line, color=_GREY, label="as many as the optimum", zorder=1)
    axes.scatter(best[done], lengths[done], s=16, color=_BLUE, alpha=0.7, label="episodes", zorder=2)
    if not done.all():
        axes.scatter(best[~done], lengths[~done], s=28, color=_RED, marker="x", label=f"not {flags[0]}", zorder=2)
    axes.set_xlim(0.95 * best.min() - 1, 1.05 * best.max() + 1)
    if lengths.max() > _FAR * best.max():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_ylim(0.8 * min(lengths.min(), max(best.min(), 1)), 2 * lengths.max())  # the legend is above
    else:
        axes.set_ylim(0, 1.3 * lengths.max())
    axes.set_title(f"steps, mean {lengths.mean():.4g}", fontsize="medium")
    axes.set_xlabel("steps of the optimum")
    axes.legend(loc="upper left", ncols=3, fontsize="small")


def _distribution(axes: Axes, values: np.ndarray, name: str) -> None:
    from matplotlib.ticker import MaxNLocator

    whole = (values == np.round(values)).all() and np.ptp(values) < MOST_BARS
    if whole:
        numbers, episodes = np.unique(values, return_counts=True)
        axes.bar(numbers, episodes, 0.8, color=_BLUE)
        axes.set_xlim(values.min() - 0.8, values.max() + 0.8)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    else:
        axes.hist(values, 25, color=_BLUE)
    axes.axvline(values.mean(), color=_RED)
    axes.set_title(f"{name}, mean {values.mean():.4g}", fontsize="medium")
    axes.set_ylabel("episodes")
