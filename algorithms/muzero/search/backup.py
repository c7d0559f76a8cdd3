"""From a new node up to the root: values of all players.

There is no zero-sum case: `v[p] = r[p] + discount * v[p]` for every player p. For two players whose rewards sum to 0,
the same numbers come out as with one value whose sign changes at every move.
"""

from __future__ import annotations

import numpy as np

from kaimesh.algorithms.muzero.search.jit import inlined
from kaimesh.algorithms.muzero.search.rule import TREE, Plan
from kaimesh.algorithms.muzero.search.tree import FACTOR, HEAD, OWN, VISITS, Q, Tree


@inlined()
def backup(tree: Tree, plan: Plan, node: int, returns: np.ndarray) -> None:
    """Counts the visit of node `node` of each row in all nodes above it.

    returns: room for a number for each player, at least `[P]`.
    """
    edges, count, mean, reward, mover = tree.edges, tree.visits, tree.value, tree.reward, tree.mover
    path, taken, depth, extremes = tree.path, tree.taken, tree.depth, tree.extremes
    explore, discount, one = plan.explore, plan.numbers[0], edges.dtype.type(1)
    whole_tree = plan.normalise == TREE
    for b in range(count.shape[0]):
        below = node
        for p in range(mean.shape[2]):
            returns[p] = mean[b, node, p]
        for step in range(depth[b] - 1, -1, -1):
            above, action = path[b, step], taken[b, step]
            visits = edges.dtype.type(count[b, above])
            who = mover[b, above]
            for p in range(mean.shape[2]):
                gained = reward[b, below, p]
                returns[p] = gained + discount * returns[p]
                q = gained + discount * mean[b, below, p]
                mean[b, above, p] = (mean[b, above, p] * visits + returns[p]) / (visits + one)
                if whole_tree:
                    extremes[b, p, 0] = min(extremes[b, p, 0], q)
                    extremes[b, p, 1] = max(extremes[b, p, 1], q)
            edges[b, above, Q, action] = reward[b, below, who] + discount * mean[b, below, who]
            edges[b, above, HEAD, OWN] = mean[b, above, who]
            count[b, above] += 1
            edges[b, above, HEAD, FACTOR] = explore[count[b, above]]
            edges[b, above, VISITS, action] += one
            below = above
