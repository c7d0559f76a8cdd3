"""From the root down to the edge that is tried next.

Arrays are taken out of their tuples before the loops: doing so within them costs more than choosing an action.

Shape legend: B rows; N nodes of a tree; A actions; P players. `b` is a row, `node` one of its nodes, `who` the player
who moves there.
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
    if plan.kind == GUMBEL:
        _by_halving(tree, plan, scores)
    else:
        _by_upper_bounds(tree, plan)


@njit(cache=True, error_model="numpy")
def _by_upper_bounds(tree: Tree, plan: Plan) -> None:
    edges, child, visits, value, mover, extremes = (
        tree.edges, tree.child, tree.visits, tree.value, tree.mover, tree.extremes,
    )  # fmt: skip
    path, taken, depth, leaf, move = tree.path, tree.taken, tree.depth, tree.leaf, tree.move
    explore, normalise, simple = plan.explore, plan.normalise, plan.kind == UCB
    lowest, bounds_span = plan.numbers[1], plan.numbers[2] - plan.numbers[1]
    dtype = edges.dtype.type
    epsilon, half = dtype(EPSILON), dtype(0.5)
    for b in range(visits.shape[0]):
        node, action, steps = 0, 0, 0
        while True:
            who = mover[b, node]
            mean = value[b, node, who]
            if normalise == BOUNDS:
                least, span = lowest, bounds_span
            elif normalise == TREE:
                least, span = extremes[b, who, 0], max(extremes[b, who, 1] - extremes[b, who, 0], epsilon)
            else:
                least, span = _siblings(edges, b, node, mean)
                span = max(span, epsilon)
            unvisited = mean
            if simple:  # the middle, once there is one
                unvisited = least + span * half if span > epsilon else least
            elif normalise == SIBLINGS:
                unvisited = least
            action = _upper_bound(edges, b, node, explore[visits[b, node]], least, span, unvisited)
            path[b, steps], taken[b, steps] = node, action
            steps += 1
            below = child[b, node, action]
            if below == 0:
                break
            node = below
        depth[b], leaf[b], move[b] = steps, node, action


@njit(cache=True, error_model="numpy")
def _siblings(edges: np.ndarray, b: int, node: int, mean: float) -> tuple[float, float]:
    """The least of a node's value `mean` and the q of its visited actions, and how far it is to the largest."""
    zero = edges.dtype.type(0)
    least = most = mean
    for a in range(edges.shape[3]):
        q = edges[b, node, Q, a]
        q = q if edges[b, node, VISITS, a] > zero else mean
        least = q if q < least else least
        most = q if q > most else most
    return least, most - least


@njit(cache=True, error_model="numpy")
def _upper_bound(
    edges: np.ndarray, b: int, node: int, factor: float, least: float, span: float, unvisited: float
) -> int:
    """The action with the largest value and prior, the first of equals; none with prior 0."""
    dtype = edges.dtype.type
    one, zero, scale = dtype(1), dtype(0), dtype(1) / span
    best, action = dtype(-np.inf), 0
    for a in range(edges.shape[3]):
        prior, visits, q = edges[b, node, PRIOR, a], edges[b, node, VISITS, a], edges[b, node, Q, a]
        q = q if visits > zero else unvisited
        score = (q - least) * scale + factor * prior / (visits + one)
        better = (score > best) & (prior > zero)
        best = score if better else best
        action = a if better else action
    return action


@njit(cache=True, error_model="numpy")
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
