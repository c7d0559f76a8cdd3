"""From the root down to the edge that is tried next.

Arrays are taken out of their tuples before the loops: doing so within them costs more than choosing an action.

Shape legend: B rows; N nodes of a tree; A actions; P players. `b` is a row, `node` one of its nodes, `who` the player
who moves there.
"""

from __future__ import annotations

import numpy as np

from kaimesh.algorithms.muzero.search.bound import highest, range_of
from kaimesh.algorithms.muzero.search.halving import considered_action, deterministic_action
from kaimesh.algorithms.muzero.search.jit import inlined
from kaimesh.algorithms.muzero.search.rule import BOUNDS, GUMBEL, SIBLINGS, TREE, UCB, Plan
from kaimesh.algorithms.muzero.search.tree import FACTOR, HEAD, OWN, Tree

EPSILON = 1e-8  # the least range that values are divided by


@inlined()
def descend(tree: Tree, plan: Plan, scores: np.ndarray) -> None:
    """In each row, walks from the root by the plan's rule until an action was not tried before, and notes the way:
    `path`, `taken`, `depth`, `leaf`, `move` of `tree`. scores: room for `[W]`.

    All rows take one step before any takes the next one: their steps do not wait for one another's memory.
    """
    child, path, taken, depth, leaf, move, going = (
        tree.child, tree.path, tree.taken, tree.depth, tree.leaf, tree.move, tree.going,
    )  # fmt: skip
    count, steps = child.shape[0], 0
    for b in range(count):
        going[b], leaf[b] = b, 0
    while count > 0:
        still = 0
        for i in range(count):
            b = going[i]
            node = leaf[b]
            if plan.kind != GUMBEL:
                action = _upper_bound(tree, plan, b, node)
            elif node == 0:
                action = considered_action(tree, plan, b, scores)
            else:
                action = deterministic_action(tree, plan, b, node, scores)
            path[b, steps], taken[b, steps] = node, action
            depth[b], move[b] = steps + 1, action
            below = child[b, node, action]
            leaf[b] = below if below > 0 else node
            going[still] = b
            still += below > 0
        count, steps = still, steps + 1


@inlined()
def _upper_bound(tree: Tree, plan: Plan, b: int, node: int) -> int:
    """The action with the largest value and prior, the first of equals; none with prior 0."""
    edges, normalise = tree.edges, plan.normalise
    dtype, width = edges.dtype.type, edges.shape[3]
    epsilon = dtype(EPSILON)
    start = (b * edges.shape[1] + node) * edges.shape[2] * width
    mean = edges[b, node, HEAD, OWN]
    if normalise == BOUNDS:
        least, span = plan.numbers[1], plan.numbers[2] - plan.numbers[1]
    elif normalise == TREE:
        who, extremes = tree.mover[b, node], tree.extremes
        least, span = extremes[b, who, 0], max(extremes[b, who, 1] - extremes[b, who, 0], epsilon)
    else:
        least, most = range_of(edges, start, width, mean)
        span = max(most - least, epsilon)
    unvisited = mean
    if plan.kind == UCB:  # the middle, once there is one
        unvisited = least + span * dtype(0.5) if span > epsilon else least
    elif normalise == SIBLINGS:
        unvisited = least
    action: int = highest(edges, start, width, edges[b, node, HEAD, FACTOR], least, dtype(1) / span, unvisited)
    return action
