"""Catch: a ball falls down a small board, a paddle on the lowest row has to be under it. Learned in seconds.

As in bsuite (arXiv 1908.03568): 10 x 5 cells; actions left, stay, right; +1 or -1 when the ball is down, else 0. An
episode is always `rows - 1` steps. Written once, vectorised; `envs.make("catch")` is one slot of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from kaimesh.contract.errors import ConfigError

LEFT, STAY, RIGHT = 0, 1, 2
CELL_PIXELS = 24


class Catch(VectorEnv):
    """`num_envs` boards.

    Observations float32 `[N, rows * columns]`, 1 at the ball and at the paddle, row by row from the top.
    legal_actions: forbid the paddle to move into a wall, in info["legal_act"] bool `[N, 3]`; a forbidden action means
    stay.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        rows: int = 10,
        columns: int = 5,
        legal_actions: bool = False,
        max_episode_steps: int = 0,
        render_mode: str | None = None,
    ) -> None:
        if rows < 2 or columns < 2:
            raise ConfigError(
                f"catch: env_conf.rows = {rows}, env_conf.columns = {columns}; with fewer than 2 of either nothing "
                "could fall or be missed, so no environment was made. Set both to 2 or more."
            )
        self.num_envs, self.rows, self.columns = num_envs, rows, columns
        self.render_mode = render_mode
        self.metadata = {
            "render_modes": ["rgb_array"],
            "render_fps": 8,
            "autoreset_mode": AutoresetMode.NEXT_STEP,
            "legal_actions": legal_actions,
            "success_return": 1.0,
        }
        self.single_observation_space = Box(0.0, 1.0, (rows * columns,), np.float32)
        self.single_action_space = Discrete(3)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._legal = legal_actions
        self._max_steps = max_episode_steps or rows
        self._slots = np.arange(num_envs)
        self._ball_row = np.zeros(num_envs, np.int64)  # [N]
        self._ball_column = np.zeros(num_envs, np.int64)  # [N]
        self._paddle = np.zeros(num_envs, np.int64)  # [N]
        self._over = np.zeros(num_envs, bool)  # [N]: the next step resets

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """New balls everywhere."""
        super().reset(seed=seed, options=options)
        self._new_balls(self._slots)
        self._over[:] = False
        return self._observations(), self._infos()

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Moves the paddles, then the balls; slots whose episode ended before are reset instead, with reward 0."""
        playing = ~self._over
        moved = np.clip(self._paddle + np.asarray(actions) - STAY, 0, self.columns - 1)
        self._paddle = np.where(playing, moved, self._paddle)
        self._ball_row += playing
        terminated = playing & (self._ball_row == self.rows - 1)
        truncated = playing & ~terminated & (self._ball_row >= self._max_steps)
        caught = np.where(self._ball_column == self._paddle, np.float32(1), np.float32(-1))
        rewards = np.where(terminated, caught, np.float32(0))
        if self._over.any():
            self._new_balls(np.flatnonzero(self._over))
        self._over = terminated | truncated
        return self._observations(), rewards, terminated, truncated, self._infos()

    def render(self) -> tuple[np.ndarray, ...] | None:
        """A picture of each board, uint8 `[H, W, 3]`: the ball red, the paddle white."""
        if self.render_mode is None:
            return None
        boards = np.zeros((self.num_envs, self.rows, self.columns, 3), np.uint8)
        boards[self._slots, -1, self._paddle] = 255
        boards[self._slots, self._ball_row, self._ball_column] = (255, 64, 32)
        return tuple(boards.repeat(CELL_PIXELS, 1).repeat(CELL_PIXELS, 2))

    def _new_balls(self, slots: np.ndarray) -> None:
        self._ball_row[slots] = 0
        self._ball_column[slots] = self.np_random.integers(self.columns, size=len(slots))
        self._paddle[slots] = self.columns // 2

    def _observations(self) -> np.ndarray:
        boards = np.zeros((self.num_envs, self.rows * self.columns), np.float32)
        boards[self._slots, self._ball_row * self.columns + self._ball_column] = 1
        boards[self._slots, (self.rows - 1) * self.columns + self._paddle] = 1
        return boards

    def _infos(self) -> dict[str, Any]:
        if not self._legal:
            return {}
        legal = np.ones((self.num_envs, 3), bool)
        legal[:, LEFT] = self._paddle > 0
        legal[:, RIGHT] = self._paddle < self.columns - 1
        return {"legal_act": legal}
