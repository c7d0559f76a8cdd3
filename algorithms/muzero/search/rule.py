"""What decides how a tree grows, and the tables that compiled code reads it from.

Shape legend: A actions.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

KINDS = ("puct", "ucb", "gumbel")
NORMALISE = ("tree", "bounds", "siblings")

# Their places, for compiled code.
PUCT, UCB, GUMBEL = range(3)
TREE, BOUNDS, SIBLINGS = range(3)

# Constants of arXiv:1911.08265, appendix B.
_C1, _C2 = 1.25, 19652.0


class Rule(NamedTuple):
    """What decides how a tree grows.

    simulations: of each root, at least 1. kind: "puct" (arXiv:1911.08265, appendix B), "ucb" (prior * sqrt(N) / (n + 1)
    beside the value; an unvisited action has value 1/2) or "gumbel". normalise: what brings values to 0..1:

        tree      the least and largest value that each player has seen in this tree
        bounds    value_min and value_max, which no return leaves
        siblings  those of a node and its children, as mctx has it: small differences become large ones

    An unvisited action of pUCT is worth its node's value; with "siblings" it is worth the least one. discount: of the
    value behind a move, for every player. considered: Gumbel MuZero's number of actions that the root considers.
    """

    simulations: int
    kind: str = "puct"
    normalise: str = "tree"
    value_min: float = -1.0
    value_max: float = 1.0
    discount: float = 0.997
    considered: int = 16


class Plan(NamedTuple):
    """A rule as compiled code reads it.

    kind, normalise: places in KINDS and NORMALISE. numbers: `[3]`, discount, value_min, value_max. explore:
    `[simulations + 2]`, the factor of the prior by the visits of a node. considered: int32 `[A + 1, simulations]`, the
    visits of the root's actions that are considered, by how many are and by the simulation (see `halving`).
    """

    kind: int
    normalise: int
    numbers: np.ndarray
    explore: np.ndarray
    considered: np.ndarray


def plan_of(rule: Rule, actions: int, dtype: np.dtype) -> Plan:
    """Raises ValueError: an unknown word, no simulation, no room between the bounds, or no discount in 0..1."""
    _check(rule)
    visits = np.arange(rule.simulations + 2, dtype=dtype)
    growth = 1.0 if rule.kind == "ucb" else np.log((visits + _C2 + 1) / _C2) + _C1
    most = min(rule.considered, actions)
    table = [considered_visits(min(count, most), rule.simulations) for count in range(actions + 1)]
    return Plan(
        KINDS.index(rule.kind),
        NORMALISE.index(rule.normalise),
        np.array([rule.discount, rule.value_min, rule.value_max], dtype),
        (np.sqrt(visits) * growth).astype(dtype),
        np.array(table, np.int32),
    )


def considered_visits(considered: int, simulations: int) -> list[int]:
    """Sequential halving (Karnin et al. 2013): how often the action of each simulation was visited before.

    `considered` actions are visited in turn until each has its share of simulations; half of them go on.
    """
    if considered <= 1:
        return list(range(simulations))
    rounds = math.ceil(math.log2(considered))
    found: list[int] = []
    visits = 0
    while len(found) < simulations:
        turns = max(1, simulations // (rounds * considered))
        for _ in range(turns):
            found += [visits] * considered
            visits += 1
        considered = max(2, considered // 2)
    return found[:simulations]


def _check(rule: Rule) -> None:
    for name, value, known in (("kind", rule.kind, KINDS), ("normalise", rule.normalise, NORMALISE)):
        if value not in known:
            raise ValueError(
                f"{name} = {value!r} of a search is unknown; no tree can grow. Use one of {', '.join(known)}."
            )
    if rule.simulations < 1 or rule.considered < 1:
        raise ValueError(
            f"simulations = {rule.simulations}, considered = {rule.considered}: a search without either finds nothing. "
            "Set both to at least 1."
        )
    if not rule.value_min < rule.value_max:
        raise ValueError(
            f"value_min = {rule.value_min}, value_max = {rule.value_max}: no value lies between them, so moves could "
            "not be compared. Set value_min below value_max."
        )
    if not 0 <= rule.discount <= 1:
        raise ValueError(
            f"discount = {rule.discount} of a search: values would grow with depth, or change sign. Each player has a "
            "value of its own here, so set it from 0 to 1, also for games of two."
        )
