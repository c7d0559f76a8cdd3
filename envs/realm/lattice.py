"""Shortest walks for one who moves in eight directions, around walls, to and from anywhere.

The length of a walk is what `WALK` units per step are spent on: max(|dx|, |dz|) + (sqrt 2 - 1) min(|dx|, |dz|) per
straight piece, the octile norm. Walls are squares of a lattice; a shortest walk among them may bend only at their
corners, and any straight piece between corners has an equally long one along lattice edges and diagonals of the squares
that it crosses. So distances between corners are exact, though the world is continuous.

Shape legend: K squares per side, K + 1 corners; arrays over either are indexed `[z, x]`.
"""

from __future__ import annotations

import heapq
import math

import numpy as np
from numba import njit

from kaimesh.envs.realm.map import CELL

DIAGONAL = math.sqrt(2.0)


def squares(walkable: np.ndarray, per_cell: int) -> np.ndarray:
    """bool `[K, K]`: the free squares of a lattice with `per_cell` squares along each cell."""
    free: np.ndarray = walkable.repeat(per_cell, 0).repeat(per_cell, 1)
    return free


def grown(free: np.ndarray) -> np.ndarray:
    """The free squares and all their eight neighbours: every wall is thinner by one square on each side."""
    padded = np.pad(free, 1)
    size = len(free)
    shifted = [padded[row : row + size, column : column + size] for row in range(3) for column in range(3)]
    result: np.ndarray = np.logical_or.reduce(shifted)
    return result


@njit(cache=True)
def field(free: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """float64 `[K + 1, K + 1]`: from each corner to the nearest source, in sides of a square; inf: no way.

    free: bool `[K, K]`. sources: bool `[K + 1, K + 1]`. Dijkstra's algorithm.
    """
    size = free.shape[0]
    result = np.full((size + 1, size + 1), np.inf)
    queue = [(0.0, 0, 0)]
    queue.pop()
    for row in range(size + 1):
        for column in range(size + 1):
            if sources[row, column]:
                result[row, column] = 0.0
                queue.append((0.0, row, column))
    heapq.heapify(queue)
    while queue:
        length, row, column = heapq.heappop(queue)
        if length > result[row, column]:
            continue
        for up in (-1, 0, 1):
            for right in (-1, 0, 1):
                if not _passes(free, row, column, up, right):
                    continue
                longer = length + (DIAGONAL if up != 0 and right != 0 else 1.0)
                if longer < result[row + up, column + right]:
                    result[row + up, column + right] = longer
                    heapq.heappush(queue, (longer, row + up, column + right))
    return result


@njit(cache=True)
def _passes(free: np.ndarray, row: int, column: int, up: int, right: int) -> bool:
    """Whether one gets from a corner to its neighbour: across a free square, or along the side of one."""
    size = free.shape[0]
    for square_row in range(row - 1 if up <= 0 else row, row + 1 if up >= 0 else row):
        for square_column in range(column - 1 if right <= 0 else column, column + 1 if right >= 0 else column):
            inside = 0 <= square_row < size and 0 <= square_column < size
            if inside and free[square_row, square_column] and (up != 0 or right != 0):
                return True
    return False


@njit(cache=True)
def length_from(distances: np.ndarray, side: float, x: float, z: float) -> float:
    """Units from the place (x, z) to the field's sources: over the nearest corner of the square that it lies in."""
    column, row = int(x / side), int(z / side)
    best = np.inf
    for corner_row in (row, row + 1):
        for corner_column in (column, column + 1):
            wide, high = abs(x - corner_column * side), abs(z - corner_row * side)
            way = max(wide, high) + (DIAGONAL - 1.0) * min(wide, high)
            best = min(best, way + side * distances[corner_row, corner_column])
    return best


def corners(free: np.ndarray) -> np.ndarray:
    """bool `[K + 1, K + 1]`: the corners of free squares."""
    padded = np.pad(free, 1)
    touched: np.ndarray = padded[1:, 1:] | padded[1:, :-1] | padded[:-1, 1:] | padded[:-1, :-1]
    return touched


def circle(size: int, per_cell: int, middle: np.ndarray, radius: float) -> np.ndarray:
    """bool `[K + 1, K + 1]`: the corners within `radius` units of (x, z), on a lattice over `size` cells."""
    places = np.arange(size * per_cell + 1) * (CELL / per_cell)
    inside: np.ndarray = np.hypot(places[None, :] - middle[0], places[:, None] - middle[1]) <= radius
    return inside
