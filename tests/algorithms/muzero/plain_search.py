"""The search for any number of players, written from the equations: one root at a time, one object a node.

pUCT, arXiv:1911.08265, appendix B; the simplified upper bound, `normalised q + prior sqrt(N) / (n + 1)`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from kaimesh.algorithms.muzero.search.rule import Rule
from kaimesh.algorithms.muzero.search.searching import Recurrent


class Node:
    """returns: every return from here, the network's value first; one `[P]` each."""

    def __init__(
        self, latent: np.ndarray, logits: np.ndarray, value: np.ndarray, mover: int, legal: np.ndarray
    ) -> None:
        exponents = np.where(legal, np.exp(logits - logits[legal].max()), 0)
        self.latent, self.prior, self.mover = latent, exponents / exponents.sum(), mover
        self.returns = [value]
        self.children: dict[int, tuple[np.ndarray, Node]] = {}  # action: reward [P], node

    @property
    def mean(self) -> np.ndarray:
        return np.mean(self.returns, 0)


class Seen(NamedTuple):
    """Every value that any player has seen in a tree, `[P]` each."""

    values: list[np.ndarray]


def search(rule: Rule, root: Node, recurrent: Recurrent) -> np.ndarray:
    """int `[A]`: visits of the root's actions."""
    seen = Seen([root.returns[0]])
    for _ in range(rule.simulations):
        path, node = [root], root
        while True:
            action = choose(rule, node, seen)
            if action not in node.children:
                break
            node = node.children[action][1]
            path.append(node)
        step = recurrent(node.latent[None], np.array([action]))
        legal = np.ones(len(node.prior), bool)
        child = Node(step.latent[0], step.logits[0], step.value[0], int(step.to_play[0]), legal)
        node.children[action] = (step.reward[0], child)
        seen.values.append(step.value[0])
        back_up(rule, [*path, child], seen)
    return np.array([len(root.children[a][1].returns) if a in root.children else 0 for a in range(len(root.prior))])


def back_up(rule: Rule, path: list[Node], seen: Seen) -> None:
    value = path[-1].returns[0]
    for parent, child in zip(path[-2::-1], path[:0:-1], strict=True):
        reward = next(reward for reward, node in parent.children.values() if node is child)
        value = reward + rule.discount * value
        parent.returns.append(value)
        seen.values.append(reward + rule.discount * child.mean)


def choose(rule: Rule, node: Node, seen: Seen) -> int:
    """The first of the actions with the largest upper bound."""
    who, visits = node.mover, len(node.returns)
    qs = {a: float((reward + rule.discount * child.mean)[who]) for a, (reward, child) in node.children.items()}
    among = {
        "tree": [float(value[who]) for value in seen.values],
        "bounds": [rule.value_min, rule.value_max],
        "siblings": [float(node.mean[who]), *qs.values()],
    }[rule.normalise]
    least, span = min(among), max(max(among) - min(among), 1e-8)
    if rule.kind == "ucb":
        factor, unvisited = math.sqrt(visits), least + span / 2 if span > 1e-8 else least
    else:
        factor = math.sqrt(visits) * (1.25 + math.log((visits + 19652 + 1) / 19652))
        unvisited = least if rule.normalise == "siblings" else float(node.mean[who])
    scores = []
    for action, prior in enumerate(node.prior):
        count = len(node.children[action][1].returns) if action in node.children else 0
        q = qs.get(action, unvisited)
        scores.append((q - least) / span + factor * prior / (count + 1) if prior > 0 else -math.inf)
    return int(np.argmax(scores))
