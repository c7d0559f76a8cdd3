"""Helpers that turn parts of an observation of back_to_the_realm (generation G1) into numbers."""

from __future__ import annotations

import math
from typing import Any

_SIDE = 128  # cells of the map in each direction
_DIRECTIONS = 8
_BUMP_UNITS = 500  # who moved no farther in a step has run into something
_NOWHERE = (-1, -1)


def one_hot_encoding(grid_pos: Any) -> list[int]:
    """A cell as `[256]` numbers: one of 128 for its x, then one of 128 for its z. grid_pos: has `x`, `z`, 0..127."""
    found = [0] * (2 * _SIDE)
    found[int(grid_pos.x)] = 1
    found[_SIDE + int(grid_pos.z)] = 1
    return found


def read_relative_position(rel_pos: Any) -> list[float]:
    """A relative position as `[9]` numbers: one of 8 for its direction 1..8, all 0 for direction 0; then its
    `grid_distance`.
    """
    direction = [0.0] * _DIRECTIONS
    if rel_pos.direction:
        direction[int(rel_pos.direction) - 1] = 1.0
    return [*direction, rel_pos.grid_distance]


def bump(a1: float, b1: float, a2: float, b2: float) -> bool:
    """Whether the hero ran into something between (a1, b1) and (a2, b2), x and z in units; (-1, -1) is no place."""
    if (a1, b1) == _NOWHERE or (a2, b2) == _NOWHERE:
        return False
    return math.hypot(a1 - a2, b1 - b2) <= _BUMP_UNITS
