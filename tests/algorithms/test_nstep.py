"""n-step returns against sums written from the definition, one step at a time, and against rlax."""

from __future__ import annotations

import jax
import numpy as np
import pytest
import rlax
from hypothesis import given, settings
from hypothesis import strategies as st

from kaimesh.algorithms.targets.nstep import NStep, n_step
from tests.algorithms.test_gae import Trajectories, random_trajectories


def target(result: NStep, value: np.ndarray) -> np.ndarray:
    """`[T, B]` of values `[T + 1, B]`."""
    return result.reward + result.discount * np.take_along_axis(value, result.bootstrap, 0)


def returns(data: Trajectories, gamma: float, n: int) -> np.ndarray:
    result = n_step(data.reward, data.terminated, data.truncated, data.mask, gamma=gamma, n=n)
    return target(result, data.value)


def oracle(data: Trajectories, gamma: float, n: int) -> np.ndarray:
    """Walks from every valid step up to n steps forward: O(T n)."""
    length, count = data.reward.shape
    wanted = np.zeros((length, count))
    for b in range(count):
        for t in range(length):
            factor = 1.0
            for k in range(t, min(t + n, length)):
                wanted[t, b] += factor * float(data.reward[k, b])
                factor *= 0.0 if data.terminated[k, b] else gamma
                if data.terminated[k, b] or data.truncated[k, b]:
                    break
            wanted[t, b] += factor * float(data.value[k + 1, b])
    return wanted


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(1, 24),
    st.integers(1, 5),
    st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]),
    st.integers(1, 30),
    st.booleans(),
)
def test_equals_the_sums_of_the_definition(
    seed: int, length: int, count: int, gamma: float, n: int, reset_steps: bool
) -> None:
    data = random_trajectories(seed, length, count, reset_steps=reset_steps)
    wanted = oracle(data, gamma, n)
    np.testing.assert_allclose(returns(data, gamma, n)[data.mask], wanted[data.mask], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("n", [1, 3, 7, 40])
def test_equals_rlax(n: int) -> None:
    """rlax knows no truncation; it too shortens the sums at the trajectory's end."""
    data = random_trajectories(11, 30, 4)
    data = data._replace(truncated=np.zeros_like(data.truncated), mask=np.ones_like(data.mask))
    gamma = 0.97
    discount = (gamma * ~data.terminated).astype(np.float32)
    wanted = jax.vmap(lambda r, d, v: rlax.n_step_bootstrapped_returns(r, d, v, n), in_axes=1, out_axes=1)(
        data.reward, discount, data.value[1:]
    )
    np.testing.assert_allclose(returns(data, gamma, n), wanted, rtol=1e-5, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 8))
def test_no_target_reaches_over_an_end_or_into_a_reset(seed: int, n: int) -> None:
    data = random_trajectories(seed, 20, 3, ends=0.4)
    result = n_step(data.reward, data.terminated, data.truncated, data.mask, gamma=0.9, n=n)
    ends = data.terminated | data.truncated
    for t, b in np.argwhere(data.mask):
        reached = result.bootstrap[t, b]
        assert t < reached <= min(t + n, 20)
        assert not ends[t : reached - 1, b].any()
        assert data.mask[t:reached, b].all()
        assert (result.discount[t, b] == 0) == data.terminated[reached - 1, b]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 8), st.sampled_from([np.nan, np.inf, -1e30, 7.0]))
def test_masked_steps_are_not_read(seed: int, n: int, garbage: float) -> None:
    data = random_trajectories(seed, 20, 3, ends=0.4)
    hidden = ~data.mask
    dirty = data._replace(reward=np.where(hidden, np.float32(garbage), data.reward))
    # The flags of a reset step are False in every environment; what is learned must not depend on that.
    dirty = dirty._replace(terminated=data.terminated | hidden, truncated=data.truncated ^ hidden)
    np.testing.assert_array_equal(returns(dirty, 0.9, n)[data.mask], returns(data, 0.9, n)[data.mask])


def test_by_hand() -> None:
    """Two steps, a truncation, the reset, one step more, a termination."""
    column = {
        "reward": [1, 2, 4, 99, 8, 16],
        "terminated": [0, 0, 0, 0, 0, 1],
        "truncated": [0, 0, 1, 0, 0, 0],
        "mask": [1, 1, 1, 0, 1, 1],
    }
    data = {
        name: np.array(values, np.float32 if name == "reward" else bool)[:, None] for name, values in column.items()
    }
    result = n_step(**data, gamma=0.5, n=2)
    valid = np.array(column["mask"], bool)
    np.testing.assert_array_equal(result.reward[valid, 0], [1 + 1, 2 + 2, 4, 8 + 8, 16])
    np.testing.assert_array_equal(result.discount[valid, 0], [0.25, 0.25, 0.5, 0, 0])
    np.testing.assert_array_equal(result.bootstrap[valid, 0], [2, 3, 3, 6, 6])
