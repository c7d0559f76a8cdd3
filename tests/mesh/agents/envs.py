"""An environment that breaks."""

from __future__ import annotations

import ctypes
import os
import time
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete


class Broken(gymnasium.Env):
    """Raises in step number `step` of its life."""

    observation_space = Box(0.0, 1.0, (3,), np.float32)
    action_space = Discrete(3)

    def __init__(self, step: int = 25) -> None:
        self.left, self.t = step, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(3, np.float32), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.t += 1
        self.left -= 1
        if self.left == 0:
            raise RuntimeError("broken on purpose: step")
        return np.zeros(3, np.float32), 0.0, self.t == 10, False, {}


class Leaving(Broken):
    """Ends its process in step number `step` of its life, by `how`: "os._exit", with 0, or "segfault"."""

    def __init__(self, how: str = "os._exit", step: int = 25) -> None:
        super().__init__(step)
        self.how = how

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        if self.left == 1:
            if self.how == "os._exit":
                time.sleep(1.5)  # what ends within a second of its start is another case to supervisord
                os._exit(0)
            ctypes.string_at(0)
        return super().step(action)
