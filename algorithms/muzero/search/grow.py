"""A search whose network is called from outside: what is compiled between two calls."""

from __future__ import annotations

import numpy as np

from kaimesh.algorithms.muzero.search.backup import backup
from kaimesh.algorithms.muzero.search.expand import Said, expand
from kaimesh.algorithms.muzero.search.jit import entry
from kaimesh.algorithms.muzero.search.rule import Plan
from kaimesh.algorithms.muzero.search.select import descend
from kaimesh.algorithms.muzero.search.tree import Asked, Tree, plant


@entry()
def begin(tree: Tree, plan: Plan, asked: Asked, scores: np.ndarray) -> None:
    """Makes the roots `asked`, and selects what the network is asked first: `tree.leaf` and `tree.move`."""
    plant(tree, plan, asked)
    descend(tree, plan, scores)


@entry()
def advance(tree: Tree, plan: Plan, node: int, said: Said, scores: np.ndarray) -> None:
    """Makes node `node` of each row from what the network said, and selects what it is asked next, if anything."""
    expand(tree, plan, node, said)
    backup(tree, plan, node, scores)
    if node + 1 < tree.visits.shape[1]:
        descend(tree, plan, scores)
