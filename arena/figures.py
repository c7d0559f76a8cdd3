"""What is said about episodes: numbers for programs, words for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kaimesh.arena.episodes import Episode

# A number in an environment's report. Episodes are compared by it where there is one, else by their return.
SHARE = "share_of_optimum"
_FEW = 5  # so many seeds of cut episodes are named
QUANTILES = {"min": 0.0, "p10": 0.1, "p25": 0.25, "median": 0.5, "p75": 0.75, "p90": 0.9, "max": 1.0}

Summary = dict[str, float]


def statistics(episodes: Sequence[Episode], threshold: float | None) -> dict[str, Any]:
    """Mean, deviation and quantiles of `return`, `length` and, in `report`, of every number of the environment's
    reports.

    `success`: the share of returns >= threshold, where there is one. `flags`: those that say yes or no.
    `worst` and `best`: places in `episodes`.
    """
    scores = [episode.score for episode in episodes]
    ranks = column(episodes, SHARE) if SHARE in names(episodes) else np.array(scores)
    return {
        "episodes": len(episodes),
        "return": summary(scores),
        "length": summary([episode.length for episode in episodes]),
        "success": None if threshold is None else float(np.mean(np.array(scores) >= threshold)),
        "success_return": threshold,
        "report": {name: summary(column(episodes, name)) for name in names(episodes)},
        "flags": [name for name in names(episodes) if is_flag(episodes, name)],
        "worst": int(ranks.argmin()),
        "best": int(ranks.argmax()),
    }


def names(episodes: Sequence[Episode]) -> list[str]:
    """The numbers that every episode's report has, in its order."""
    return [name for name in episodes[0].report if all(name in episode.report for episode in episodes)]


def column(episodes: Sequence[Episode], name: str) -> np.ndarray:
    """One number of all reports, float64 `[E]`."""
    return np.array([episode.report[name] for episode in episodes], np.float64)


def is_flag(episodes: Sequence[Episode], name: str) -> bool:
    """Whether the number `name` of the reports is a bool."""
    return isinstance(episodes[0].report[name], bool)


def summary(values: Sequence[float] | np.ndarray) -> Summary:
    """Mean, standard deviation and quantiles."""
    numbers = np.asarray(values, np.float64)
    quantiles = {name: float(np.quantile(numbers, q)) for name, q in QUANTILES.items()}
    return {"mean": float(numbers.mean()), "std": float(numbers.std()), **quantiles}


def table(rows: Mapping[str, Summary]) -> list[str]:
    """Lines with a column for each number of a summary."""
    cells = [["", *next(iter(rows.values()))]]
    cells += [[name.replace("_", " "), *(f"{value:.4g}" for value in row.values())] for name, row in rows.items()]
    return aligned(cells)


def aligned(cells: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines: the first column to the left, the others to the right."""
    wide = [max(map(len, one)) for one in zip(*cells, strict=True)]
    return [
        f"{name:{wide[0]}}" + "".join(f"  {cell:>{width}}" for cell, width in zip(row, wide[1:], strict=True))
        for name, *row in cells
    ]


def words(result: Mapping[str, Any]) -> str:
    """What arena.evaluate prints, from what it would print as JSON."""
    lines = [
        f"{result['app']}, {result['player']}: {result['episodes']} episodes of {result['actions']} actions "
        f"in {result['seconds']:.1f} s"
    ]
    lines += result["notes"]
    if cut := result.get("cut"):
        seeds = ", ".join(map(str, cut[:_FEW])) + (", ..." if len(cut) > _FEW else "")
        lines.append(
            f"{len(cut)} of {result['episodes']} episodes had not ended after {result['max_steps']:,} steps and were "
            f"cut (seeds {seeds}); returns and lengths hold what was played. --max-steps allows more"
        )
    counted = {name: numbers for name, numbers in result["report"].items() if name not in result["flags"]}
    lines += table({"return": result["return"], "length": result["length"], **counted})
    if SHARE in result["report"]:
        lines.append(f"share of the optimum {result['report'][SHARE]['mean']:.1%}")
    lines += [f"{name} {result['report'][name]['mean']:.0%}" for name in result["flags"]]
    if result["success"] is not None:
        lines.append(f"success {result['success']:.0%} of returns >= {result['success_return']:g}")
    for which in ("worst", "best"):
        one = result["each"][result[which]]
        share = f", {one['report'][SHARE]:.1%} of the optimum" if SHARE in one["report"] else ""
        where = f": {one['file']}" if "file" in one else ""
        ended = " (cut)" if one["cut"] else ""
        lines.append(f"{which} return {one['return']:.4g}{ended}{share}, seed {one['seed']}{where}")
    lines += [result[name] for name in ("render", "plot") if name in result]
    return "\n".join(lines)
