"""Maps from a seed: rooms in a rough grid, joined by few corridors.

Doors are few, so ways are long, and the walls between rooms are thinner than a flash is long: that is what makes a
flash worth its waiting time.
"""

from __future__ import annotations

from itertools import islice, product

import numpy as np

from kaimesh.contract.errors import ConfigError
from kaimesh.envs.realm.map import BUFF, POINTS, UNREACHABLE, RealmMap, distance_field

LOOPS = 0.2  # of the walls between rooms that need no door to connect all rooms, the share that get one all the same
PICKUP_CELLS = 2.6  # a point's pickup circle, in cells, rounded up
AROUND = tuple(product((-1, 0, 1), repeat=2))
SLIVER = 6  # so many cells a point's pickup circle may cut off from the rest of the map
ATTEMPTS = 50

Room = tuple[int, int, int, int]  # x, z, width, height


def generate(size: int, seed: int) -> RealmMap:
    """The map of `size` cells per side for `seed`; the same for the same arguments.

    Raises ConfigError: no map of that size holds the points well apart.
    """
    rng = np.random.default_rng([size, seed])
    for _ in range(ATTEMPTS):
        walkable = _rooms_and_corridors(size, rng)
        points = _points(walkable, rng)
        if points is not None:
            return RealmMap(walkable, points, f"{size}x{size}, seed {seed}")
    raise ConfigError(
        f"map_seed = {seed}: {ATTEMPTS} attempts gave no map of {size} x {size} cells that has room for {POINTS} "
        "points, so there is no world to play in. Set another map_seed, or a larger map."
    )


def spacing(size: int) -> int:
    """Cells between any two points, at least."""
    return size // 8


def _rooms_and_corridors(size: int, rng: np.random.Generator) -> np.ndarray:
    count = 6 if size >= 96 else 3  # rooms per side
    pitch = (size - 2) // count
    walkable = np.zeros((size, size), bool)
    rooms: dict[tuple[int, int], Room] = {}
    for row, column in product(range(count), repeat=2):
        width, height = rng.integers(pitch // 2, pitch - 1, 2).tolist()
        x = 1 + column * pitch + int(rng.integers(0, pitch - width))
        z = 1 + row * pitch + int(rng.integers(0, pitch - height))
        rooms[row, column] = (x, z, width, height)
        walkable[z : z + height, x : x + width] = True
    for one, other in _doors(count, rng):
        _corridor(walkable, rooms[one], rooms[other], 3 + int(rng.integers(0, 2)) if size >= 96 else 3, rng)
    for room in rooms.values():
        _pillar(walkable, room, rng)
    return walkable


def _doors(count: int, rng: np.random.Generator) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """A random spanning tree over the grid of rooms (Kruskal's), and a few doors more."""
    cells = list(product(range(count), repeat=2))
    walls = [((r, c), (r + 1, c)) for r, c in cells if r + 1 < count]
    walls += [((r, c), (r, c + 1)) for r, c in cells if c + 1 < count]
    group = {cell: cell for cell in cells}
    doors = []
    for index in rng.permutation(len(walls)):
        one, other = walls[index]
        old, new = group[one], group[other]
        if old != new:
            group = {cell: new if g == old else g for cell, g in group.items()}
        if old != new or rng.random() < LOOPS:
            doors.append((one, other))
    return doors


def _corridor(walkable: np.ndarray, one: Room, other: Room, width: int, rng: np.random.Generator) -> None:
    """Carves from room to room: out of one, a bend in the middle, into the other; never out of the two rooms' box."""
    along_x = other[0] > one[0] + one[2] - 1
    grid = walkable if along_x else walkable.T  # so that it always runs along columns
    (x0, z0, w0, h0), (x1, z1, _, h1) = (r if along_x else (r[1], r[0], r[3], r[2]) for r in (one, other))
    width = min(width, h0, h1)
    start = z0 + int(rng.integers(0, h0 - width + 1))
    end = z1 + int(rng.integers(0, h1 - width + 1))
    left, right = x0 + w0 - 1, x1
    bend = int(rng.integers(left, max(right - width + 1, left + 1)))
    grid[start : start + width, left : bend + width] = True
    grid[min(start, end) : max(start, end) + width, bend : bend + width] = True
    grid[end : end + width, bend : right + 1] = True


def _pillar(walkable: np.ndarray, room: Room, rng: np.random.Generator) -> None:
    """A block of wall inside a room that is wide enough to walk around it."""
    x, z, width, height = room
    if min(width, height) < 9 or rng.random() < 0.3:
        return
    block_w, block_h = int(rng.integers(2, width - 6)), int(rng.integers(2, height - 6))
    left = x + 3 + int(rng.integers(0, width - 5 - block_w))
    low = z + 3 + int(rng.integers(0, height - 5 - block_h))
    walkable[low : low + block_h, left : left + block_w] = False


def _points(walkable: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """int64 `[P, 2]`: 0 near the middle, 1 and 2 (end and start, if nothing else is asked) far apart; None: no room."""
    size = len(walkable)
    if not _connected(walkable):
        return None
    roomy = walkable.copy()  # all eight neighbours are free
    roomy[1:-1, 1:-1] = np.min([walkable[1 + r : size - 1 + r, 1 + c : size - 1 + c] for r, c in AROUND], axis=0)
    candidates = np.argwhere(roomy)[:, ::-1]  # [K, 2] as (x, z)
    from_middle = np.abs(candidates - size / 2).max(1).argsort(kind="stable")
    chosen = list(islice((cell for cell in candidates[from_middle] if not _cuts(walkable, *cell)), 1))
    for cell in rng.permutation(candidates):
        far = all(np.hypot(*(cell - other)) >= spacing(size) for other in chosen)
        if far and not _cuts(walkable, *cell):
            chosen.append(cell)
        if len(chosen) == POINTS:
            return _farthest_first(walkable, np.array(chosen))
    return None


def _connected(walkable: np.ndarray) -> bool:
    z, x = np.argwhere(walkable)[0]
    return bool(((distance_field(walkable, x, z) != UNREACHABLE) == walkable).all())


def _cuts(walkable: np.ndarray, x: int, z: int) -> bool:
    """Whether nobody could pass this point without picking it up. As an end, it would cut off what lies behind it."""
    rows, columns = np.ogrid[: len(walkable), : len(walkable)]
    rest = walkable & (np.hypot(rows - z, columns - x) > PICKUP_CELLS)
    total, largest = int(rest.sum()), 0
    while rest.any() and largest <= total // 2:
        start_z, start_x = np.argwhere(rest)[0]
        part = distance_field(rest, start_x, start_z) != UNREACHABLE
        largest = max(largest, int(part.sum()))
        rest = rest & ~part
    return total - largest > SLIVER


def _farthest_first(walkable: np.ndarray, points: np.ndarray) -> np.ndarray:
    fields = [distance_field(walkable, x, z) for x, z in points]
    ways = np.array([[field[z, x] for x, z in points] for field in fields], np.int64)  # [P, P]
    ways[BUFF] = ways[:, BUFF] = -1
    one, other = np.unravel_index(ways.argmax(), ways.shape)
    rest = [n for n in range(POINTS) if n not in (BUFF, one, other)]
    return points[[BUFF, int(one), int(other), *rest]]
