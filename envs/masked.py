"""CartPole whose velocities are hidden: what the pole does next can only be told from what it did before."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.vector import VectorObservationWrapper
from gymnasium.vector.utils import batch_space

_SEEN = [0, 2]  # of CartPole's observation: the cart's position and the pole's angle


class MaskedCartPole(VectorObservationWrapper):
    """CartPole-v1 (500 steps, +1 each) with observations float32 `[2]`: position, m, and angle, rad.

    A policy that sees only the present balances the pole for some dozens of steps.
    """

    def __init__(self, num_envs: int, max_episode_steps: int = 500, render_mode: str | None = None) -> None:
        super().__init__(CartPoleVectorEnv(num_envs, max_episode_steps=max_episode_steps, render_mode=render_mode))
        whole = self.env.single_observation_space
        assert isinstance(whole, spaces.Box)
        self.single_observation_space = spaces.Box(whole.low[_SEEN], whole.high[_SEEN], dtype=np.float32)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.metadata = {**self.env.metadata, "success_return": 475}

    def observations(self, observations: Any) -> Any:
        """`[N, 4]` to `[N, 2]`."""
        return observations[:, _SEEN]
