"""The objective of IMPALA, section 4.2 of arXiv:1802.01561: pure functions of a batch.

Shape legend: T steps of a trajectory, B trajectories.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf


class ImpalaLoss(NamedTuple):
    """Scalars, float32, over the valid steps of a batch: means, or sums but for the entropy.

    total_loss: what is minimised. entropy: always the mean.
    """

    total_loss: tf.Tensor
    policy_loss: tf.Tensor
    value_loss: tf.Tensor
    entropy: tf.Tensor


def clipped_reward(reward: tf.Tensor, how: str) -> tf.Tensor:
    """`reward` float32, each by itself; how: "none", "abs_one" or "soft_asymmetric" (the paper's DMLab-30, appendix A)."""
    if how == "abs_one":
        return tf.clip_by_value(reward, -1.0, 1.0)
    if how == "soft_asymmetric":
        squeezed = tf.tanh(reward / 5)
        return 5 * tf.where(reward < 0, 0.3 * squeezed, squeezed)
    return reward


def impala_loss(
    *,
    log_prob: tf.Tensor,
    entropy: tf.Tensor,
    value: tf.Tensor,
    value_target: tf.Tensor,
    advantage: tf.Tensor,
    mask: tf.Tensor,
    reduction: str,
    value_cost: float,
    entropy_cost: float,
) -> ImpalaLoss:
    """The three gradients of section 4.2 as one loss; tensors are `[T, B]`, float32 but for the bool `mask`.

    `- log pi(a_s | x_s) advantage_s + value_cost (v_s - V(x_s))^2 / 2 - entropy_cost H(pi(. | x_s))`, over steps s that are
    not masked. `log_prob`, `entropy` and `value` are the current network's, `value_target` and `advantage` V-trace's.
    """
    count = tf.maximum(tf.reduce_sum(tf.cast(mask, tf.float32)), 1.0)

    def total(x: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.where(mask, x, tf.zeros_like(x)))

    per = 1.0 if reduction == "sum" else count
    policy = -total(log_prob * advantage) / per
    baseline = 0.5 * total(tf.square(value_target - value)) / per
    bonus = total(entropy)
    return ImpalaLoss(policy + value_cost * baseline - entropy_cost * bonus / per, policy, baseline, bonus / count)
