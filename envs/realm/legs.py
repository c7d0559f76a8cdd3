"""The least lengths of the ways between a map's points, walked, or with one flash on the way.

They are lower bounds: every simplification makes a way shorter than it is, never longer.

- A way is the shortest walk between the two points' pickup circles of 1000 units (kaimesh.envs.realm.lattice). The
  diagonal parts of a step may cut a wall's corner by 87 units, so walls are made 125 units thinner. The lattice has
  squares of 125 units; what it may add to a way at its two ends, SLACK, is subtracted.
- A flash may begin at the best corner of a cell, and may land in any place of any cell in which a flash from somewhere
  in the first cell could land.

Shape legend: S cells per side; P points.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import njit

from kaimesh.envs.realm import core, lattice
from kaimesh.envs.realm.map import CELL, RealmMap

PER_CELL = 4  # squares of the lattice along a cell
SIDE = CELL / PER_CELL  # units
SLACK = SIDE * math.sqrt(2.0)  # units, of the two ends of a way together: each is within half of it of a corner
AROUND = CELL * math.sqrt(0.5)  # units from the middle of a cell to its corners


class Legs(NamedTuple):
    """Units of walking, float64 `[2, P, P]`: index 0 without a flash, 1 with at most one, which counts as one step.

    between: from the pickup circle of one point to that of another. leaving: from a point itself to another's circle.
    """

    between: np.ndarray
    leaving: np.ndarray


def ground(realm: RealmMap) -> np.ndarray:
    """bool `[K, K]`: the free squares of the lattice, with walls as thin as a step's cut corners make them."""
    return lattice.grown(lattice.squares(realm.walkable, PER_CELL))


@lru_cache(maxsize=8)
def legs(realm: RealmMap) -> Legs:
    """The least lengths between the points of a map; computed once."""
    free = ground(realm)
    circles = [
        lattice.circle(realm.size, PER_CELL, middle, core.REACH + SLACK / 2) & lattice.corners(free)
        for middle in realm.positions
    ]
    fields = [lattice.field(free, circle) * SIDE for circle in circles]
    between = np.array([[field[circle].min() for field in fields] for circle in circles]) - SLACK
    at = (realm.positions / SIDE).astype(np.int64)
    leaving = np.array([[field[z, x] for field in fields] for x, z in at]) - SLACK
    near = np.array([_least_in_cells(field, realm.size) for field in fields])  # [P, S, S]
    flashed = _with_flash(realm.walkable.astype(np.uint8), near) + core.WALK - 2 * SLACK
    return Legs(
        np.maximum([between, np.minimum(between, flashed)], 0.0),
        np.maximum([leaving, np.minimum(leaving, flashed)], 0.0),
    )


def _least_in_cells(field: np.ndarray, size: int) -> np.ndarray:
    """`[S, S]`: the least value at the corners of squares in each cell."""
    least = np.full((size, size), np.inf)
    for row in range(PER_CELL + 1):
        for column in range(PER_CELL + 1):
            corners = field[row::PER_CELL, column::PER_CELL][:size, :size]
            least = np.minimum(least, corners)
    return least


@njit(cache=True)
def _with_flash(walkable: np.ndarray, near: np.ndarray) -> np.ndarray:
    """`[P, P]`: the least sum of a way to where a flash begins and one from where it lands. near: `[P, S, S]`."""
    count, size = near.shape[0], walkable.shape[0]
    best = np.full((count, count), np.inf)
    landed = np.empty(count)
    for row in range(size):
        for column in range(size):
            if not walkable[row, column]:
                continue
            for direction in range(core.DIRECTIONS):
                _least_landing(walkable, near, row, column, direction, landed)
                for one in range(count):
                    for other in range(count):
                        best[one, other] = min(best[one, other], near[one, row, column] + landed[other])
    return best


@njit(cache=True)
def _least_landing(
    walkable: np.ndarray, near: np.ndarray, row: int, column: int, direction: int, landed: np.ndarray
) -> None:
    """Writes to `landed` `[P]` the least of `near` over all cells where a flash from anywhere in the cell may land.

    With w the cell's middle, g its flash's goal, and a hero within AROUND of w: where his goal is free, he lands in a
    cell that is within AROUND of g. Else he lands in the middle of the cell nearest to his goal, of those within 8000
    of him. Some middle within 8000 - AROUND of w is a distance d from g; so his is within d + 2 AROUND of g, and within
    8000 + AROUND of w.
    """
    size = walkable.shape[0]
    x, z = (column + 0.5) * CELL, (row + 0.5) * CELL
    goal_x, goal_z = x + core.COS[direction] * core.FLASH, z + core.SIN[direction] * core.FLASH
    near_x, near_z = core.nearest_middle(walkable, goal_x, goal_z, x, z, core.FLASH - AROUND)
    blocked_reach = math.hypot(near_x - goal_x, near_z - goal_z) + 2 * AROUND
    blocked = False
    landed[:] = np.inf
    goal_row, goal_column = math.floor(goal_z / CELL), math.floor(goal_x / CELL)
    for to_row in range(goal_row - 1, goal_row + 2):
        for to_column in range(goal_column - 1, goal_column + 2):
            if _gap(goal_x, to_column) ** 2 + _gap(goal_z, to_row) ** 2 > AROUND**2:
                continue
            if 0 <= to_row < size and 0 <= to_column < size and walkable[to_row, to_column]:
                np.minimum(landed, near[:, to_row, to_column], landed)
            else:
                blocked = True
    if not blocked:
        return
    width = int(blocked_reach / CELL) + 1
    for to_row in range(max(goal_row - width, 0), min(goal_row + width, size - 1) + 1):
        for to_column in range(max(goal_column - width, 0), min(goal_column + width, size - 1) + 1):
            to_x, to_z = (to_column + 0.5) * CELL, (to_row + 0.5) * CELL
            close = math.hypot(to_x - goal_x, to_z - goal_z) <= blocked_reach
            if close and walkable[to_row, to_column] and math.hypot(to_x - x, to_z - z) <= core.FLASH + AROUND:
                np.minimum(landed, near[:, to_row, to_column], landed)


@njit(cache=True)
def _gap(place: float, cell: int) -> float:
    """Units between a coordinate and a cell, 0 inside."""
    return max(cell * CELL - place, place - (cell + 1) * CELL, 0.0)
