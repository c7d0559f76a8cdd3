"""Plain Monte-Carlo tree search: UCB1 in the tree (UCT, Kocsis and Szepesvari, ECML 2006), random playouts below it.

Each node holds sums of the returns of all P players, and whoever is to move there chooses by its own.
"""

from __future__ import annotations

import math
from random import Random
from typing import Self

from kaimesh.contract.position import Position

EXPLORATION = 2.0  # the c of UCB1, for returns from -1 to 1; OpenSpiel's default too


class Node:
    """A position that was visited. mover: who is to move there. sums: of the returns of each player, `[P]`."""

    __slots__ = ("children", "mover", "sums", "untried", "visits")

    def __init__(self, position: Position, random: Random) -> None:
        self.mover, self.visits = position.current_player(), 0
        self.untried = [] if position.is_terminal() else list(position.legal_actions())
        random.shuffle(self.untried)
        self.children: dict[int, Self] = {}
        self.sums = [0.0] * len(position.returns())

    def selected(self) -> tuple[int, Self]:
        """The action with the highest upper confidence bound, and the node that it leads to."""
        scale, mover = EXPLORATION * EXPLORATION * math.log(self.visits), self.mover
        return max(
            self.children.items(),
            key=lambda child: child[1].sums[mover] / child[1].visits + math.sqrt(scale / child[1].visits),
        )


def choose(position: Position, simulations: int, random: Random) -> int:
    """The action of most visits after `simulations` >= 1 playouts; one of them at random, where several have as
    many.
    """
    root = Node(position, random)
    for _ in range(simulations):
        _simulate(root, position.clone(), random)
    most = max(child.visits for child in root.children.values())
    return random.choice([action for action, child in root.children.items() if child.visits == most])


def _simulate(root: Node, position: Position, random: Random) -> None:
    node, path = root, [root]
    while not node.untried and node.children:
        action, node = node.selected()
        position.apply_action(action)
        path.append(node)
    if node.untried:
        action = node.untried.pop()
        position.apply_action(action)
        node.children[action] = node = Node(position, random)
        path.append(node)
    while not position.is_terminal():
        legal = position.legal_actions()
        position.apply_action(legal[int(random.random() * len(legal))])
    returns = position.returns()
    for node in path:
        node.visits += 1
        node.sums = [total + got for total, got in zip(node.sums, returns, strict=True)]
