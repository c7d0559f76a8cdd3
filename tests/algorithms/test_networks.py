"""Parts of networks: NumPy against TensorFlow, distributions against scipy, first weights, optimizer, moments."""

from __future__ import annotations

import numpy as np
import scipy.stats
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kaimesh.algorithms.networks import differentiable, layers, sampling
from kaimesh.algorithms.networks.compiled import Compiled
from kaimesh.algorithms.networks.moments import RunningMoments
from kaimesh.algorithms.optimizers.adam import Adam


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_orthogonal(rows: int, columns: int, seed: int) -> None:
    matrix = layers.orthogonal(np.random.default_rng(seed), (rows, columns), 2.0)
    gram = matrix @ matrix.T if rows <= columns else matrix.T @ matrix
    np.testing.assert_allclose(gram, 4 * np.eye(min(rows, columns)), atol=1e-4)
    again = layers.orthogonal(np.random.default_rng(seed), (rows, columns), 2.0)
    assert matrix.tobytes() == again.tobytes()


def test_categorical_against_scipy() -> None:
    logits = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
    probabilities = scipy.special.softmax(logits.astype(np.float64), 1)
    sample = sampling.categorical(logits, None, np.random.default_rng(1))
    statistics = differentiable.categorical(tf.constant(logits), sample.action)
    expected = np.log(probabilities[np.arange(6), sample.action])
    np.testing.assert_allclose(sample.log_prob, expected, atol=1e-6)
    np.testing.assert_allclose(statistics.log_prob, expected, atol=1e-6)
    np.testing.assert_allclose(statistics.entropy, scipy.stats.entropy(probabilities, axis=1), atol=1e-6)


def test_categorical_draws_by_its_probabilities() -> None:
    logits = np.tile(np.float32([0.0, 1.0, -1.0, 5.0]), (40_000, 1))
    legal = np.tile([True, True, True, False], (40_000, 1))
    actions = sampling.categorical(logits, legal, np.random.default_rng(0)).action
    expected = scipy.special.softmax([0.0, 1.0, -1.0])
    np.testing.assert_allclose(np.bincount(actions, minlength=4)[:3] / 40_000, expected, atol=0.01)


@given(st.integers(0, 10_000), st.floats(0.01, 1e4))
@settings(max_examples=30, deadline=None)
def test_illegal_actions_are_never_taken_and_have_probability_0(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    logits = (rng.standard_normal((64, 5)) * scale).astype(np.float32)
    legal = rng.random((64, 5)) < 0.4
    legal[np.arange(64), rng.integers(0, 5, 64)] = True
    drawn = sampling.categorical(logits, legal, rng)
    likeliest = sampling.categorical(logits, legal, None)
    for sample in (drawn, likeliest):
        assert legal[np.arange(64), sample.action].all()
        assert np.isfinite(sample.log_prob).all()
    everything = np.repeat(np.arange(5, dtype=np.int32), 64)
    log_prob = differentiable.categorical(np.tile(logits, (5, 1)), everything, np.tile(legal, (5, 1))).log_prob.numpy()
    probability = np.exp(log_prob).reshape(5, 64).T
    assert (probability[~legal] == 0).all()
    np.testing.assert_allclose(probability.sum(1), 1, atol=1e-5)


def test_illegal_actions_get_no_gradient() -> None:
    logits = tf.Variable([[0.5, -1.0, 2.0]])
    with tf.GradientTape() as tape:
        statistics = differentiable.categorical(logits, tf.constant([0]), tf.constant([[True, True, False]]))
        loss = tf.reduce_sum(statistics.log_prob + statistics.entropy)
    gradient = tape.gradient(loss, logits).numpy()[0]
    assert gradient[2] == 0
    assert np.isfinite(gradient).all()
    assert (gradient[:2] != 0).all()


def test_padding_rows_without_a_legal_action_are_harmless() -> None:
    sample = sampling.categorical(np.zeros((2, 3), np.float32), np.zeros((2, 3), bool), np.random.default_rng(0))
    assert np.isfinite(sample.log_prob).all()


def test_gaussian_against_scipy() -> None:
    rng = np.random.default_rng(0)
    mean = rng.standard_normal((500, 3)).astype(np.float32)
    log_std = np.float32([-1.0, 0.0, 0.7])
    sample = sampling.gaussian(mean, log_std, rng)
    normal = scipy.stats.norm(mean, np.exp(log_std))
    expected = normal.logpdf(sample.action).sum(1)
    np.testing.assert_allclose(sample.log_prob, expected, rtol=1e-5, atol=1e-5)
    statistics = differentiable.gaussian(tf.constant(mean), tf.constant(log_std), sample.action)
    np.testing.assert_allclose(statistics.log_prob, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(statistics.entropy, normal.entropy().sum(1), rtol=1e-5)
    assert scipy.stats.kstest(((sample.action - mean) / np.exp(log_std)).ravel(), "norm").pvalue > 1e-3
    np.testing.assert_array_equal(sampling.gaussian(mean, log_std, None).action, mean)


def test_adam_equals_keras_and_resumes_exactly() -> None:
    rng = np.random.default_rng(0)
    gradients = rng.standard_normal((6, 4)).astype(np.float32)
    ours, reference, resumed = (tf.Variable(np.ones(4, np.float32)) for _ in range(3))
    keras = tf.keras.optimizers.legacy.Adam(1e-2, epsilon=1e-5)
    adam, later = Adam({"w": ours}), Adam({"w": resumed})
    for i, gradient in enumerate(gradients):
        if i == 3:
            resumed.assign(ours)
            later.restore(adam.state())
        adam.apply({"w": gradient}, 1e-2)
        keras.apply_gradients([(tf.constant(gradient), reference)])
        if i >= 3:
            later.apply({"w": gradient}, 1e-2)
    np.testing.assert_allclose(ours.numpy(), reference.numpy(), rtol=1e-6)
    assert ours.numpy().tobytes() == resumed.numpy().tobytes()


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_running_moments_equal_those_of_all_rows(sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((sum(sizes), 3)) * [1, 10, 0.1] + [0, 100, -5]
    moments = RunningMoments(3)
    for part in np.split(rows, np.cumsum(sizes)[:-1]):
        moments.add(part)
    weights = moments.weights()
    np.testing.assert_allclose(weights["obs/mean"], rows.mean(0), rtol=1e-5)
    np.testing.assert_allclose(weights["obs/scale"], 1 / np.sqrt(rows.var(0) + 1e-8), rtol=1e-4)


def test_compiled_takes_new_weights_and_any_batch_size() -> None:
    compiled = Compiled(lambda w, obs: (obs @ w["w"],), {"w": np.ones((3, 2), np.float32)}, (3,), "<f4")
    obs = np.arange(12, dtype=np.float32).reshape(4, 3)
    np.testing.assert_array_equal(compiled(obs)[0], obs @ np.ones((3, 2)))
    compiled.assign({"w": np.full((3, 2), 2, np.float32)})
    np.testing.assert_array_equal(compiled(obs[:1])[0], 2 * obs[:1] @ np.ones((3, 2)))
