"""What a network sees of the realm: four maps around the hero and a feature vector.

Maps: 51 x 51 cells with the hero in the middle, indexed `[25 + dz, 25 + dx]`: rows grow to the North, columns to the
East.
Shape legend: N environments; F features; M = 51 * 51 cells of a map.

Features, float32 `[F]`, all in [-1, 1]:

| index | feature |
|---|---|
| 0, 1 | x, z / size of the world |
| 2 | 1: the flash is ready |
| 3 | steps until it is / 606 |
| 4 | fast steps left / 50 |
| 5 | share of the steps that is left |
| 6 + 6 k .. | object k: the end, the buff, then the treasures at points 1..15; six numbers each: |
| +0 | 1: it is there. 0: it is not, and the rest is 0, 0, 1, 1, 1 |
| +1, +2 | cosine and sine of its direction, one of eight |
| +3, +4 | class of its straight distance and of its way, 1..5, / 5 |
| +5 | its way in cells between 4-neighbours / (2 * size), below 1 |
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from kaimesh.envs.realm.core import BUFF_STEPS, COS, DIRECTIONS, FLASH_WAIT, FULL_MEMORY, RADIUS, SIN, State, World
from kaimesh.envs.realm.map import BUFF, CELL, POINTS

VIEW = 2 * RADIUS + 1
OBJECTS = 2 + 15
FEATURES = 6 + 6 * OBJECTS
CLASSES = 5  # of distances: 1 very small .. 5 very large
MAPS = ("obstacle", "treasure", "end", "memory")
TREASURE_BIT, END_BIT, MEMORY_SHIFT = 2, 4, 3  # of a packed cell, whose bit 0 says that it is passable
TAN = math.tan(math.pi / 8)


@njit(cache=True)
def direction_to(far_x: float, far_z: float) -> int:
    """1 East, then counter-clockwise to 8 South-East: the eighth of the circle around it; who stands on it sees it
    East.
    """
    wide, high = abs(far_x), abs(far_z)
    if high <= TAN * wide:
        return 1 if far_x >= 0 else 5
    if wide < TAN * high:
        return 3 if far_z > 0 else 7
    if far_z > 0:
        return 2 if far_x > 0 else 4
    return 8 if far_x > 0 else 6


@njit(cache=True)
def straight_class(far_x: float, far_z: float, size: int) -> int:
    """1..5: the straight distance, in steps of 20 cells in a world of 128."""
    return min(CLASSES, 1 + int(math.hypot(far_x, far_z) / CELL * 6.4 / size))


@njit(cache=True)
def way_class(cells: int, size: int) -> int:
    """1..5: the way, in fifths of twice the world's size."""
    return min(CLASSES, 1 + CLASSES * cells // (2 * size))


@njit(cache=True)
def way_share(cells: int, size: int) -> float:
    """The way / (2 * size), which is 256 in a world of 128; below 1, for 1 means that there is nothing."""
    return min(cells, 2 * size - 1) / (2 * size)


@njit(cache=True)
def _object(world: World, state: State, i: int, point: int, there: bool, out: np.ndarray) -> None:
    if not there:
        out[0] = out[1] = out[2] = 0.0
        out[3] = out[4] = out[5] = 1.0
        return
    size = world.walkable.shape[0]
    far_x, far_z = world.points[point, 0] - state.x[i], world.points[point, 1] - state.z[i]
    cells = int(world.distances[point, int(state.z[i] / CELL), int(state.x[i] / CELL)])
    octant = (direction_to(far_x, far_z) - 1) % DIRECTIONS
    out[0], out[1], out[2] = 1.0, COS[octant], SIN[octant]
    out[3] = straight_class(far_x, far_z, size) / CLASSES
    out[4] = way_class(cells, size) / CLASSES
    out[5] = way_share(cells, size)


@njit(cache=True)
def write_features(world: World, state: State, out: np.ndarray) -> None:
    """Writes the features to float32 `[N, F]`."""
    length = world.walkable.shape[0] * CELL
    for i in range(out.shape[0]):
        row = out[i]
        row[0], row[1] = state.x[i] / length, state.z[i] / length
        row[2], row[3] = state.flash_wait[i] == 0, state.flash_wait[i] / FLASH_WAIT
        row[4], row[5] = state.buff_left[i] / BUFF_STEPS, 1.0 - state.step[i] / state.max_step[i]
        _object(world, state, i, state.end[i], True, row[6:12])
        _object(world, state, i, BUFF, state.buff_wait[i] == 0, row[12:18])
        for point in range(1, POINTS):
            start = 12 + 6 * point
            _object(world, state, i, point, state.present[i, point] != 0, row[start : start + 6])


@njit(cache=True)
def _cell_in_view(world: World, state: State, i: int, point: int) -> int:
    """Where a point lies in the hero's flat 51 x 51 view; -1: outside."""
    row = int(world.points[point, 1] / CELL) - int(state.z[i] / CELL) + RADIUS
    column = int(world.points[point, 0] / CELL) - int(state.x[i] / CELL) + RADIUS
    return row * VIEW + column if 0 <= row < VIEW and 0 <= column < VIEW else -1


@njit(cache=True)
def write_maps(world: World, state: State, out: np.ndarray) -> None:
    """Writes the maps to `[N, 4, M]` of any dtype: 1 passable, 1 treasure, 1 end, visits 0..5."""
    for i in range(out.shape[0]):
        top, left = int(state.z[i] / CELL), int(state.x[i] / CELL)  # of the view, in padded arrays
        for row in range(VIEW):
            start = row * VIEW
            for column in range(VIEW):
                out[i, 0, start + column] = world.ground[top + row, left + column]
            for column in range(VIEW):
                out[i, 3, start + column] = state.memory[i, top + row, left + column]
        out[i, 1] = 0
        out[i, 2] = 0
        for point in range(1, POINTS):
            cell = _cell_in_view(world, state, i, point)
            if cell >= 0 and state.present[i, point]:
                out[i, 1, cell] = 1
            if cell >= 0 and point == state.end[i]:
                out[i, 2, cell] = 1


@njit(cache=True)
def write_packed(world: World, state: State, out: np.ndarray) -> None:
    """Writes the maps to uint8 `[N, M]`: bit 0 passable, bit 1 treasure, bit 2 end, bits 3..5 visits."""
    for i in range(out.shape[0]):
        top, left = int(state.z[i] / CELL), int(state.x[i] / CELL)
        for row in range(VIEW):
            for column in range(VIEW):
                visits = state.memory[i, top + row, left + column]
                out[i, row * VIEW + column] = world.ground[top + row, left + column] | visits << MEMORY_SHIFT
        for point in range(1, POINTS):
            cell = _cell_in_view(world, state, i, point)
            if cell >= 0 and state.present[i, point]:
                out[i, cell] |= TREASURE_BIT
            if cell >= 0 and point == state.end[i]:
                out[i, cell] |= END_BIT


def unpack(packed: np.ndarray) -> np.ndarray:
    """float32 `[..., 4, 51, 51]`, memory as 0.2 per visit, from packed maps uint8 `[..., M]`; what a network does
    first.
    """
    cells = packed.reshape(*packed.shape[:-1], VIEW, VIEW)
    bits = [cells & 1, cells >> 1 & 1, cells >> 2 & 1]
    return np.stack([*(bit.astype(np.float32) for bit in bits), (cells >> MEMORY_SHIFT) / np.float32(FULL_MEMORY)], -3)
