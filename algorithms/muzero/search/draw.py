"""Moves that explore: drawn by the visits that a search has made, or at random.

Shape legend: B rows; A actions.
"""

from __future__ import annotations

import numpy as np

from kaimesh.algorithms.muzero.search.jit import entry


@entry()
def draw(
    best: np.ndarray,
    visits: np.ndarray,
    legal: np.ndarray,
    by_visits: np.ndarray,
    exponent: float,
    at_random: float,
    uniform: np.ndarray,
) -> np.ndarray:
    """Moves int32 `[B]`: those of `best`; where `by_visits`, in proportion to `visits ^ exponent`, if there are any; a
    share of `at_random` of all is uniform over the legal ones.

    best: int32 `[B]`. visits: int32 `[B, A]`. legal: bool `[B, A]`. by_visits: bool `[B]`. uniform: float64 `[B, 3]`,
    random numbers from 0 to 1.
    """
    moves = best.copy()
    for b in range(moves.shape[0]):
        most, total, allowed = 0, 0.0, 0
        for a in range(visits.shape[1]):
            most, allowed = max(most, visits[b, a]), allowed + legal[b, a]
        if uniform[b, 0] < at_random and allowed > 0:
            left = int(uniform[b, 1] * allowed)
            for a in range(legal.shape[1]):
                if legal[b, a]:
                    if left == 0:
                        moves[b] = a
                    left -= 1
        elif by_visits[b] and most > 0:
            for a in range(visits.shape[1]):
                total += (visits[b, a] / most) ** exponent
            rest = uniform[b, 2] * total
            for a in range(visits.shape[1]):
                if visits[b, a] > 0 and rest >= 0:
                    moves[b] = a
                rest -= (visits[b, a] / most) ** exponent
    return moves
