"""What a search found, and what is said of it.

Shape legend: B rows; A actions; P players.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kaimesh.algorithms.muzero.search.halving import best_of, complete, improve
from kaimesh.algorithms.muzero.search.jit import inner
from kaimesh.algorithms.muzero.search.rule import GUMBEL, Plan
from kaimesh.algorithms.muzero.search.tree import VISITS, Tree


class Found(NamedTuple):
    """The root's statistics.

    visits: int32 `[B, A]`, 0 where an action is illegal. value: `[B, P]`, the mean of all returns and of the network's
    value. q: `[B, A, P]`; of an unvisited action, the root's value. policy: `[B, A]`, what is learned: the share of the
    visits, or Gumbel MuZero's improved policy; zeros in a row that was not searched. action: int32 `[B]`: the most
    visited one, among equals the one with the larger q of who moves; or Gumbel MuZero's choice.
    """

    visits: np.ndarray
    value: np.ndarray
    q: np.ndarray
    policy: np.ndarray
    action: np.ndarray


def nothing_found(value: np.ndarray, actions: int) -> Found:
    """What is said of rows that are not searched; value: the network's, `[B, P]`."""
    rows = len(value)
    policy, numbers = np.zeros((rows, actions), value.dtype), np.zeros((rows, actions), np.int32)
    return Found(numbers, value, np.repeat(value[:, None], actions, 1), policy, np.zeros(rows, np.int32))


@inner()
def harvest(tree: Tree, plan: Plan, found: Found, scores: np.ndarray) -> None:
    """Writes the roots' statistics into `found`. scores: room for `[A]`."""
    edges, child, value, reward = tree.edges, tree.child, tree.value, tree.reward
    discount = plan.numbers[0]
    for b in range(edges.shape[0]):
        who = tree.mover[b, 0]
        best, total = 0, 0
        for p in range(value.shape[2]):
            found.value[b, p] = value[b, 0, p]
        for a in range(child.shape[2]):
            found.visits[b, a] = int(edges[b, 0, VISITS, a])
            total += found.visits[b, a]
            below = child[b, 0, a]
            for p in range(value.shape[2]):
                found.q[b, a, p] = value[b, 0, p]
                if below > 0:
                    found.q[b, a, p] = reward[b, below, p] + discount * value[b, below, p]
            more = found.visits[b, a] - found.visits[b, best]
            if more > 0 or (more == 0 and found.q[b, a, who] > found.q[b, best, who]):
                best = a
        found.action[b] = best
        if plan.kind == GUMBEL:
            complete(tree, plan, b, 0, scores)
            found.action[b] = best_of(tree, b, found.visits[b, best], scores)
            improve(tree, b, 0, scores)
            for a in range(child.shape[2]):
                found.policy[b, a] = scores[a]
        else:
            for a in range(child.shape[2]):
                found.policy[b, a] = found.visits[b, a] / total


def entropy(policy: np.ndarray) -> np.ndarray:
    """float32 `[B]`, nats, of `policy` `[B, A]`; 0 of a row of zeros."""
    logs = np.log(policy, out=np.zeros_like(policy), where=policy > 0)
    total: np.ndarray = (policy * logs).sum(1, dtype=np.float32)
    return -total


def visits_of(found: Found, action: np.ndarray) -> np.ndarray:
    """int32 `[B]`: visits of the chosen `action` int `[B]`."""
    visits: np.ndarray = np.take_along_axis(found.visits, np.asarray(action)[:, None], 1)
    return visits[:, 0]
