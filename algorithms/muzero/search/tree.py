"""A forest as arrays: one tree for each row, one node for the root and for each simulation.

Everything about a node is written when it is made (see `plant`, `expand`), so arrays are used again without clearing.

Actions are padded to a whole number of vectors (LANES), so that compiled code needs no loop for the rest; what is
padded has prior 0.

Shape legend: B rows; N nodes of a tree, simulations + 1; A actions; W actions with their padding; P players.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kaimesh.algorithms.muzero.search.jit import inner
from kaimesh.algorithms.muzero.search.rule import Plan
from kaimesh.algorithms.muzero.search.vectors import LANES

# Rows of `edges`.
PRIOR, Q, VISITS, LOGITS, HEAD = range(5)

# Places in HEAD.
FACTOR, OWN = range(2)


class Tree(NamedTuple):
    """Node 0 is the root; node k is made by simulation k of its row.

    edges: `[B, N, 5, W]`, of each action of each node: prior (0: illegal), q of the player who moves, visits, logits;
    the last row is the node's: FACTOR of its priors (`Plan.explore` of its visits), OWN value, that of who moves.
    child: int32 `[B, N, A]`, 0: not visited. visits: int32 `[B, N]`, of a node, its first one included. value:
    `[B, N, P]`, the mean of the network's value and of all returns from there. reward: `[B, N, P]`, of the move into
    the node. raw: `[B, N]`, the network's value for who moves. mover: int32 `[B, N]`, who moves there. extremes:
    `[B, P, 2]`, the least and largest value that a player has seen.

    path, taken: int32 `[B, N]`, nodes from the root down, and the actions taken there; depth: int32 `[B]`, how many.
    leaf, move: int32 `[B]`, the last of each: what the network is asked next. going: int32 `[B]`, rows that are still
    on their way. gumbel: `[B, A]`, noise at the root.
    """

    edges: np.ndarray
    child: np.ndarray
    visits: np.ndarray
    value: np.ndarray
    reward: np.ndarray
    raw: np.ndarray
    mover: np.ndarray
    extremes: np.ndarray
    path: np.ndarray
    taken: np.ndarray
    depth: np.ndarray
    leaf: np.ndarray
    move: np.ndarray
    going: np.ndarray
    gumbel: np.ndarray


class Asked(NamedTuple):
    """The roots: logits `[B, A]`; value `[B, P]`; legal bool `[B, A]`, some in each row; to_play int32 `[B]`; gumbel
    `[B, A]`, noise.
    """

    logits: np.ndarray
    value: np.ndarray
    legal: np.ndarray
    to_play: np.ndarray
    gumbel: np.ndarray


def new_asked(rows: int, actions: int, players: int, dtype: np.dtype) -> Asked:
    """Room for `rows` roots."""

    def real(width: int) -> np.ndarray:
        return np.full((rows, width), np.nan, dtype)

    legal, to_play = np.zeros((rows, actions), bool), np.full(rows, -1, np.int32)
    return Asked(real(actions), real(players), legal, to_play, real(actions))


def new_tree(rows: int, nodes: int, actions: int, players: int, dtype: np.dtype) -> Tree:
    """Room for `rows` trees; numbers are NaN and places -1 until they are written."""

    def real(*shape: int) -> np.ndarray:
        return np.full((rows, *shape), np.nan, dtype)

    def whole(*shape: int) -> np.ndarray:
        return np.full((rows, *shape), -1, np.int32)

    return Tree(
        edges=np.zeros((rows, nodes, 5, -(-actions // LANES) * LANES), dtype),
        child=whole(nodes, actions),
        visits=whole(nodes),
        value=real(nodes, players),
        reward=real(nodes, players),
        raw=real(nodes),
        mover=whole(nodes),
        extremes=real(players, 2),
        path=whole(nodes),
        taken=whole(nodes),
        depth=whole(),
        leaf=whole(),
        move=whole(),
        going=whole(),
        gumbel=real(actions),
    )


@inner()
def plant(tree: Tree, plan: Plan, asked: Asked) -> None:
    """Makes all roots. Illegal actions get prior 0 and the least logits; legal ones a prior above 0, however small."""
    logits, value, legal, to_play, gumbel = asked.logits, asked.value, asked.legal, asked.to_play, asked.gumbel
    edges, child, count, mean, reward = tree.edges, tree.child, tree.visits, tree.value, tree.reward
    raw, mover, extremes, noise = tree.raw, tree.mover, tree.extremes, tree.gumbel
    dtype, first = edges.dtype.type, plan.explore[1]
    lowest, tiny = dtype(np.finfo(edges.dtype).min), dtype(np.finfo(edges.dtype).tiny)
    for b in range(logits.shape[0]):
        largest = lowest
        for a in range(logits.shape[1]):
            if legal[b, a]:
                largest = max(largest, logits[b, a])
        total = dtype(0)
        for a in range(logits.shape[1]):
            prior = np.exp(logits[b, a] - largest) if legal[b, a] else dtype(0)
            total += prior
            edges[b, 0, PRIOR, a] = prior
            edges[b, 0, Q, a] = 0
            edges[b, 0, VISITS, a] = 0
            edges[b, 0, LOGITS, a] = logits[b, a] - largest if legal[b, a] else lowest
            child[b, 0, a] = 0
            noise[b, a] = gumbel[b, a]
        for a in range(logits.shape[1]):
            if legal[b, a]:
                edges[b, 0, PRIOR, a] = max(edges[b, 0, PRIOR, a] / total, tiny)
        count[b, 0], mover[b, 0] = 1, to_play[b]
        for p in range(value.shape[1]):
            mean[b, 0, p] = extremes[b, p, 0] = extremes[b, p, 1] = value[b, p]
            reward[b, 0, p] = 0
        raw[b, 0] = edges[b, 0, HEAD, OWN] = value[b, to_play[b]]
        edges[b, 0, HEAD, FACTOR] = first
