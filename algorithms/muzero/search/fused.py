"""The whole search with a network of dense layers, in one compiled function.

Shape legend: B rows; N nodes of a tree; U numbers of a latent state; A actions.
"""

from __future__ import annotations

import numpy as np
from numba import njit

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
    asked: Asked,
    latents: np.ndarray,
    said: Said,
    found: Found,
    scores: np.ndarray,
) -> None:
    """Grows all trees to N nodes from the roots `asked` and writes what was found into `found`.

    latents: `[N, B, U]`, the roots' in the first of N. scores: room for `[max(A, P)]`.
    """
    plant(tree, asked)
    for node in range(1, latents.shape[0]):
        descend(tree, plan, scores)
        for b in range(latents.shape[1]):
            for i in range(latents.shape[2]):
                room.latent[b, i] = latents[tree.leaf[b], b, i]
        step(mlp, tree.move, room, latents[node], said)
        expand(tree, node, said)
        backup(tree, plan, node, scores)
    harvest(tree, plan, found, scores)
