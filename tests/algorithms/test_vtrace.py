"""V-trace against sums written from section 4.1 of arXiv:1802.01561, and against rlax."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
import rlax
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kaimesh.algorithms.targets.gae import gae
from kaimesh.algorithms.targets.vtrace import VTrace, vtrace
from tests.algorithms.test_gae import Trajectories, random_trajectories

UNIT = st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0])
BAR = st.sampled_from([0.3, 1.0, 3.0])


def off_policy(data: Trajectories, seed: int) -> np.ndarray:
    """log_rho [T, B] of a policy some way from the one that acted."""
    rng = np.random.default_rng([seed, 1])
    return rng.normal(0, 0.7, data.reward.shape).astype(np.float32)


def targets(data: Trajectories, log_rho: np.ndarray, **settings: float) -> VTrace:
    result = vtrace(data.value, log_rho, *data[1:], **settings)
    return VTrace(*(tensor.numpy() for tensor in result))


def oracle(
    data: Trajectories, log_rho: np.ndarray, gamma: float, lam: float, rho_bar: float, c_bar: float, pg_rho_bar: float
) -> VTrace:
    """Equation 1 for every s, O(T^2): `v_s = V_s + sum_t gamma^(t-s) (prod_i<t c_i) delta_t` within s's episode."""
    length, count = data.reward.shape
    value, ratio = data.value.astype(np.float64), np.exp(log_rho.astype(np.float64))
    target, advantage = value[:-1].copy(), np.zeros((length, count))

    def ends(t: int, b: int) -> bool:
        return bool(data.terminated[t, b] or data.truncated[t, b])

    for b in range(count):
        for s in range(length):
            if not data.mask[s, b]:
                continue
            product = 1.0
            for t in range(s, length):
                bootstrap = 0.0 if data.terminated[t, b] else value[t + 1, b]
                delta = min(rho_bar, ratio[t, b]) * (data.reward[t, b] + gamma * bootstrap - value[t, b])
                target[s, b] += product * delta
                if ends(t, b):
                    break
                product *= gamma * lam * min(c_bar, ratio[t, b])
        for s in range(length):  # equation 4, with the targets that are now known
            if not data.mask[s, b]:
                continue
            if data.terminated[s, b]:
                successor = 0.0
            elif ends(s, b) or s + 1 == length:
                successor = value[s + 1, b]
            else:
                successor = lam * target[s + 1, b] + (1 - lam) * value[s + 1, b]
            q = data.reward[s, b] + gamma * successor
            advantage[s, b] = min(pg_rho_bar, ratio[s, b]) * (q - value[s, b])
    return VTrace(target, advantage)


def assert_close(result: VTrace, wanted: VTrace) -> None:
    for got, want in zip(result, wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=2e-5)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 24), st.integers(1, 5), UNIT, UNIT, BAR, BAR, BAR, st.booleans())
def test_equals_the_sums_of_the_paper(
    seed: int,
    length: int,
    count: int,
    gamma: float,
    lam: float,
    rho_bar: float,
    c_bar: float,
    pg_rho_bar: float,
    reset_steps: bool,
) -> None:
    data = random_trajectories(seed, length, count, reset_steps=reset_steps)
    log_rho = off_policy(data, seed)
    bars = {"rho_bar": rho_bar, "c_bar": c_bar, "pg_rho_bar": pg_rho_bar}
    result = targets(data, log_rho, gamma=gamma, vtrace_lambda=lam, **bars)
    assert_close(result, oracle(data, log_rho, gamma, lam, **bars))


