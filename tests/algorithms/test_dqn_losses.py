"""DQN's equations against rlax and against loops written from the papers."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
import rlax
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kaimesh.algorithms import replay
from kaimesh.algorithms.dqn import acting, losses, model
from kaimesh.algorithms.dqn.config import Config
from kaimesh.algorithms.dqn.model import Architecture
from kaimesh.contract.spaces import Spaces

PROJECT = jax.jit(jax.vmap(rlax.categorical_l2_project, in_axes=(0, 0, None)))
LEGAL = Spaces((5,), "<f4", "discrete", 4, legal_actions=True)


def architecture(**config: Any) -> Architecture:
    return model.architecture(LEGAL, Config(**config))


@pytest.mark.parametrize("delta", [0.5, 1.0, 3.0])
def test_huber_equals_rlax(delta: float) -> None:
    error = np.linspace(-5, 5, 101, dtype=np.float32)
    np.testing.assert_allclose(losses.huber(tf.constant(error), delta), rlax.huber_loss(error, delta), rtol=1e-6)


def test_without_huber_it_is_half_the_square() -> None:
    np.testing.assert_allclose(losses.huber(tf.constant([-3.0, 0.5]), 0), [4.5, 0.125])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([2, 3, 10, 51, 60]), st.floats(-20, 20), st.floats(0.1, 30))
def test_the_projection_equals_rlax(seed: int, atoms: int, low: float, width: float) -> None:
    rng = np.random.default_rng(seed)
    returns = np.linspace(low, low + width, atoms).astype(np.float32)
    logits = rng.standard_normal((6, atoms)).astype(np.float32)
    probability = np.asarray(jax.nn.softmax(logits))
    reward, discount = (rng.standard_normal(6) * width / 2 + low).astype(np.float32), rng.random(6).astype(np.float32)
    discount[0] = 0
    support = np.clip(reward[:, None] + discount[:, None] * returns, returns[0], returns[-1])
    wanted = PROJECT(support, probability, returns)
    found = losses.projected(*map(tf.constant, (returns, probability, reward, discount))).numpy()
    # A float32 return is known to some eps of its size, and so an atom's share, which is its distance in spacings.
    rounding = 4 * np.finfo(np.float32).eps * np.abs(returns).max() / (width / (atoms - 1))
    np.testing.assert_allclose(found, wanted, atol=max(1e-5, rounding))
    np.testing.assert_allclose(found.sum(-1), 1, atol=max(1e-5, rounding))


def test_the_projection_equals_algorithm_1_of_the_paper() -> None:
    rng = np.random.default_rng(0)
    returns = np.linspace(-2, 3, 11).astype(np.float32)
    probability = rng.dirichlet(np.ones(11), 50).astype(np.float32)
    reward, discount = rng.uniform(-6, 6, 50).astype(np.float32), rng.choice([0, 0.5, 0.99], 50).astype(np.float32)
    wanted = np.zeros((50, 11))
    for row in range(50):
        for j in range(11):
            b = (np.clip(reward[row] + discount[row] * returns[j], -2, 3) + 2) / 0.5
            lower, upper = int(np.floor(b + 1e-6)), int(np.ceil(b - 1e-6))
            if lower == upper:
                wanted[row, lower] += probability[row, j]
            else:
                wanted[row, lower] += probability[row, j] * (upper - b)
                wanted[row, upper] += probability[row, j] * (b - lower)
    found = losses.projected(*map(tf.constant, (returns, probability, reward, discount)))
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("dueling", [False, True])
@pytest.mark.parametrize("atoms", [1, 7])
def test_the_actor_reads_the_heads_as_the_learner_does(dueling: bool, atoms: int) -> None:
    net = architecture(dueling=dueling, atoms=atoms)
    heads = np.random.default_rng(0).standard_normal((9, net.outputs * atoms)).astype(np.float32)
    distribution = losses.distributions(net, tf.constant(heads))
    values = model.action_values(net, heads)
    np.testing.assert_allclose(losses.means(net, distribution), values, rtol=1e-5, atol=1e-6)
    if dueling and atoms == 1:
        np.testing.assert_allclose(values, heads[:, 4:] + heads[:, :4] - heads[:, :4].mean(1, keepdims=True), atol=1e-6)


def test_an_action_that_is_not_legal_is_never_the_best() -> None:
    values = tf.constant([[5.0, 1, 2, 3], [5, 1, 2, 3], [5, 1, 2, 3]])
    legal = tf.constant([[False, True, True, True], [True] * 4, [False] * 4])
    np.testing.assert_array_equal(losses.best(values, legal), [3, 0, 0])  # where none is legal, the best of all
    np.testing.assert_array_equal(losses.best(values, None), [0, 0, 0])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.floats(0, 1))
def test_exploring_takes_legal_actions_only_and_says_their_values(seed: int, epsilon: float) -> None:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((50, 4)).astype(np.float32)
    legal = rng.random((50, 4)) < 0.5
    legal[:, 2] = True
    action, q, best = acting.explore(values, legal, np.full(50, epsilon, np.float32), rng)
    rows = np.arange(50)
    assert action.dtype == np.int32
    assert legal[rows, action].all()
    np.testing.assert_array_equal(q, values[rows, action])
    np.testing.assert_array_equal(best, np.where(legal, values, -np.inf).max(1))
    greedy, *_ = acting.explore(values, legal, epsilon, None)
    np.testing.assert_array_equal(values[rows, greedy], best)


def test_how_often_each_row_explores_is_its_own() -> None:
    rows, rng = 40_000, np.random.default_rng(0)
    epsilon = np.where(np.arange(rows) % 2, 0.5, 0.1)
    values = np.tile(np.float32([3, 0, 0, 0]), (rows, 1))
    legal = np.tile([True, True, True, False], (rows, 1))
    action, *_ = acting.explore(values, legal, epsilon, rng)
    for which, wanted in ((0, 0.1), (1, 0.5)):
        share = np.bincount(action[which::2], minlength=4) / (rows / 2)
        np.testing.assert_allclose(share, [1 - wanted * 2 / 3, wanted / 3, wanted / 3, 0], atol=0.015)


def test_the_ladder_is_that_of_ape_x() -> None:
    found = acting.epsilons(np.arange(8), 8, 0.4, 7.0)
    np.testing.assert_allclose(found, [0.4 ** (1 + 7 * i / 7) for i in range(8)], rtol=1e-6)
    np.testing.assert_allclose(acting.epsilons(np.arange(2), 2, 0.1, 0.0), 0.1)
    np.testing.assert_allclose(acting.epsilons(np.zeros(1, int), 1, 0.4, 7.0), 0.4)


def test_the_ladder_does_not_depend_on_how_slots_are_shared_out() -> None:
    whole = acting.epsilons(np.arange(12), 12, 0.4, 7.0)
    parts = [acting.epsilons(start + np.arange(4), 12, 0.4, 7.0) for start in (0, 4, 8)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.floats(0, 1))
def test_priorities_mix_the_largest_and_the_mean_error_of_valid_steps(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    error = rng.standard_normal((6, 4)).astype(np.float32)
    mask = rng.random((6, 4)) < 0.7
    mask[:, 3] = False
    hidden = np.where(mask, error, np.float32(np.nan))
    found = replay.priorities(hidden, mask, share, 0.01)
    for b in range(3):
        valid = np.abs(error[mask[:, b], b])
        wanted = share * valid.max() + (1 - share) * valid.mean() if len(valid) else 0
        np.testing.assert_allclose(found[b], wanted + 0.01, rtol=1e-5)
    assert found[3] == np.float32(0.01)  # nothing to learn from, but a priority that Reverb takes


def test_importance_weights_are_those_of_the_paper() -> None:
    probability = np.array([0.5, 1.0, 4.0])  # N P(i)
    found = replay.importance_weights(probability, 0.5)
    np.testing.assert_allclose(found, (1 / probability) ** 0.5 / (1 / 0.5) ** 0.5, rtol=1e-6)
    np.testing.assert_array_equal(replay.importance_weights(probability, 0.0), 1)


def test_the_exponent_goes_straight_to_its_final_value_and_stays() -> None:
    assert [replay.importance_exponent(0.4, 1.0, learns, 10) for learns in (0, 5, 10, 99)] == pytest.approx(
        [0.4, 0.7, 1, 1]
    )
    assert replay.importance_exponent(0.4, 1.0, 99, 0) == 0.4
