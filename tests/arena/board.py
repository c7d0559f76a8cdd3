"""A board as games will be: text, many actions, not all of them allowed."""

from __future__ import annotations

import ast
import builtins
from typing import Any

import gymnasium
import numpy as np


class Board(gymnasium.Env):
    """25 fields; each takes one stone."""

    metadata = {"render_modes": ["ansi"], "legal_actions": True}  # noqa: RUF012 - gymnasium's own form
    observation_space = gymnasium.spaces.Box(0, 1, (25,), np.float32)
    action_space = gymnasium.spaces.Discrete(25)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.stones = np.zeros(25, np.float32)
        self.said = ""

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.stones[:], self.said = 0, ""
        return self.stones.copy(), {"legal_act": self.stones == 0}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.stones[action] = 1
        self.said = f"stone on {action}"
        return self.stones.copy(), 0.0, False, False, {"legal_act": self.stones == 0}

    def render(self) -> str:
        rows = ["".join(".o"[int(stone)] for stone in row) for row in self.stones.reshape(5, 5)]
        return "\n".join([*rows, self.said])


class Broken(Board):
    """Raises `raised`, an exception as Python writes it, in its constructor, or after a step in `where`."""

    def __init__(
        self,
        where: str = "step",
        raised: str = "RuntimeError('the board fell down')",
        render_mode: str | None = None,
    ) -> None:
        super().__init__(render_mode)
        name, _, arguments = raised.removesuffix(")").partition("(")
        self._error: BaseException = getattr(builtins, name)(*ast.literal_eval(f"({arguments},)"))
        self._where, self._steps = where, 0
        self._fail("constructor")

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        self._fail("reset")
        return super().reset(seed=seed)

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self._steps += 1
        self._fail("step")
        return super().step(action)

    def render(self) -> str:
        self._fail("render")
        return super().render()

    def _fail(self, where: str) -> None:
        if where == self._where and (self._steps or where == "constructor"):
            raise self._error
