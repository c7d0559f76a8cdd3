"""IMPALA learns: CartPole in a serial loop, from policies that lag behind as they do in the mesh."""

from __future__ import annotations

from functools import partial

import pytest
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv

from kaimesh.algorithms.impala.agent import Agent
from kaimesh.algorithms.impala.config import Config
from tests.algorithms.serial_training import train


@pytest.mark.learning
@pytest.mark.parametrize("lag", [2, 8])
def test_cartpole(lag: int) -> None:
    """The preset needs 0.3 to 0.6 million steps, which is seconds."""
    cls = partial(Agent, config=Config(seed=1, reward_scale=0.05))
    envs = CartPoleVectorEnv(num_envs=32, max_episode_steps=500)
    result = train(cls, envs, goal=475, max_steps=1_500_000, lag=lag, seed=1)
    assert result.best >= 475, result
