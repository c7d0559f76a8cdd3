"""Gumbel MuZero's choice of actions, "Policy improvement by planning with Gumbel", openreview.net/forum?id=bERaNdoegnO.

At the root, sequential halving over `gumbel + logits + completed q`; below it, the action whose share of visits lags
most behind the improved policy (section 5 there). As mctx has it.

Shape legend: A actions. `b` is a row, `node` one of its nodes.
"""

from __future__ import annotations

import numpy as np

from kaimesh.algorithms.muzero.search.jit import inner
from kaimesh.algorithms.muzero.search.rule import BOUNDS, TREE, Plan
from kaimesh.algorithms.muzero.search.tree import LOGITS, PRIOR, VISITS, Q, Tree

EPSILON = 1e-8  # the least range that values are divided by
_VISITS_0, _SCALE = 50.0, 0.1  # of completed values: (50 + the most visits of an action) * 0.1
_LEAST_SCORE = -1e9  # so that an action without a chance is still taken where no other is considered


@inner()
def complete(tree: Tree, plan: Plan, b: int, node: int, scores: np.ndarray) -> float:
    """Writes the completed and scaled q of all actions into `scores`; returns the visits of its children.

    An action that was not tried is worth the mixed value of appendix D.
    """
    edges = tree.edges
    dtype = edges.dtype.type
    zero, one, tiny = dtype(0), dtype(1), dtype(np.finfo(edges.dtype).tiny)
    visits: float = zero
    probability, most_visits = zero, zero
    for a in range(tree.child.shape[2]):
        count = edges[b, node, VISITS, a]
        visits += count
        most_visits = max(most_visits, count)
        if count > zero:
            probability += max(edges[b, node, PRIOR, a], tiny)
    weighted = zero
    for a in range(tree.child.shape[2]):
        if edges[b, node, VISITS, a] > zero:
            weighted += max(edges[b, node, PRIOR, a], tiny) * edges[b, node, Q, a] / probability
    mixed = (tree.raw[b, node] + visits * weighted) / (visits + one)
    least = most = edges[b, node, Q, 0] if edges[b, node, VISITS, 0] > zero else mixed
    for a in range(tree.child.shape[2]):
        scores[a] = edges[b, node, Q, a] if edges[b, node, VISITS, a] > zero else mixed
        least, most = min(least, scores[a]), max(most, scores[a])
    if plan.normalise == BOUNDS:
        least, most = plan.numbers[1], plan.numbers[2]
    elif plan.normalise == TREE:
        who = tree.mover[b, node]
        least, most = tree.extremes[b, who, 0], tree.extremes[b, who, 1]
    span = max(most - least, dtype(EPSILON))
    scale = (dtype(_VISITS_0) + most_visits) * dtype(_SCALE)
    for a in range(tree.child.shape[2]):
        scores[a] = scale * ((scores[a] - least) / span)
    return visits


@inner()
def considered_action(tree: Tree, plan: Plan, b: int, scores: np.ndarray) -> int:
    """The root's next action: the best of those that have as many visits as sequential halving gives them now."""
    visits = complete(tree, plan, b, 0, scores)
    legal = 0
    for a in range(tree.child.shape[2]):
        legal += tree.edges[b, 0, PRIOR, a] > 0
    action: int = best_of(tree, b, plan.considered[legal, int(visits)], scores)
    return action


@inner()
def best_of(tree: Tree, b: int, visits: int, scores: np.ndarray) -> int:
    """The legal action of the root with the largest `gumbel + logits + scores` of those with `visits` visits."""
    edges = tree.edges
    dtype = edges.dtype.type
    best, action = dtype(-np.inf), 0
    for a in range(tree.child.shape[2]):
        if edges[b, 0, PRIOR, a] > 0 and edges[b, 0, VISITS, a] == visits:
            score = max(dtype(_LEAST_SCORE), tree.gumbel[b, a] + edges[b, 0, LOGITS, a] + scores[a])
            if score > best:
                best, action = score, a
    return action


@inner()
def deterministic_action(tree: Tree, plan: Plan, b: int, node: int, scores: np.ndarray) -> int:
    """The action with the largest `improved policy - visits / (1 + all visits)`."""
    visits = complete(tree, plan, b, node, scores)
    improve(tree, b, node, scores)
    edges = tree.edges
    dtype = edges.dtype.type
    best, action = dtype(-np.inf), 0
    for a in range(tree.child.shape[2]):
        score = scores[a] - edges[b, node, VISITS, a] / (dtype(1) + visits)
        if score > best:
            best, action = score, a
    return action


@inner()
def improve(tree: Tree, b: int, node: int, scores: np.ndarray) -> None:
    """Turns completed values `scores` `[A]` into the improved policy, `softmax(logits + scores)`; 0 where illegal."""
    edges = tree.edges
    dtype = edges.dtype.type
    largest = dtype(-np.inf)
    for a in range(tree.child.shape[2]):
        scores[a] += edges[b, node, LOGITS, a]
        if edges[b, node, PRIOR, a] > 0 or node > 0:
            largest = max(largest, scores[a])
    total = dtype(0)
    for a in range(tree.child.shape[2]):
        scores[a] = np.exp(scores[a] - largest) if edges[b, node, PRIOR, a] > 0 or node > 0 else dtype(0)
        total += scores[a]
    for a in range(tree.child.shape[2]):
        scores[a] /= total
