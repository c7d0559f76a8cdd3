"""A game of several players whose turns follow no simple order, and what may be wrong with what it returns."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv

PLAYERS = 3
TURNS = (2, 2, 0, 1, 1)  # who makes each move; the last one ends the episode
BAD_MOVERS: dict[str, Any] = {
    "below": -1,
    "above": PLAYERS,
    "half": 0.5,
    "text": "first",
    "several": [0, 1],
    "nan": float("nan"),
}
BAD_REWARDS: dict[str, Any] = {
    "short": [1.0, 2.0],
    "long": [0.0] * 4,
    "number": 1.0,
    "text": ["a", "b", "c"],
    "ragged": [[1.0], [1.0, 2.0], 0.0],
    "nan": [0.0, float("nan"), 0.0],
    "inf": [float("inf")] * 3,
    "another's": [7.0, 7.0, 7.0],
}
MISSING = object()


def earned(step: int) -> np.ndarray:
    """What each player gets by move number `step`, from 1."""
    return np.float32([step, 10 * step, -step])


class Seated(gymnasium.Env):
    """Observes how many moves were made and who moves next.

    mover, rewards: returned in move `at` of its life instead, as they are; MISSING: not returned. crash: it raises.
    """

    metadata: ClassVar = {"render_modes": [], "players": PLAYERS}
    lives: ClassVar[list[int]] = []  # the moves of each

    def __init__(
        self, mover: Any = None, rewards: Any = None, at: int = 7, crash: bool = False, which: int | None = None
    ) -> None:
        self.observation_space, self.action_space = Box(0, 10, (2,), np.float32), Discrete(2)
        self._faulty = which is None or len(Seated.lives) == which
        self._number = len(Seated.lives)
        Seated.lives.append(0)
        self._mover, self._rewards, self._at, self._crash = mover, rewards, at, crash
        self._age = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self._age = 0
        return self._seen(), {"to_play": TURNS[0]}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        made_by = TURNS[self._age]
        self._age += 1
        Seated.lives[self._number] += 1
        info: dict[str, Any] = {"to_play": TURNS[min(self._age, len(TURNS) - 1)], "rewards": earned(self._age)}
        if self._faulty and Seated.lives[self._number] == self._at:
            if self._crash:
                raise ConnectionError("the other player left")
            wrong = {"to_play": self._mover, "rewards": self._rewards}
            info |= {name: value for name, value in wrong.items() if value is not None}
            info = {name: value for name, value in info.items() if value is not MISSING}
        return self._seen(), float(earned(self._age)[made_by]), self._age == len(TURNS), False, info

    def _seen(self) -> np.ndarray:
        return np.float32([self._age, TURNS[min(self._age, len(TURNS) - 1)]])


class SeatedTogether(SyncVectorEnv):
    """Gymnasium's own vector environment of them, with the masks that it puts beside what it collects."""

    def __init__(self, num_envs: int, **conf: Any) -> None:
        super().__init__([lambda: Seated(**conf)] * num_envs, autoreset_mode=AutoresetMode.NEXT_STEP)
