"""IMPALA's loss, its reward clipping and RMSProp, against numpy written from the equations."""

from __future__ import annotations

import numpy as np
import pytest
import rlax
import tensorflow as tf

from kaimesh.algorithms.impala.losses import PRIORITY_FLOOR, clipped_reward, impala_loss, importance_weights, priorities
from kaimesh.algorithms.optimizers.rmsprop import RMSProp

T, B = 9, 4
EQUAL = np.ones(B, np.float32)
NAMES = ("log_prob", "entropy", "value", "value_target", "advantage")


def tensors(seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal((T, B)).astype(np.float32) for name in NAMES}, rng.random((T, B)) < 0.8


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_equals_the_three_terms(reduction: str) -> None:
    x, mask = tensors()
    loss = impala_loss(**x, mask=mask, weight=EQUAL, reduction=reduction, value_cost=0.5, entropy_cost=0.01)
    reduce = np.mean if reduction == "mean" else np.sum
    policy = reduce((-x["log_prob"] * x["advantage"])[mask])
    value = reduce(0.5 * ((x["value_target"] - x["value"]) ** 2)[mask])
    np.testing.assert_allclose(loss.policy_loss, policy, rtol=1e-5)
    np.testing.assert_allclose(loss.value_loss, value, rtol=1e-5)
    np.testing.assert_allclose(loss.entropy, x["entropy"][mask].mean(), rtol=1e-5)
    np.testing.assert_allclose(
        loss.total_loss, policy + 0.5 * value - 0.01 * reduce(x["entropy"][mask]), rtol=1e-5, atol=1e-5
    )


def test_its_gradients_equal_rlax() -> None:
    """The policy gradient and the entropy bonus of rlax, on logits, where nothing is masked."""
    rng = np.random.default_rng(1)
    logits, advantage = rng.standard_normal((T * B, 3)).astype(np.float32), tensors()[0]["advantage"]
    action = rng.integers(0, 3, T * B)
    weight = np.ones(T * B, np.float32)
    wanted = rlax.policy_gradient_loss(logits, action, advantage.reshape(-1), weight)
    wanted += 0.01 * rlax.entropy_loss(logits, weight)
    log_probs = tf.nn.log_softmax(logits)
    loss = impala_loss(
        log_prob=tf.reshape(tf.gather(log_probs, action, batch_dims=1), (T, B)),
        entropy=tf.reshape(-tf.reduce_sum(tf.exp(log_probs) * log_probs, 1), (T, B)),
        value=tf.zeros((T, B)),
        value_target=tf.zeros((T, B)),
        advantage=tf.constant(advantage),
        mask=tf.ones((T, B), tf.bool),
        weight=EQUAL,
        reduction="mean",
        value_cost=0.5,
        entropy_cost=0.01,
    )
    np.testing.assert_allclose(loss.total_loss, wanted, rtol=1e-5)


def test_masked_steps_have_no_gradient() -> None:
    x, mask = tensors()
    variables = {name: tf.constant(array) for name, array in x.items()}
    with tf.GradientTape() as tape:
        tape.watch(variables)
        loss = impala_loss(**variables, mask=mask, weight=EQUAL, reduction="mean", value_cost=0.5, entropy_cost=0.01)
    for name, gradient in tape.gradient(loss.total_loss, variables).items():
        assert (gradient.numpy()[~mask] == 0).all(), name
        assert (gradient.numpy()[mask] != 0).all(), name


def test_a_batch_of_masked_steps_alone_is_no_division_by_0() -> None:
    x, _ = tensors()
    loss = impala_loss(
        **x, mask=np.zeros((T, B), bool), weight=EQUAL, reduction="mean", value_cost=0.5, entropy_cost=0.01
    )
    assert [float(term) for term in loss] == [0, 0, 0, 0]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_trajectorys_weight_multiplies_its_terms(reduction: str) -> None:
    x, mask = tensors()
    settings = {"reduction": reduction, "value_cost": 0.5, "entropy_cost": 0.01}
    parts = []
    for row in range(B):
        alone = mask & (np.arange(B) == row)
        share = alone.sum() / mask.sum() if reduction == "mean" else 1.0
        parts.append(share * impala_loss(**x, mask=alone, weight=EQUAL, **settings).total_loss.numpy())
    weight = np.array([1.0, 0.25, 0.0, 0.5], np.float32)
    loss = impala_loss(**x, mask=mask, weight=weight, **settings)
    np.testing.assert_allclose(loss.total_loss, weight @ parts, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(loss.entropy, x["entropy"][mask].mean(), rtol=1e-5)


def test_priorities_are_mean_advantages_of_valid_steps() -> None:
    x, mask = tensors()
    mask[:, 2] = False
    wanted = [np.abs(x["advantage"][mask[:, row], row]).mean() if mask[:, row].any() else 0 for row in range(B)]
    got = priorities(x["advantage"], mask)
    np.testing.assert_allclose(got, np.array(wanted) + PRIORITY_FLOOR, rtol=1e-5)
    assert (got.numpy() > 0).all()


def test_importance_weights_never_scale_up() -> None:
    probability = np.array([1.0, 4.0, 0.25, 16.0])
    np.testing.assert_allclose(importance_weights(probability, 0.5), [1, 0.5, 1, 0.25])
    np.testing.assert_array_equal(importance_weights(probability, 0.0), np.ones(4, np.float32))


def test_rewards_are_clipped_as_in_the_paper() -> None:
    reward = np.array([-100.0, -2.0, -0.5, 0.0, 0.5, 2.0, 100.0], np.float32)
    np.testing.assert_array_equal(clipped_reward(reward, "none"), reward)
    np.testing.assert_array_equal(clipped_reward(tf.constant(reward), "abs_one"), np.clip(reward, -1, 1))
    soft = 5 * np.tanh(reward / 5)
    np.testing.assert_allclose(
        clipped_reward(tf.constant(reward), "soft_asymmetric"), np.where(reward < 0, 0.3 * soft, soft), rtol=1e-6
    )


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_rmsprop_is_tensorflow_1s_and_resumes(momentum: float) -> None:
    ours, resumed, theirs = (tf.Variable(np.linspace(-1, 1, 6, dtype=np.float32)) for _ in range(3))
    settings = {"decay": 0.99, "momentum": momentum, "epsilon": 0.01}
    optimizer, later = RMSProp({"w": ours}, **settings), RMSProp({"w": resumed}, **settings)
    reference = tf.compat.v1.train.RMSPropOptimizer(1e-2, **settings)
    rng = np.random.default_rng(0)
    mean_square, moment, by_hand = np.ones(6), np.zeros(6), ours.numpy().astype(np.float64)
    for i in range(6):
        gradient = rng.standard_normal(6).astype(np.float32)
        if i == 3:
            later.restore(optimizer.state())
            resumed.assign(ours)
        for one in (optimizer, later)[: 1 + (i >= 3)]:
            one.apply({"w": tf.constant(gradient)}, tf.constant(1e-2))
        reference.apply_gradients([(tf.constant(gradient), theirs)])
        mean_square = 0.99 * mean_square + 0.01 * gradient.astype(np.float64) ** 2
        moment = momentum * moment + 1e-2 * gradient / np.sqrt(mean_square + 0.01)
        by_hand -= moment
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    np.testing.assert_array_equal(ours.numpy(), resumed.numpy())
    np.testing.assert_allclose(ours.numpy(), by_hand, rtol=1e-5)
