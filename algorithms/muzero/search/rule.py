"""What decides how a tree grows.

Shape legend: N slots of nodes: simulations + 1.
"""

from __future__ import annotations

from typing import NamedTuple

KINDS = ("puct", "ucb", "gumbel")
NORMALISE = ("tree", "bounds", "siblings")


class Rule(NamedTuple):
    """What decides how a tree grows.

    simulations: of each root, at least 1. kind: "puct" (arXiv:1911.08265, appendix B), "ucb" (prior * sqrt(N) / (n + 1)
    beside the value; an unvisited action has value 1/2) or "gumbel". normalise: what brings values to 0..1:

        tree      the least and largest value that each player has seen in this tree
        bounds    value_min and value_max, which no return leaves
        siblings  those of a node and its children, as mctx has it: small differences become large ones

    An unvisited action of pUCT is worth its node's value; with "siblings" it is worth the least one, 0. discount: of
    the value behind a move, for every player. considered: Gumbel MuZero's number of actions that the root considers.
    """

    simulations: int
    kind: str = "puct"
    normalise: str = "tree"
    value_min: float = -1.0
    value_max: float = 1.0
    discount: float = 0.997
    considered: int = 16
