"""The objective against NumPy written from arXiv:1707.06347, and against rlax."""

from __future__ import annotations

import jax
import numpy as np
import pytest
import rlax
import tensorflow as tf

from kaimesh.algorithms.ppo.losses import clipped_policy_loss, normalize, ppo_loss, value_loss

N = 50


@pytest.fixture
def minibatch() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    names = ("log_prob", "behaviour_log_prob", "entropy", "advantage", "value", "behaviour_value", "value_target")
    return {name: rng.standard_normal(N).astype(np.float32) for name in names}


@pytest.mark.parametrize("value_clip", [0.0, 0.3])
def test_equals_equation_9(minibatch: dict[str, np.ndarray], value_clip: float) -> None:
    m, clip = minibatch, 0.2
    loss = ppo_loss(**m, clip=clip, value_clip=value_clip, value_cost=0.7, entropy_cost=0.03)
    policy = values = kl = outside = 0.0
    for i in range(N):
        ratio = np.exp(float(m["log_prob"][i]) - float(m["behaviour_log_prob"][i]))
        clipped = min(max(ratio, 1 - clip), 1 + clip)
        policy -= min(ratio * m["advantage"][i], clipped * m["advantage"][i]) / N
        error = (m["value"][i] - m["value_target"][i]) ** 2
        if value_clip:
            near = m["behaviour_value"][i] + np.clip(m["value"][i] - m["behaviour_value"][i], -value_clip, value_clip)
            error = max(error, (near - m["value_target"][i]) ** 2)
        values += 0.5 * error / N
        kl += (ratio - 1 - np.log(ratio)) / N
        outside += (abs(ratio - 1) > clip) / N
    entropy = m["entropy"].mean()
    expected = (policy + 0.7 * values - 0.03 * entropy, policy, values, entropy, kl, outside)
    np.testing.assert_allclose([float(x) for x in loss], expected, rtol=1e-5)


def test_policy_loss_and_gradient_equal_rlax(minibatch: dict[str, np.ndarray]) -> None:
    ratio = np.exp(minibatch["log_prob"] * 0.3)
    reference = jax.value_and_grad(lambda r: rlax.clipped_surrogate_pg_loss(r, minibatch["advantage"], 0.2))(ratio)
    variable = tf.Variable(ratio)
    with tf.GradientTape() as tape:
        loss = clipped_policy_loss(variable, minibatch["advantage"], 0.2)
    np.testing.assert_allclose(loss.numpy(), reference[0], rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(loss, variable).numpy(), reference[1], rtol=1e-5, atol=1e-7)


def test_value_loss_gradient_stops_where_the_clipped_error_is_larger() -> None:
    value = tf.Variable([1.0, 1.0])
    with tf.GradientTape() as tape:
        loss = value_loss(value, tf.constant([0.0, 0.9]), tf.constant([1.2, 1.2]), 0.2)
    np.testing.assert_allclose(tape.gradient(loss, value).numpy(), [0.0, -0.1], atol=1e-6)


def test_normalize() -> None:
    advantage = np.random.default_rng(0).standard_normal(100).astype(np.float32) * 7 + 3
    result = normalize(tf.constant(advantage)).numpy()
    np.testing.assert_allclose(result, (advantage - advantage.mean()) / advantage.std(), atol=1e-5)
    np.testing.assert_array_equal(normalize(tf.constant([3.0])).numpy(), [0.0])


def test_hopelessly_stale_samples_give_a_finite_loss(minibatch: dict[str, np.ndarray]) -> None:
    minibatch["log_prob"][0] = 500
    minibatch["advantage"][0] = -1
    loss = ppo_loss(**minibatch, clip=0.2, value_clip=0.0, value_cost=0.5, entropy_cost=0.0)
    assert np.isfinite([float(x) for x in loss]).all()
    assert loss.approx_kl > 1
