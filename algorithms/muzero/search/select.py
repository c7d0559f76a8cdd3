"""From the root down to the edge that is tried next.

Arrays are taken out of their tuples before the loops: doing so within them costs more than choosing an action.

Shape legend: B rows; N nodes of a tree; A actions; P players. `b` is a row, `node` one of its nodes, `who` the player
who moves there.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from kaimesh.algorithms.muzero.search.bound import highest, range_of
from kaimesh.algorithms.muzero.search.halving import considered_action, deterministic_action
from kaimesh.algorithms.muzero.search.rule import BOUNDS, GUMBEL, SIBLINGS, TREE, UCB, Plan
from kaimesh.algorithms.muzero.search.tree import Tree

EPSILON = 1e-8  # the least range that values are divided by


@njit(cache=True, error_model="numpy", forceinline=True)
def descend(tree: Tree, plan: Plan, scores: np.ndarray) -> None:
    """In each row, walks from the root by the plan's rule until an action was not tried before, and notes the way:
    `path`, `taken`, `depth`, `leaf`, `move` of `tree`. scores: room for `[A]`.
    """
    if plan.kind == GUMBEL:
        _by_halving(tree, plan, scores)
    else:
        _by_upper_bounds(tree, plan)


@njit(cache=True, error_model="numpy", forceinline=True)
def _by_upper_bounds(tree: Tree, plan: Plan) -> None:
    edges, child, visits, value, mover, extremes = (
        tree.edges, tree.child, tree.visits, tree.value, tree.mover, tree.extremes,
    )  # fmt: skip
    path, taken, depth, leaf, move = tree.path, tree.taken, tree.depth, tree.leaf, tree.move
    explore, normalise, simple = plan.explore, plan.normalise, plan.kind == UCB
    lowest, bounds_span = plan.numbers[1], plan.numbers[2] - plan.numbers[1]
    dtype = edges.dtype.type
    epsilon, half, one = dtype(EPSILON), dtype(0.5), dtype(1)
    nodes, width = edges.shape[1], edges.shape[3]
    for b in range(visits.shape[0]):
        node, action, steps = 0, 0, 0
        while True:
            start, who = (b * nodes + node) * 4 * width, mover[b, node]
            mean = value[b, node, who]
            if normalise == BOUNDS:
                least, span = lowest, bounds_span
            elif normalise == TREE:
                least, span = extremes[b, who, 0], max(extremes[b, who, 1] - extremes[b, who, 0], epsilon)
            else:
                least, most = range_of(edges, start, width, mean)
                span = max(most - least, epsilon)
            unvisited = mean
            if simple:  # the middle, once there is one
                unvisited = least + span * half if span > epsilon else least
            elif normalise == SIBLINGS:
                unvisited = least
            action = highest(edges, start, width, explore[visits[b, node]], least, one / span, unvisited)
            path[b, steps], taken[b, steps] = node, action
            steps += 1
            below = child[b, node, action]
            if below == 0:
                break
            node = below
        depth[b], leaf[b], move[b] = steps, node, action


@njit(cache=True, error_model="numpy", forceinline=True)
def _by_halving(tree: Tree, plan: Plan, scores: np.ndarray) -> None:
    for b in range(tree.visits.shape[0]):
        node, steps = 0, 0
        while True:
            if node == 0:
                action = considered_action(tree, plan, b, scores)
            else:
                action = deterministic_action(tree, plan, b, node, scores)
            tree.path[b, steps], tree.taken[b, steps] = node, action
            steps += 1
            below = tree.child[b, node, action]
            if below == 0:
                break
            node = below
        tree.depth[b], tree.leaf[b], tree.move[b] = steps, node, action
