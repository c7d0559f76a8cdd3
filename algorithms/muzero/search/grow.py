"""A search whose network is called from outside: what is compiled between two calls."""

from __future__ import annotations

import numpy as np

from kaimesh.algorithms.muzero.search.backup import backup
from kaimesh.algorithms.muzero.search.expand import Said, expand
from kaimesh.algorithms.muzero.search.figures import Found, harvest
from kaimesh.algorithms.muzero.search.jit import entry
from kaimesh.algorithms.muzero.search.rule import Plan
from kaimesh.algorithms.muzero.search.select import descend
from kaimesh.algorithms.muzero.search.tree import Asked, Tree, plant


@entry()
def advance(tree: Tree, plan: Plan, node: int, asked: Asked, said: Said, found: Found, scores: np.ndarray) -> None:
    """Makes node `node` of each row: the roots `asked`, later ones from what the network said. Then selects what it is
    asked next, `tree.leaf` and `tree.move`; behind the last node, writes what was found into `found`.

    One function for all of it, because what reads such arguments from Python takes longer to compile than this.
    """
    if node == 0:
        plant(tree, plan, asked)
    else:
        expand(tree, plan, node, said)
        backup(tree, plan, node, scores)
    if node + 1 < tree.visits.shape[1]:
        descend(tree, plan, scores)
    else:
        harvest(tree, plan, found, scores)
