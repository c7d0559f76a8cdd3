"""PPO learns: classic tasks in a serial loop, also with policies that lag behind as they do in the mesh."""

from __future__ import annotations

from functools import partial

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from kaimesh.algorithms.ppo.agent import Agent
from kaimesh.algorithms.ppo.config import Config
from tests.algorithms.serial_training import Collector, spaces_of, train
from tests.envs.own import Boxed


@pytest.mark.learning
@pytest.mark.parametrize("lag", [0, 3])
def test_cartpole(lag: int) -> None:
    """The defaults need 0.2 to 0.45 million steps, which is seconds."""
    cls = partial(Agent, config=Config(seed=1))
    envs = CartPoleVectorEnv(num_envs=64, max_episode_steps=500)
    result = train(cls, envs, goal=475, max_steps=1_500_000, lag=lag, seed=1)
    assert result.best >= 475, result
    assert result.seconds < 100, result


def test_the_size_of_a_box_does_not_matter() -> None:
    """What is learned from is the same. A policy that acted in the environment's unit stayed at 0.3 of 20 in [0, 1000],
    and reached 18 in [-1, 1].
    """

    def collected(low: float, high: float, dtype: str) -> dict[str, np.ndarray]:
        made = partial(Boxed, low, high, dtype, best=0.3 * low + 0.7 * high, far=0.7 * (high - low))
        envs = SyncVectorEnv([made] * 16, autoreset_mode=AutoresetMode.NEXT_STEP)
        actor = Agent("actor", config=Config(seed=1))
        actor.setup(spaces_of(envs))
        return dict(Collector(envs, actor, seed=1).collect(64).columns)

    plain = collected(-1, 1, "float32")
    for box in ((0, 1000, "float32"), (-1e5, 3e5, "float64"), (-1e308, 1e307, "float64")):
        for name, column in collected(*box).items():
            np.testing.assert_allclose(column, plain[name], rtol=1e-5, atol=1e-6, err_msg=f"{name} in {box}")
    assert 0.3 < plain["reward"].mean() < 0.9


@pytest.mark.learning
def test_pendulum() -> None:
    """A random policy scores about -1200; the documented settings pass -300 after some 0.2 million steps."""
    cls = partial(Agent, config=Config(seed=1, gamma=0.9, reward_scale=0.1, epochs=10, minibatches=8))
    envs = gymnasium.make_vec(
        "Pendulum-v1", 64, vectorization_mode="sync", vector_kwargs={"autoreset_mode": AutoresetMode.NEXT_STEP}
    )
    result = train(cls, envs, goal=-300, max_steps=600_000, lag=1, seed=1)
    assert result.best >= -300, result
