"""An episode of one hero as plain data: where he was, what he did, what happened. story.js draws it in a browser.

Shape legend: T steps; K = T + 1 moments, the first one after the reset.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kaimesh.envs.interface import MeshEnv
from kaimesh.envs.realm import picture
from kaimesh.envs.realm.core import DIRECTIONS, FLASH_WAIT, RADIUS
from kaimesh.envs.realm.map import BUFF, CELL, POINTS
from kaimesh.envs.realm.vector import Realm

_DIRECTIONS = ("East", "North-East", "North", "North-West", "West", "South-West", "South", "South-East")


class Story:
    """Call `note` after the reset, and after every step with the action of that step."""

    script = Path(__file__).parent / "story.js"

    def __init__(self, env: MeshEnv) -> None:
        realm = env.unwrapped
        assert isinstance(realm, Realm)
        self._realm = realm
        self._places: list[tuple[float, float]] = []
        self._jumps: list[int] = []
        self._taken: dict[int, int] = {}  # point -> moment
        self._fast: list[int] = []
        self._gone: list[int] = []  # the buff
        self.columns: dict[str, list[Any]] = {}
        self.events: list[tuple[int, str]] = []

    def note(self, action: int | None = None) -> None:
        """What is there now."""
        state, k = self._realm.state, len(self._places)
        place = round(float(state.x[0]), 1), round(float(state.z[0]), 1)
        self._places.append(place)
        jumps = action is not None and state.flash_wait[0] == FLASH_WAIT
        self._note_events(k, jumps)
        self._fast.append(int(state.buff_left[0] > 0))
        self._gone.append(int(state.buff_wait[0] > 0))
        rows = picture.figures(state, 0)
        name = "" if action is None else ("flash " if jumps else "") + _DIRECTIONS[action % DIRECTIONS]
        for label, value in [rows[0], ("score", rows[1][1]), ("action", name), *rows[2:]]:
            self.columns.setdefault(label, []).append(value)

    def data(self) -> dict[str, Any]:
        """What story.js draws.

        Places are units `[K]`, points [x, z] units; jumps are moments, and so is what is under `taken`.
        """
        realm, state = self._realm.map, self._realm.state
        rows = ["".join(".#"[not free] for free in row) for row in realm.walkable[::-1]]
        treasures = [point for point in range(POINTS) if state.asked[0, point]]
        return {
            "rows": rows,
            "cell": CELL,
            "radius": RADIUS,
            "points": realm.positions.tolist(),
            "start": int(state.start[0]),
            "end": int(state.end[0]),
            "buff": BUFF,
            "treasures": treasures,
            "x": [x for x, _ in self._places],
            "z": [z for _, z in self._places],
            "jumps": self._jumps,
            "taken": self._taken,
            "fast": _spans(self._fast),
            "gone": _spans(self._gone),
        }

    def _note_events(self, k: int, jumps: bool) -> None:
        state = self._realm.state
        if jumps:
            self._jumps.append(k)
            self.events.append((k, f"{k}: flash"))
        for point in range(POINTS):
            if state.asked[0, point] and not state.present[0, point] and point not in self._taken:
                self._taken[point] = k
                self.events.append((k, f"{k}: treasure {point}, {len(self._taken)} of {state.asked[0].sum()}"))
        if state.buff_wait[0] > 0 and self._gone and not self._gone[-1]:
            self.events.append((k, f"{k}: buff"))
        if state.over[0]:
            label = picture.figures(state, 0)[1][0].removeprefix("score, ")
            self.events.append((k, f"{k}: {label}, score {state.score[0]:.1f}"))


def _spans(flags: list[int]) -> list[list[int]]:
    """[from, to) of every run of ones."""
    edges = np.flatnonzero(np.diff([0, *flags, 0])).tolist()
    return [[start, stop] for start, stop in zip(edges[::2], edges[1::2], strict=True)]
