"""From the root down to the edge that is tried next.

Shape legend: A actions; P players. `b` is a row, `node` one of its nodes, `who` the player who moves there.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from kaimesh.algorithms.muzero.search.halving import considered_action, deterministic_action
from kaimesh.algorithms.muzero.search.rule import BOUNDS, GUMBEL, SIBLINGS, TREE, UCB, Plan
from kaimesh.algorithms.muzero.search.tree import PRIOR, VISITS, Q, Tree

EPSILON = 1e-8  # the least range that values are divided by


@njit(cache=True, error_model="numpy")
def descend(tree: Tree, plan: Plan, scores: np.ndarray) -> None:
    """In each row, walks from the root by the plan's rule until an action was not tried before, and notes the way:
    `path`, `taken`, `depth`, `leaf`, `move` of `tree`. scores: room for `[A]`.
    """
    edges, child, count, value, mover = tree.edges, tree.child, tree.visits, tree.value, tree.mover
    path, taken, depth, leaf, move = tree.path, tree.taken, tree.depth, tree.leaf, tree.move
    explore = plan.explore
    for b in range(count.shape[0]):
        node, steps = 0, 0
        while True:
            if plan.kind == GUMBEL:
                if node == 0:
                    action = considered_action(tree, plan, b, scores)
                else:
                    action = deterministic_action(tree, plan, b, node, scores)
            else:
                who = mover[b, node]
                least, span = _range(edges, value, tree.extremes, plan, b, node, who)
                unvisited = _unvisited(value[b, node, who], least, span, plan)
                action = _upper_bound(edges, b, node, explore[count[b, node]], least, span, unvisited)
            path[b, steps], taken[b, steps] = node, action
            steps += 1
            below = child[b, node, action]
            if below == 0:
                break
            node = below
        depth[b], leaf[b], move[b] = steps, node, action


@njit(cache=True, error_model="numpy")
def _upper_bound(
    edges: np.ndarray, b: int, node: int, factor: float, least: float, span: float, unvisited: float
) -> int:
    """The action with the largest value and prior, the first of equals; none with prior 0."""
    dtype = edges.dtype.type
    one, zero = dtype(1), dtype(0)
    best, action = dtype(-np.inf), 0
    for a in range(edges.shape[3]):
        prior, visits = edges[b, node, PRIOR, a], edges[b, node, VISITS, a]
        q = edges[b, node, Q, a] if visits > zero else unvisited
        score = (q - least) / span + factor * prior / (visits + one)
        if score > best and prior > zero:
            best, action = score, a
    return action


@njit(cache=True, error_model="numpy")
def _range(
    edges: np.ndarray, value: np.ndarray, extremes: np.ndarray, plan: Plan, b: int, node: int, who: int
) -> tuple[float, float]:
    """The least of the values that are compared, and the distance to the largest."""
    if plan.normalise == BOUNDS:
        return plan.numbers[1], plan.numbers[2] - plan.numbers[1]
    if plan.normalise == TREE:
        least, most = extremes[b, who, 0], extremes[b, who, 1]
    else:
        least = most = value[b, node, who]
        for a in range(edges.shape[3]):
            if edges[b, node, VISITS, a] > 0:
                least = min(least, edges[b, node, Q, a])
                most = max(most, edges[b, node, Q, a])
    return least, max(most - least, edges.dtype.type(EPSILON))


@njit(cache=True, error_model="numpy")
def _unvisited(value: float, least: float, span: float, plan: Plan) -> float:
    """What an action that was not tried is worth; 1/2 of the range in the simplified UCB, once there is a range."""
    if plan.kind == UCB:
        return least + span / 2 if span > EPSILON else least
    return least if plan.normalise == SIBLINGS else value
