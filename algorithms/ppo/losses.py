"""The objective of PPO, arXiv:1707.06347: pure functions of one minibatch.

Shape legend: N steps of a minibatch; masked steps are none of them.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

# Ratios are kept within exp(-20) and exp(20), far outside any clip range: so a sample that is hopelessly stale gives a
# large KL, on which the update stops, instead of an infinite loss.
_MAX_LOG_RATIO = 20.0


class PPOLoss(NamedTuple):
    """Scalars, float32, means over the minibatch.

    total_loss: what is minimised. approx_kl: KL(behaviour, current), estimated from its samples as `r - 1 - log r`,
    which is never negative. clip_fraction: share of steps whose ratio is outside `[1 - clip, 1 + clip]`.
    """

    total_loss: tf.Tensor
    policy_loss: tf.Tensor
    value_loss: tf.Tensor
    entropy: tf.Tensor
    approx_kl: tf.Tensor
    clip_fraction: tf.Tensor


def normalize(advantage: tf.Tensor) -> tf.Tensor:
    """`advantage` float32 `[N]`, shifted and scaled to mean 0 and standard deviation 1."""
    mean, variance = tf.nn.moments(advantage, 0)
    return (advantage - mean) / (tf.sqrt(variance) + 1e-8)


def clipped_policy_loss(ratio: tf.Tensor, advantage: tf.Tensor, clip: float) -> tf.Tensor:
    """Equation 7: `-mean(min(r A, clip(r, 1 - c, 1 + c) A))` for `ratio` r and `advantage` A, float32 `[N]`."""
    clipped = tf.clip_by_value(ratio, 1 - clip, 1 + clip)
    return -tf.reduce_mean(tf.minimum(ratio * advantage, clipped * advantage))


def value_loss(value: tf.Tensor, behaviour_value: tf.Tensor, target: tf.Tensor, clip: float) -> tf.Tensor:
    """Half the mean squared error of `value` against `target`, float32 `[N]`.

    With `clip` > 0, the larger of that and the error of the value after clipping it to within `clip` of
    `behaviour_value`.
    """
    error = tf.square(value - target)  # [N]
    if clip > 0:
        near = behaviour_value + tf.clip_by_value(value - behaviour_value, -clip, clip)
        error = tf.maximum(error, tf.square(near - target))
    return 0.5 * tf.reduce_mean(error)


def ppo_loss(
    *,
    log_prob: tf.Tensor,
    behaviour_log_prob: tf.Tensor,
    entropy: tf.Tensor,
    advantage: tf.Tensor,
    value: tf.Tensor,
    behaviour_value: tf.Tensor,
    value_target: tf.Tensor,
    clip: float,
    value_clip: float,
    value_cost: float,
    entropy_cost: float,
) -> PPOLoss:
    """Equation 9: policy loss plus `value_cost` x value loss minus `entropy_cost` x entropy; tensors are float32 `[N]`.

    `log_prob`, `entropy` and `value` are the current network's; `behaviour_*` were recorded when acting.
    """
    log_ratio = tf.clip_by_value(log_prob - behaviour_log_prob, -_MAX_LOG_RATIO, _MAX_LOG_RATIO)  # [N]
    ratio = tf.exp(log_ratio)  # [N]
    policy = clipped_policy_loss(ratio, advantage, clip)
    value_error = value_loss(value, behaviour_value, value_target, value_clip)
    mean_entropy = tf.reduce_mean(entropy)
    return PPOLoss(
        total_loss=policy + value_cost * value_error - entropy_cost * mean_entropy,
        policy_loss=policy,
        value_loss=value_error,
        entropy=mean_entropy,
        approx_kl=tf.reduce_mean(ratio - 1 - log_ratio),
        clip_fraction=tf.reduce_mean(tf.cast(tf.abs(ratio - 1) > clip, tf.float32)),
    )
