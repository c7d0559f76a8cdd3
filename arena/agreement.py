"""How often a model's moves are those of perfect play, in games that it played."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from kaimesh.arena.progress import Tell
from kaimesh.arena.scene import Scene
from kaimesh.arena.standings import Result, percent, wilson
from kaimesh.contract.errors import ConfigError
from kaimesh.envs.interface import Exact


def exact_play(scene: Scene) -> Exact:
    """Perfect play in the scene's game. Raises ConfigError: the game offers none."""
    env = scene.slot()
    env.close()
    make = env.offers.exact()
    if make is None:
        raise ConfigError(
            f"--exact: {scene.app} names no exact play in its metadata, so moves cannot be compared with it, and "
            "nothing was played. Leave --exact out."
        )
    return make()


def agreement(exact: Exact, results: Sequence[Result], from_ply: int, tell: Tell) -> dict[str, Any]:
    """How the model's moves from ply `from_ply` on, counted from 0, agree with perfect play.

    Of `moves`, `kept` keep what the position is worth (a win, a draw or a loss), and `best` also win soonest or lose
    latest. Of them `choices` were made where another move would have given something away; there, `chosen` kept it.
    Each has Wilson's interval in `intervals`, as if moves did not depend on each other. tell: takes a line about the
    progress.
    """
    found = np.array(list(_judged(exact, results, from_ply, tell)), bool).reshape(-1, 3)
    kept, best, choice = found.T
    counts = {
        "moves": len(found),
        "kept": int(kept.sum()),
        "best": int(best.sum()),
        "choices": int(choice.sum()),
        "chosen": int((kept & choice).sum()),
    }
    of = {"kept": counts["moves"], "best": counts["moves"], "chosen": counts["choices"]}
    intervals = {name: list(wilson(counts[name] / count, count)) for name, count in of.items() if count}
    return {"from_ply": from_ply, **counts, "intervals": intervals, "words": _words(from_ply, counts, of, intervals)}


def _judged(exact: Exact, results: Sequence[Result], from_ply: int, tell: Tell) -> Iterator[tuple[bool, bool, bool]]:
    """For each move, whether it kept the position's worth, was best, and had an alternative that did not keep it."""
    known: dict[tuple[int, ...], np.ndarray] = {}
    for count, result in enumerate(results):
        tell(f"moves of {count} of {len(results)} games are compared with perfect play")
        actions = result.episode.actions.tolist()
        for ply in result.plies:
            if ply < from_ply:
                continue
            before = tuple(actions[:ply])
            if before not in known:
                known[before] = exact(before)
            worth = known[before]
            outcome, most = np.sign(worth[actions[ply]]), np.nanmax(worth)
            yield outcome == np.sign(most), worth[actions[ply]] == most, np.sign(np.nanmin(worth)) < np.sign(most)


def _words(from_ply: int, counts: dict[str, int], of: dict[str, int], intervals: dict[str, list[float]]) -> list[str]:
    said = {
        "kept": "keep what the position is worth",
        "chosen": "do so where another move would not",
        "best": "are best, the soonest win or the latest loss included",
    }
    if not counts["moves"]:
        return [f"perfect play: the model made no move from ply {from_ply} on"]
    shares = [
        f"{counts[name]} of {of[name]} {text}: {percent(counts[name] / of[name], intervals[name])}"
        for name, text in said.items()
        if of[name]
    ]
    return [f"perfect play, the model's moves from ply {from_ply} on:", *(f"  {share}" for share in shares)]
