"""A bandit: one state, and arms that pay 1 with a probability of their own, else 0. Which one is best is to be learned.

The probabilities are evenly spaced in 0.1..0.9, and which arm has which is drawn by `arm_seed`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from kaimesh.contract.errors import ConfigError

WORST, BEST = 0.1, 0.9  # the probabilities of the worst and the best arm


class Bandit(VectorEnv):
    """`num_envs` bandits of `arms` arms, all with the same probabilities. An episode is `pulls` steps.

    Observations float32 `[N, 1]`, always 1. Raises ConfigError: fewer than two arms, or no pull.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        arms: int = 10,
        pulls: int = 1,
        arm_seed: int = 0,
        max_episode_steps: int = 0,
        render_mode: str | None = None,
    ) -> None:
        if arms < 2 or pulls < 1:
            raise ConfigError(
                f"bandit: env_conf.arms = {arms}, env_conf.pulls = {pulls}; there would be nothing to choose, so no "
                "environment was made. Set arms to 2 or more and pulls to 1 or more."
            )
        self.num_envs, self.render_mode = num_envs, render_mode
        self.metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}
        self.single_observation_space = Box(0.0, 1.0, (1,), np.float32)
        self.single_action_space = Discrete(arms)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.chances = np.random.default_rng(arm_seed).permutation(np.linspace(WORST, BEST, arms))  # [A]
        self.best = int(self.chances.argmax())
        self._pulls, self._limit = pulls, max_episode_steps or pulls
        self._steps = np.zeros(num_envs, np.int64)  # [N]
        self._hits = np.zeros(num_envs, np.int64)  # [N]: how often the best arm was taken
        self._over = np.zeros(num_envs, bool)  # [N]: the next step is a reset

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """New episodes everywhere."""
        super().reset(seed=seed, options=options)
        self._steps[:] = self._hits[:] = 0
        self._over = np.zeros(self.num_envs, bool)
        return self._observations(), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Pulls an arm of each; where the episode was over, another one begins, with reward 0."""
        actions, playing = np.asarray(actions), ~self._over
        paid = self.np_random.random(self.num_envs) < self.chances[actions]
        self._steps = np.where(playing, self._steps + 1, 0)
        self._hits = np.where(playing, self._hits + (actions == self.best), 0)
        terminated = playing & (self._steps >= self._pulls)
        truncated = playing & ~terminated & (self._steps >= self._limit)
        self._over = terminated | truncated
        return self._observations(), (paid & playing).astype(np.float32), terminated, truncated, {}

    def episode_report(self, slot: int) -> dict[str, float]:
        """The share of pulls that took the best arm, in the episode that has just ended there."""
        return {"share_of_best_arm": float(self._hits[slot] / max(self._steps[slot], 1))}

    def _observations(self) -> np.ndarray:
        return np.ones((self.num_envs, 1), np.float32)
