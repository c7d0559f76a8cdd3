"""Games against an opponent as numbers and words: wins, draws and losses by seat, with intervals.

Intervals are Wilson's (JASA 22, 1927), of 95 %. A score, wins + draws / 2, gets Wilson's interval of a share that is as
large. That is cautious: games worth 0, 1/2 or 1 vary less than wins and losses with the same mean.
Shape legend: P players.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from kaimesh.arena.episodes import Episode
from kaimesh.arena.figures import aligned

Z = 1.959963984540054  # the normal distribution's 97.5 % quantile
_FEW = 0.5  # a share of different games below which intervals say little


class Result(NamedTuple):
    """A game that was played. seat: the model's, 0..P - 1. returns: of all players, `[P]`. plies: the numbers of those
    that the model chose, from 0. episode: the game itself; its score is the model's return."""

    seat: int
    returns: np.ndarray
    plies: tuple[int, ...]
    episode: Episode

    @property
    def worth(self) -> float:
        """See `worth`."""
        return worth(self.returns, self.seat)


def worth(returns: np.ndarray, seat: int) -> float:
    """What a game is worth to `seat`: 1 is won, by a return above everyone else's; 1/2, nobody has more; 0 is lost.

    returns: `[P]`, P >= 2.
    """
    mine, others = returns[seat], np.delete(returns, seat).max()
    return 0.5 if mine == others else float(mine > others)


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share that was seen in `count` >= 1 trials."""
    spread = Z * Z / count
    middle = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def standings(results: Sequence[Result]) -> dict[str, Any]:
    """`all` games and those of each of the `seats` that were played: how many, `wins`, `draws` and `losses`, their
    shares and the `score` with intervals, the mean `return`. `different`: how many different games there were.
    """
    seats = sorted({result.seat for result in results})
    if not results:
        return {"games": 0, "different": 0, "length": 0.0, "seats": [], "all": None}
    return {
        "games": len(results),
        "different": len({(result.seat, *result.episode.actions.tolist()) for result in results}),
        "length": float(np.mean([result.episode.length for result in results])),
        "seats": [{"seat": seat} | _counted([one for one in results if one.seat == seat]) for seat in seats],
        "all": _counted(results),
    }


def _counted(results: Sequence[Result]) -> dict[str, Any]:
    count, worths = len(results), [result.worth for result in results]
    counts = {name: worths.count(worth) for name, worth in (("wins", 1.0), ("draws", 0.5), ("losses", 0.0))}
    shares = {name: number / count for name, number in counts.items()} | {"score": float(np.mean(worths))}
    return {
        "games": count,
        **counts,
        "score": shares["score"],
        "intervals": {name: list(wilson(share, count)) for name, share in shares.items()},
        "return": float(np.mean([result.episode.score for result in results])),
    }


def notes(found: Mapping[str, Any], cut: int) -> list[str]:
    """What a reader of `standings` must know besides. cut: games that were."""
    told = []
    if cut:
        told.append(f"{cut} of {found['games']} games had not ended and were cut; they count by the returns so far")
    if found["different"] < _FEW * found["games"]:
        told.append(
            f"only {found['different']} of {found['games']} games differ, because both sides play alike each time, so "
            "the intervals are too narrow; --random-plies 2 begins each game with two plies of chance"
        )
    return told


def words(result: Mapping[str, Any]) -> str:
    """What arena.evaluate prints, from what it would print as JSON."""
    opened = f", the first {result['random_plies']} plies random" if result["random_plies"] else ""
    lines = [
        f"{result['app']}, {result['player']}, {result['actions']} actions, against {result['opponent']}: "
        f"{result['games']} games ({result['length']:.1f} plies on average{opened}) in {result['seconds']:.1f} s",
        *result["notes"],
    ]
    if not result["games"]:
        return "\n".join([*lines, "no game was played to its end"])
    rows = [["", "games", "wins", "draws", "losses", "score"]]
    for row in (*result["seats"], {"seat": "all"} | result["all"]):
        name = "all seats" if row["seat"] == "all" else f"seat {row['seat']}"
        rows.append([name, str(row["games"]), *(_share(row, key) for key in rows[0][2:])])
    lines += [*aligned(rows), "score = wins + draws / 2; in brackets Wilson's 95 % intervals, in percent"]
    if exact := result["exact"]:
        lines += exact["words"]
    lines += [result[name] for name in ("render", "plot") if name in result]
    return "\n".join(lines)


def percent(share: float, interval: Sequence[float]) -> str:
    """Such as `61.2 (54.3-67.7)`."""
    return f"{share:.1%}".removesuffix("%") + f" ({100 * interval[0]:.1f}-{100 * interval[1]:.1f})"


def _share(row: Mapping[str, Any], name: str) -> str:
    share = row["score"] if name == "score" else row[name] / row["games"]
    told = percent(share, row["intervals"][name])
    return told if name == "score" else f"{row[name]}: {told}"
