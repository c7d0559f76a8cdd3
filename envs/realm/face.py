"""The realm in a terminal: the window around the hero, the keys, and how the episode stands."""

from __future__ import annotations

import numpy as np

from kaimesh.contract.face import Colour, Line, Piece
from kaimesh.envs.interface import MeshEnv
from kaimesh.envs.realm import core, oracle, views
from kaimesh.envs.realm.map import BUFF, CELL, POINTS
from kaimesh.envs.realm.vector import Realm

# What is in a cell, with its letters, its colour, and its name in the legend.
FLOOR, WALL, VISITED, START, END, BUFF_LIES, TREASURE, HERO = range(8)
LETTERS = [". ", "##", ", ", "S ", "E ", "B ", "T ", "@ "]
GROUNDS: list[Colour] = [
    (232, 226, 208), (52, 58, 70), (206, 196, 168), (170, 170, 190),
    (70, 160, 90), (80, 130, 220), (240, 190, 40), (210, 60, 50),
]  # fmt: skip
LEGEND = {
    HERO: "you",
    TREASURE: "treasure",
    END: "end",
    BUFF_LIES: "buff",
    START: "start",
    VISITED: "been there",
    WALL: "wall",
}
INK: Colour = (20, 20, 20)

# Keys of the eight directions, East first, then counter-clockwise: around the s, and as on a number pad.
LETTER_KEYS, NUMBER_KEYS = "dewqazxc", "69874123"
ARROWS = {"RIGHT": 0, "UP": 2, "LEFT": 4, "DOWN": 6}
NAMES = ("E", "NE", "N", "NW", "W", "SW", "S", "SE")
BIG_ROWS = 31  # lines from which a cell has a line of its own; with fewer, half of one


class RealmFace:
    """One hero. The space bar arms the flash for the next direction."""

    keys = "qwe/a d/zxc, 1-9, arrows: walk  space: flash"
    letters = LETTER_KEYS + NUMBER_KEYS + " "

    def __init__(self, env: MeshEnv) -> None:
        realm = env.unwrapped
        assert isinstance(realm, Realm)
        self._realm, self._armed = realm, False

    def press(self, key: str) -> int | None:
        """A direction, with the flash if it is armed and ready."""
        if key == " ":
            self._armed = not self._armed and self._state.flash_wait[0] == 0
            return None
        if key in ARROWS:
            direction = ARROWS[key]
        else:
            direction = max(LETTER_KEYS.find(key.lower()), NUMBER_KEYS.find(key)) if len(key) == 1 else -1
        if direction < 0:
            return None
        action = direction + core.DIRECTIONS * self._armed
        self._armed = False
        return action

    def picture(self, observation: np.ndarray, width: int, height: int, colours: bool) -> list[Line]:
        """The cells around the hero, at most 51 x 51, North above; and a legend."""
        del observation
        height -= 1
        big = height >= BIG_ROWS or not colours
        rows, columns = (height, width // 2) if big else (2 * height, width)
        cells = self._cells(_radius(rows), _radius(columns))
        legend = [part for what, name in LEGEND.items() for part in (_cell(what, colours), Piece(f" {name}  "))]
        if big:
            return [*([_cell(what, colours) for what in row] for row in cells), legend]
        below = np.vstack([cells[1:], np.full((1, cells.shape[1]), WALL)])
        return [*(_halves(*pair) for pair in zip(cells[::2], below[::2], strict=True)), legend]

    def status(self) -> str:
        """Score, treasures, flash, buff, steps, and the ways to what is there."""
        state = self._state
        wait, buff = int(state.flash_wait[0]), int(state.buff_left[0])
        flash = "ARMED" if self._armed else f"in {wait}" if wait else "ready"
        left = int(state.max_step[0] - state.step[0])
        treasures = [n for n in range(1, POINTS) if state.present[0, n]]
        ways = ", ".join(map(self._way, sorted(treasures, key=self._cells_to))) or "none left"
        return (
            f"score {state.score[0]:g}  treasures {state.treasures[0]}/{state.asked[0].sum()}  flash {flash}  "
            f"buff {buff if buff else '-'}  steps left {left}  bumps {state.bumps[0]}\n"
            f"end {self._way(int(state.end[0]))}  treasures {ways}"
        )

    def verdict(self) -> str:
        """The optimum of this episode."""
        state = self._state
        treasures = [n for n in range(1, POINTS) if state.asked[0, n]]
        start, end, limit = int(state.start[0]), int(state.end[0]), int(state.max_step[0])
        best = oracle.optimum(self._realm.map, start=start, end=end, treasures=treasures, max_step=limit)
        share = f", {state.score[0] / best.score:.1%} of it is yours" if best.score else ""
        return f"nobody scores more than {best.score:.1f}, in {best.steps} steps{share}"

    @property
    def _state(self) -> core.State:
        return self._realm.state

    def _cells_to(self, point: int) -> int:
        state = self._state
        return int(self._realm.world.distances[point, int(state.z[0] / CELL), int(state.x[0] / CELL)])

    def _way(self, point: int) -> str:
        x, z = self._realm.world.points[point]
        octant = views.direction_to(x - self._state.x[0], z - self._state.z[0])
        return f"{NAMES[(octant - 1) % core.DIRECTIONS]} {self._cells_to(point)}"

    def _cells(self, rows: int, columns: int) -> np.ndarray:
        """What is in the cells up to so many rows and columns away, int `[2 rows + 1, 2 columns + 1]`, the northmost
        row first.
        """
        state, world = self._state, self._realm.world
        x, z, radius = int(state.x[0] / CELL), int(state.z[0] / CELL), core.RADIUS
        window = slice(z, z + views.VIEW), slice(x, x + views.VIEW)
        cells = np.where(world.ground[window] == 0, WALL, np.where(state.memory[0][window] > 0, VISITED, FLOOR))
        lying = [(int(state.start[0]), START), (int(state.end[0]), END)]
        lying += [(BUFF, BUFF_LIES)] if state.buff_wait[0] == 0 else []
        lying += [(point, TREASURE) for point in range(1, POINTS) if state.present[0, point]]
        for point, what in lying:
            column, row = (world.points[point] // CELL).astype(int) + radius - (x, z)
            if 0 <= row < views.VIEW and 0 <= column < views.VIEW:
                cells[row, column] = what
        cells[radius, radius] = HERO
        return cells[radius - rows : radius + rows + 1, radius - columns : radius + columns + 1][::-1]


def _radius(room: int) -> int:
    """Cells to each side of the hero, of which there is room for so many in all."""
    return min(max(room - 1, 0) // 2, core.RADIUS)


def _cell(what: int, colours: bool) -> Piece:
    if not colours:
        return Piece(LETTERS[what])
    return Piece(LETTERS[what] if what >= START else "  ", INK, GROUNDS[what])


def _halves(above: np.ndarray, below: np.ndarray) -> Line:
    return [Piece("▀", GROUNDS[top], GROUNDS[bottom]) for top, bottom in zip(above, below, strict=True)]
