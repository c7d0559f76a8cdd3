"""Minimax with alpha-beta pruning, to a fixed depth, for any number of players.

One player maximises what it gets, and all others are taken to minimise that: for two players with opposite returns this
is negamax, and for more the paranoid assumption (Sturtevant and Korf, AAAI 2000). Who is to move is asked of the
position, so nothing is assumed about whose turn follows whose. A position at the horizon is worth 0.
"""

from __future__ import annotations

import math
from random import Random

from kaimesh.contract.position import Position

HORIZON = 0.0


def best_actions(position: Position, depth: int) -> list[int]:
    """The actions that are worth most to the player to move, all of them, after a search of `depth` >= 1 plies."""
    me = position.current_player()
    best = -math.inf
    actions: list[int] = []
    for action in position.legal_actions():
        below = math.nextafter(best, -math.inf)  # so that a value that equals the best one is exact, too
        value = _value(_after(position, action), depth - 1, me, below, math.inf)
        if value > best:
            best, actions = value, [action]
        elif value == best:
            actions.append(action)
    return actions


def choose(position: Position, depth: int, random: Random) -> int:
    """One of the best actions, each with the same probability."""
    return random.choice(best_actions(position, depth))


def _after(position: Position, action: int) -> Position:
    after = position.clone()
    after.apply_action(action)
    return after


def _value(position: Position, depth: int, me: int, low: float, high: float) -> float:
    """What `me` gets, exact if it is within low..high; otherwise a bound on the same side of the range."""
    if position.is_terminal():
        return position.returns()[me]
    if not depth:
        return HORIZON
    mine = position.current_player() == me
    best = -math.inf if mine else math.inf
    for action in position.legal_actions():
        value = _value(_after(position, action), depth - 1, me, low, high)
        if mine:
            best = max(best, value)
            low = max(low, best)
        else:
            best = min(best, value)
            high = min(high, best)
        if low >= high:
            break
    return best