@pytest.mark.parametrize("lam", [0.0, 0.8, 1.0])
@pytest.mark.parametrize(("rho_bar", "pg_rho_bar"), [(1.0, 1.0), (2.0, 0.5)])
def test_equals_rlax(lam: float, rho_bar: float, pg_rho_bar: float) -> None:
    """It knows neither truncation nor masks, and c_bar = 1 only."""
    data = random_trajectories(7, 30, 4)
    data = data._replace(truncated=np.zeros_like(data.truncated), mask=np.ones_like(data.mask))
    log_rho, gamma = off_policy(data, 7), 0.97
    discount = (gamma * ~data.terminated).astype(np.float32)
    wanted = jax.vmap(
        lambda v_tm1, v_t, r, d, rho: rlax.vtrace_td_error_and_advantage(
            v_tm1, v_t, r, d, rho, lam, rho_bar, pg_rho_bar
        ),
        in_axes=1,
        out_axes=1,
    )(data.value[:-1], data.value[1:], data.reward, discount, np.exp(log_rho))
    result = targets(data, log_rho, gamma=gamma, vtrace_lambda=lam, rho_bar=rho_bar, pg_rho_bar=pg_rho_bar)
    assert_close(result, VTrace(wanted.errors + data.value[:-1], wanted.pg_advantage))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), UNIT, UNIT)
def test_on_policy_the_value_target_is_the_lambda_return(seed: int, gamma: float, lam: float) -> None:
    """The paper's remark on the on-policy case: with pi = mu, v_s is the n-step Bellman target."""
    data = random_trajectories(seed, 16, 3)
    result = targets(data, np.zeros_like(data.reward), gamma=gamma, vtrace_lambda=lam)
    wanted = gae(*data, gamma=gamma, gae_lambda=lam).value_target
    np.testing.assert_allclose(result.value_target, wanted.numpy(), rtol=1e-5, atol=2e-5)


def test_episodes_of_one_trajectory_equal_the_same_episodes_apart() -> None:
    data = random_trajectories(3, 20, 1, ends=0.0)
    data.truncated[7] = True
    data.mask[8] = False
    log_rho = off_policy(data, 3)
    whole = targets(data, log_rho, gamma=0.9)
    first = Trajectories(data.value[:9], *(column[:8] for column in data[1:]))
    second = Trajectories(data.value[9:], *(column[9:] for column in data[1:]))
    for part, steps in ((first, slice(0, 8)), (second, slice(9, None))):
        alone = targets(part, log_rho[steps], gamma=0.9)
        for got, want in zip(whole, alone, strict=True):
            np.testing.assert_allclose(got[steps], want, atol=1e-6)


def test_what_is_under_a_mask_is_not_read() -> None:
    data = random_trajectories(5, 20, 8)
    assert not data.mask.all()
    log_rho = off_policy(data, 5)
    nan = np.float32(np.nan)
    garbage = data._replace(reward=np.where(data.mask, data.reward, nan))
    for clean, dirty in zip(
        targets(data, log_rho, gamma=0.9),
        targets(garbage, np.where(data.mask, log_rho, nan), gamma=0.9),
        strict=True,
    ):
        np.testing.assert_array_equal(clean, dirty)


@pytest.mark.parametrize("far", [-1e4, 1e4])
def test_a_policy_that_is_far_away_gives_finite_targets(far: float) -> None:
    data = random_trajectories(6, 20, 4)
    log_rho = np.full_like(data.reward, far)
    result = targets(data, log_rho, gamma=0.9)
    assert all(np.isfinite(tensor).all() for tensor in result)
    if far < 0:  # such actions are never taken any more: nothing is learned of them
        np.testing.assert_array_equal(result.value_target, data.value[:-1])


def test_no_gradient_flows_through_the_targets() -> None:
    data = random_trajectories(8, 10, 2)
    value, log_rho = tf.constant(data.value), tf.constant(off_policy(data, 8))
    arguments: Any = data[1:]
    with tf.GradientTape() as tape:
        tape.watch([value, log_rho])
        result = vtrace(value, log_rho, *arguments, gamma=0.9)
        total = tf.reduce_sum(result.value_target) + tf.reduce_sum(result.advantage)
    assert tape.gradient(total, [value, log_rho]) == [None, None]
