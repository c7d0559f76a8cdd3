"""The whole search with a network of dense layers, in one compiled function.

Shape legend: B rows; R rows that are searched at a time; N nodes of a tree; U numbers of a latent state; A actions;
W actions with their padding; P players.
"""

from __future__ import annotations

import numpy as np

from kaimesh.algorithms.muzero.search.backup import backup
from kaimesh.algorithms.muzero.search.borrowed import part, whole
from kaimesh.algorithms.muzero.search.expand import Said, expand
from kaimesh.algorithms.muzero.search.figures import Found, harvest
from kaimesh.algorithms.muzero.search.jit import entry
from kaimesh.algorithms.muzero.search.mlp import Mlp, Room, step
from kaimesh.algorithms.muzero.search.rule import Plan
from kaimesh.algorithms.muzero.search.select import descend
from kaimesh.algorithms.muzero.search.tree import Asked, Tree, plant


@entry()
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
    """Grows trees to N nodes from the roots `asked`, whose latent states are `roots` `[B, U]`, and writes what was
    found into `found`. R rows are searched at a time, so that their trees stay in the processor's cache.

    tree, room, said: for R rows. latents: `[N, R, U]`. scores: room for `[max(W, P)]`.
    """
    plan, mlp, room = whole(plan), whole(mlp), whole(room)
    latents, said, scores = whole(latents), whole(said), whole(scores)
    tree, roots, units, x = whole(tree), whole(roots), latents.shape[2], room.layers
    leaf, move = tree.leaf, tree.move
    for first in range(0, roots.shape[0], latents.shape[1]):
        rows = min(latents.shape[1], roots.shape[0] - first)
        trees = part(tree, 0, rows)
        for b in range(rows):
            for i in range(units):
                latents[0, b, i] = roots[first + b, i]
        plant(trees, plan, part(asked, first, first + rows))
        for node in range(1, latents.shape[0]):
            descend(trees, plan, scores)
            for b in range(rows):
                parent = leaf[b]
                for i in range(units):
                    x[b, i] = latents[parent, b, i]
            step(mlp, move, rows, room, latents, node, said)
            expand(trees, plan, node, said)
            backup(trees, plan, node, scores)
        harvest(trees, plan, part(found, first, first + rows), scores)
