"""A new node in each row, from what the network says.

Shape legend: B rows; A actions; P players.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kaimesh.algorithms.muzero.search.jit import inlined
from kaimesh.algorithms.muzero.search.rule import Plan
from kaimesh.algorithms.muzero.search.tree import FACTOR, HEAD, LOGITS, OWN, PRIOR, VISITS, Q, Tree


class Said(NamedTuple):
    """What the network says of a move: reward `[B, P]`; and of the state behind it: logits `[B, A]`; value `[B, P]`;
    to_play int32 `[B]`, who moves there.
    """

    reward: np.ndarray
    logits: np.ndarray
    value: np.ndarray
    to_play: np.ndarray


def new_said(rows: int, actions: int, players: int, dtype: np.dtype) -> Said:
    """Room for `rows` rows."""

    def real(width: int) -> np.ndarray:
        return np.full((rows, width), np.nan, dtype)

    return Said(real(players), real(actions), real(players), np.full(rows, -1, np.int32))


@inlined()
def expand(tree: Tree, plan: Plan, node: int, said: Said) -> None:
    """Makes node `node` of each row, behind `tree.move` at `tree.leaf`."""
    reward, logits, value, to_play = said.reward, said.logits, said.value, said.to_play
    edges, child, count, mean, into = tree.edges, tree.child, tree.visits, tree.value, tree.reward
    raw, mover, extremes, leaf, move = tree.raw, tree.mover, tree.extremes, tree.leaf, tree.move
    zero, first = edges.dtype.type(0), plan.explore[1]
    for b in range(count.shape[0]):
        child[b, leaf[b], move[b]] = node
        largest = logits[b, 0]
        for a in range(1, logits.shape[1]):
            largest = max(largest, logits[b, a])
        total = zero
        for a in range(logits.shape[1]):
            prior = np.exp(logits[b, a] - largest)
            total += prior
            edges[b, node, PRIOR, a] = prior
        for a in range(logits.shape[1]):
            edges[b, node, PRIOR, a] /= total
            edges[b, node, Q, a] = zero
            edges[b, node, VISITS, a] = zero
            edges[b, node, LOGITS, a] = logits[b, a]
            child[b, node, a] = 0
        count[b, node], mover[b, node] = 1, to_play[b]
        for p in range(value.shape[1]):
            mean[b, node, p], into[b, node, p] = value[b, p], reward[b, p]
            extremes[b, p, 0] = min(extremes[b, p, 0], value[b, p])
            extremes[b, p, 1] = max(extremes[b, p, 1], value[b, p])
        raw[b, node] = edges[b, node, HEAD, OWN] = value[b, to_play[b]]
        edges[b, node, HEAD, FACTOR] = first
