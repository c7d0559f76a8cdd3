"""The whole search with a network of dense layers, in one compiled function.

Shape legend: B rows; N nodes of a tree; U numbers of a latent state; A actions.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from kaimesh.algorithms.muzero.search.borrowed import borrowed
from kaimesh.algorithms.muzero.search.backup import backup
from kaimesh.algorithms.muzero.search.expand import Said, expand
from kaimesh.algorithms.muzero.search.figures import Found, harvest
from kaimesh.algorithms.muzero.search.mlp import Mlp, Room, step
from kaimesh.algorithms.muzero.search.rule import Plan
from kaimesh.algorithms.muzero.search.select import descend
from kaimesh.algorithms.muzero.search.tree import Asked, Tree, plant


@njit(cache=True, error_model="numpy")
def search_mlp(
    tree: Tree,
    plan: Plan,
    mlp: Mlp,
    room: Room,
    roots: np.ndarray,
    asked: Asked,
    latents: np.ndarray,
    said: Said,
    found: Found,
    scores: np.ndarray,
) -> None:
    """Grows trees to N nodes from the roots `asked`, with latent states `roots` `[B, U]`, and writes what was found into
    `found`. It takes as many of the B rows at a time as `tree` has, so that their trees stay in the processor's cache.

    latents: `[N, R, U]`, for the R rows of `tree`. scores: room for `[max(W, P)]`.
    """
    for first in range(0, roots.shape[0], latents.shape[1]):
        last = min(first + latents.shape[1], roots.shape[0])
        _grow(
            _of_rows(tree, last - first),
            Plan(plan.kind, plan.normalise, borrowed(plan.numbers), borrowed(plan.explore), borrowed(plan.considered)),
            Mlp(borrowed(mlp.data), borrowed(mlp.layers), mlp.dynamics, mlp.units, mlp.players, mlp.support, mlp.transformed),
            Room(borrowed(room.layers), borrowed(room.biases)),
            borrowed(roots[first:last]),
            Asked(
                borrowed(asked.logits[first:last]),
                borrowed(asked.value[first:last]),
                borrowed(asked.legal[first:last]),
                borrowed(asked.to_play[first:last]),
                borrowed(asked.gumbel[first:last]),
            ),
            borrowed(latents),
            Said(borrowed(said.reward), borrowed(said.logits), borrowed(said.value), borrowed(said.to_play)),
            Found(
                borrowed(found.visits[first:last]),
                borrowed(found.value[first:last]),
                borrowed(found.q[first:last]),
                borrowed(found.policy[first:last]),
                borrowed(found.action[first:last]),
            ),
            borrowed(scores),
        )


@njit(cache=True, error_model="numpy", forceinline=True)
def _grow(
    tree: Tree,
    plan: Plan,
    mlp: Mlp,
    room: Room,
    roots: np.ndarray,
    asked: Asked,
    latents: np.ndarray,
    said: Said,
    found: Found,
    scores: np.ndarray,
) -> None:
    rows, units, leaf, x = roots.shape[0], latents.shape[2], tree.leaf, room.layers
    for b in range(rows):
        for i in range(units):
            latents[0, b, i] = roots[b, i]
    plant(tree, plan, asked)
    for node in range(1, latents.shape[0]):
        descend(tree, plan, scores)
        for b in range(rows):
            parent = leaf[b]
            for i in range(units):
                x[b, i] = latents[parent, b, i]
        step(mlp, tree.move, rows, room, latents, node, said)
        expand(tree, plan, node, said)
        backup(tree, plan, node, scores)
    harvest(tree, plan, found, scores)


@njit(cache=True, error_model="numpy")
def _of_rows(tree: Tree, rows: int) -> Tree:
    """The first rows of `tree`."""
    return Tree(
        borrowed(tree.edges[:rows]),
        borrowed(tree.child[:rows]),
        borrowed(tree.visits[:rows]),
        borrowed(tree.value[:rows]),
        borrowed(tree.reward[:rows]),
        borrowed(tree.raw[:rows]),
        borrowed(tree.mover[:rows]),
        borrowed(tree.extremes[:rows]),
        borrowed(tree.path[:rows]),
        borrowed(tree.taken[:rows]),
        borrowed(tree.depth[:rows]),
        borrowed(tree.leaf[:rows]),
        borrowed(tree.move[:rows]),
        borrowed(tree.going[:rows]),
        borrowed(tree.gumbel[:rows]),
    )
