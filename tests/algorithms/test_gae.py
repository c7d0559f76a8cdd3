"""GAE against sums written from equation 16 of arXiv:1506.02438, and against rlax."""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np
import rlax
from hypothesis import given, settings
from hypothesis import strategies as st

from kaimesh.algorithms.targets.gae import gae


class Trajectories(NamedTuple):
    value: np.ndarray  # [T + 1, B]
    reward: np.ndarray  # [T, B]
    terminated: np.ndarray  # [T, B]
    truncated: np.ndarray  # [T, B]
    mask: np.ndarray  # [T, B]


def random_trajectories(
    seed: int, length: int, count: int, ends: float = 0.2, reset_steps: bool = True
) -> Trajectories:
    """Episodes as NEXT_STEP autoreset lays them out: after an end comes one masked step, which ends nothing.

    Without `reset_steps` the next episode follows at once.
    """
    rng = np.random.default_rng(seed)
    terminated, truncated = rng.random((2, length, count)) < ends / 2
    terminated &= ~truncated | (rng.random((length, count)) < 0.5)  # sometimes both at once
    mask = np.ones((length, count), bool)
    for t in range(1, length if reset_steps else 0):
        mask[t] = ~(terminated[t - 1] | truncated[t - 1])
        terminated[t] &= mask[t]
        truncated[t] &= mask[t]
    value = rng.standard_normal((length + 1, count)).astype(np.float32)
    reward = rng.standard_normal((length, count)).astype(np.float32)
    return Trajectories(value, reward, terminated, truncated, mask)


def oracle(data: Trajectories, gamma: float, gae_lambda: float) -> np.ndarray:
    """`A_t = sum_k (gamma lambda)^k delta_t+k` over the steps of t's own episode, for every t by itself: O(T^2)."""
    length, count = data.reward.shape
    advantage = np.zeros((length, count))
    for b in range(count):
        for t in range(length):
            if not data.mask[t, b]:
                continue
            for k in range(t, length):
                bootstrap = 0.0 if data.terminated[k, b] else float(data.value[k + 1, b])
                delta = float(data.reward[k, b]) + gamma * bootstrap - float(data.value[k, b])
                advantage[t, b] += (gamma * gae_lambda) ** (k - t) * delta
                if data.terminated[k, b] or data.truncated[k, b]:
                    break
    return advantage


UNIT = st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 24), st.integers(1, 5), UNIT, UNIT, st.booleans())
def test_equals_the_sums_of_the_paper(
    seed: int, length: int, count: int, gamma: float, gae_lambda: float, reset_steps: bool
) -> None:
    data = random_trajectories(seed, length, count, reset_steps=reset_steps)
    result = gae(*data, gamma=gamma, gae_lambda=gae_lambda)
    wanted = oracle(data, gamma, gae_lambda)
    np.testing.assert_allclose(result.advantage.numpy(), wanted, rtol=1e-5, atol=2e-5)
    np.testing.assert_allclose(result.value_target.numpy(), wanted + data.value[:-1], rtol=1e-5, atol=2e-5)


def test_equals_rlax() -> None:
    """Without truncation there is one function to compare with; masked steps are cut there by a zero discount."""
    data = random_trajectories(7, 30, 4)
    data = data._replace(truncated=np.zeros_like(data.truncated), mask=np.ones_like(data.mask))
    gamma, gae_lambda = 0.97, 0.9
    discount = (gamma * ~data.terminated).astype(np.float32)
    wanted = jax.vmap(
        lambda r, d, v: rlax.truncated_generalized_advantage_estimation(r, d, gae_lambda, v), in_axes=1, out_axes=1
    )(data.reward, discount, data.value)
    result = gae(*data, gamma=gamma, gae_lambda=gae_lambda)
    np.testing.assert_allclose(result.advantage.numpy(), wanted, rtol=1e-5, atol=1e-5)


def test_episodes_of_one_trajectory_equal_the_same_episodes_apart() -> None:
    data = random_trajectories(3, 20, 1, ends=0.0)
    data.truncated[7] = True
    data.mask[8] = False
    whole = gae(*data, gamma=0.9, gae_lambda=0.8).advantage.numpy()
    first = Trajectories(data.value[:9], *(column[:8] for column in data[1:]))
    second = Trajectories(data.value[9:], *(column[9:] for column in data[1:]))
    np.testing.assert_allclose(whole[:8], gae(*first, gamma=0.9, gae_lambda=0.8).advantage.numpy(), atol=1e-6)
    np.testing.assert_allclose(whole[9:], gae(*second, gamma=0.9, gae_lambda=0.8).advantage.numpy(), atol=1e-6)


def test_masked_rewards_are_not_read() -> None:
    data = random_trajectories(5, 20, 8)
    assert not data.mask.all()
    garbage = data._replace(reward=np.where(data.mask, data.reward, np.float32(np.nan)))
    for clean, dirty in zip(
        gae(*data, gamma=0.9, gae_lambda=0.8), gae(*garbage, gamma=0.9, gae_lambda=0.8), strict=True
    ):
        np.testing.assert_array_equal(clean.numpy(), dirty.numpy())
