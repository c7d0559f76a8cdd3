"""The objective of IMPALA, section 4.2 of arXiv:1802.01561: pure functions of a batch.

Shape legend: T steps of a trajectory, B trajectories.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

PRIORITY_FLOOR = 1e-6  # of a trajectory that holds no surprise; it must be possible to draw it


class ImpalaLoss(NamedTuple):
    """Scalars, float32, over the valid steps of a batch: means, or sums (the entropy is always a mean).

    total_loss: what is minimised. entropy: not weighted by trajectory.
    """

    total_loss: tf.Tensor
    policy_loss: tf.Tensor
    value_loss: tf.Tensor
    entropy: tf.Tensor


def clipped_reward(reward: tf.Tensor, how: str) -> tf.Tensor:
    """`reward` float32, clipped; how: "none", "abs_one" or "soft_asymmetric" (the paper's DMLab-30, appendix A)."""
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
    weight: tf.Tensor,
    reduction: str,
    value_cost: float,
    entropy_cost: float,
) -> ImpalaLoss:
    """The three gradients of section 4.2 as one loss; tensors are `[T, B]`, float32 but for the bool `mask`.

    `- log pi(a_s | x_s) advantage_s + value_cost (v_s - V(x_s))^2 / 2 - entropy_cost H(pi(. | x_s))`, over steps s that
    are not masked. `log_prob`, `entropy` and `value` are the current network's, `value_target` and `advantage`
    V-trace's; `weight`, float32 `[B]`, multiplies all of a trajectory's terms.
    """
    count = tf.maximum(tf.reduce_sum(tf.cast(mask, tf.float32)), 1.0)

    def total(x: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.where(mask, x, tf.zeros_like(x)))

    per = 1.0 if reduction == "sum" else count
    policy = -total(weight * log_prob * advantage) / per
    baseline = 0.5 * total(weight * tf.square(value_target - value)) / per
    bonus = total(weight * entropy)
    total_loss = policy + value_cost * baseline - entropy_cost * bonus / per
    return ImpalaLoss(total_loss, policy, baseline, total(entropy) / count)


def importance_weights(probability: np.ndarray, exponent: float) -> np.ndarray:
    """`min(1, (N P(i)) ^ -beta)`, float32 `[B]`, for `N P(i)` float64 `[B]`, which is 1 for fresh trajectories.

    Section 3.4 of arXiv:1511.05952 divides by the largest weight, so that updates are only ever scaled down. Among
    fresh trajectories, whose weight is 1, that would scale these down by the rarest replayed one.
    """
    weights: np.ndarray = np.minimum(1.0, probability**-exponent)
    return weights.astype(np.float32)


def priorities(advantage: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Each trajectory's mean of `abs(advantage)` over its valid steps, float32 `[B]`, above 0; both are `[T, B]`.

    V-trace's advantages contain the clipped ratio of the policies, so a trajectory that is unlikely under the present
    policy is seldom drawn.
    """
    valid = tf.cast(mask, tf.float32)
    return tf.reduce_sum(tf.abs(advantage) * valid, 0) / tf.maximum(tf.reduce_sum(valid, 0), 1.0) + PRIORITY_FLOOR
