"""Two ways to act with one model: greedily, by `exploit`, or sampled as in training, by `predict`.

A policy that depends on chance may be far better in one of them, and then a figure means little without its mode. So an
evaluation also plays its first episodes in the other mode, and compares episodes of the same seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kaimesh.arena.episodes import Episode

EPISODES = 8  # compared by default
LEAST = 4  # fewer say nothing
_ERRORS, _SHARE = 2.5, 0.1  # much: a mean difference of so many standard errors, and such a share of the larger return
_LONGER, _SHORT = 2, 2000  # the other mode's episodes may be so many times as long, and have so many steps in any case


def mode(sampled: bool) -> str:
    """Its name."""
    return "sampled" if sampled else "greedy"


def bound(episodes: Sequence[Episode], most_steps: int) -> int:
    """The most steps of an episode in the other mode, so that the comparison does not take longer than the evaluation.

    most_steps: of `episodes`; 0: there is no bound.
    """
    longer = max(_SHORT, _LONGER * max(episode.length for episode in episodes))
    return min(longer, most_steps) if most_steps else longer


def compared(episodes: Sequence[Episode], others: Sequence[Episode], sampled: bool) -> dict[str, Any]:
    """Compares `others`, at least LEAST episodes in the other mode, with those of `episodes` that have their seeds.

    sampled: whether `episodes` were. Returns `episodes`, how many were compared; `greedy` and `sampled`, the mean
    returns; `cut`, how many of the others were; and `differ`, whether by much.
    """
    scores = {episode.seed: episode.score for episode in episodes}
    here = np.array([scores[other.seed] for other in others])
    there = np.array([other.score for other in others])
    difference = there - here
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    much = max(_ERRORS * error, _SHARE * max(abs(here.mean()), abs(there.mean())))
    return {
        "episodes": len(others),
        mode(sampled): float(here.mean()),
        mode(not sampled): float(there.mean()),
        "cut": sum(other.cut for other in others),
        "differ": bool(abs(difference.mean()) > much),
    }


def words(found: dict[str, Any], sampled: bool) -> str:
    """What `compared` found, in a sentence."""
    cut = f" ({found['cut']} of the {mode(not sampled)} episodes were cut)" if found["cut"] else ""
    return (
        f"greedy and sampled actions differ much: in the first {found['episodes']} episodes the mean return is "
        f"{found['greedy']:.4g} with the likeliest actions, and {found['sampled']:.4g} with actions drawn as in "
        f"training{cut}. What follows is of {mode(sampled)} actions; {'without' if sampled else 'with'} --sample it is "
        "of the others"
    )
