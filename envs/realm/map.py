"""The world of a realm: walls and numbered points.

Shape legend: S cells per side; P points. Arrays over cells are indexed `[z, x]`: rows grow to the North, columns to the
East.
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit

from kaimesh.contract.errors import ConfigError
from kaimesh.contract.json_text import json_text

CELL = 500.0  # units
POINTS = 16
BUFF = 0  # the point where the buff lies; 1..15 are start, end and treasures
UNREACHABLE = np.iinfo(np.uint16).max
PRESETS = {"realm": 128, "realm-mini": 32}  # cells per side
MIN_SIZE, MAX_SIZE = 16, 255


@njit(cache=True)
def distance_field(walkable: np.ndarray, x: int, z: int) -> np.ndarray:
    """Steps between 4-neighbours from cell (x, z) to every cell, uint16 `[S, S]`; UNREACHABLE where there is no way."""
    size = walkable.shape[0]
    field = np.full((size, size), 65535, np.uint16)
    queue = np.empty(size * size, np.int32)
    field[z, x] = 0
    queue[0] = z * size + x
    head, tail = 0, 1
    while head < tail:
        cell_z, cell_x = queue[head] // size, queue[head] % size
        head += 1
        for side in range(4):
            next_z = cell_z + (1 if side == 0 else -1 if side == 1 else 0)
            next_x = cell_x + (1 if side == 2 else -1 if side == 3 else 0)
            inside = 0 <= next_z < size and 0 <= next_x < size
            if inside and walkable[next_z, next_x] and field[next_z, next_x] == 65535:
                field[next_z, next_x] = field[cell_z, cell_x] + 1
                queue[tail] = next_z * size + next_x
                tail += 1
    return field


def unknown_preset(preset: str) -> str:
    """What is said of a preset that does not exist."""
    return (
        f"realm preset {preset!r} is unknown, so there is no world to play in; there are {', '.join(PRESETS)}. Set one "
        "of these."
    )


class RealmMap:
    """A map: `walkable` bool `[S, S]`; `points` int64 `[P, 2]`, the cells (x, z) of the points.

    Cells that no way leads to become walls, so that no flash strands the hero.
    Raises ConfigError: other shapes, a point in a wall, or points that do not reach each other.
    """

    def __init__(self, walkable: np.ndarray, points: np.ndarray, name: str) -> None:
        self.name = name
        walkable = np.array(walkable, bool)
        self.points = np.array(points, np.int64)
        if walkable.ndim != 2 or walkable.shape[0] != walkable.shape[1]:
            raise ConfigError(
                f"map {name}: the walls are {walkable.shape} cells; a map is square, so this one cannot be played. Add "
                "or remove rows."
            )
        if not MIN_SIZE <= len(walkable) <= MAX_SIZE:
            raise ConfigError(
                f"map {name}: {len(walkable)} cells per side; it must be {MIN_SIZE}..{MAX_SIZE} to be played. Make it "
                "larger or smaller."
            )
        if self.points.shape != (POINTS, 2):
            raise ConfigError(
                f"map {name}: points are {self.points.shape}; there must be {POINTS}, each [x, z], or no episode could "
                "be made. Correct `points`."
            )
        for number, (x, z) in enumerate(self.points.tolist()):
            if not (0 <= x < len(walkable) and 0 <= z < len(walkable)) or not walkable[z, x]:
                raise ConfigError(
                    f"map {name}: point {number} at cell ({x}, {z}) is in a wall or outside, where no hero can go; "
                    "move it"
                )
        reached = distance_field(walkable, *self.points[BUFF]) != UNREACHABLE
        cut_off = [n for n, (x, z) in enumerate(self.points) if not reached[z, x]]
        if cut_off:
            raise ConfigError(
                f"map {name}: no way leads from point {BUFF} to point {cut_off[0]}, so some episodes could not be won; "
                "open a wall or move it"
            )
        self.walkable = walkable & reached
        self.walkable.setflags(write=False)

    @property
    def size(self) -> int:
        """Cells per side."""
        return len(self.walkable)

    @cached_property
    def distances(self) -> np.ndarray:
        """uint16 `[P, S, S]`: the shortest way from each cell to each point, in cells."""
        return np.stack([distance_field(self.walkable, x, z) for x, z in self.points])

    @cached_property
    def positions(self) -> np.ndarray:
        """float64 `[P, 2]`: the points (x, z) in units, the middles of their cells."""
        return (self.points + 0.5) * CELL

    def save(self, path: Path | str) -> None:
        """Writes JSON: `rows`, a string for each from North to South ('#' wall, '.' free), and `points` as [x, z]."""
        rows = ["".join(".#"[not free] for free in row) for row in self.walkable[::-1]]
        text = json_text({"name": self.name, "rows": rows, "points": self.points.tolist()}, indent=1)
        Path(path).write_text(text + "\n")


class _File(NamedTuple):
    rows: list[str]
    points: list[list[int]]


def load(path: Path | str) -> RealmMap:
    """The map that `RealmMap.save` wrote. Raises ConfigError: not such a file, or not a map."""
    try:
        data = json.loads(Path(path).read_text())
        file = _File(data["rows"], data["points"])
        width = {len(row) for row in file.rows}
        if len(width) != 1 or set("".join(file.rows)) - set(".#"):
            raise ValueError("rows must be equally long strings of '.' and '#'")
        walkable = np.array([[letter == "." for letter in row] for row in file.rows[::-1]])
        points = np.array(file.points, np.int64)
    except OSError as error:
        raise ConfigError(f"map file {path} cannot be read: {error}; no map was loaded. Check the name.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"map_file = {str(path)!r} is no map ({type(error).__name__}: {error}), so there is no world to play in. "
            "Name a file of JSON with `rows` and `points`, as kaimesh.envs.realm.map.RealmMap.save writes them."
        ) from error
    return RealmMap(walkable, points, str(data.get("name", path)))
