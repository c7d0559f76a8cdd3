"""Log-probabilities and entropies of action distributions, in TensorFlow.

Shape legend: B rows; A actions (categorical) or action dimensions (Gaussian).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import tensorflow as tf

from kaimesh.algorithms.networks.sampling import ILLEGAL_LOGIT


class ActionStatistics(NamedTuple):
    """log_prob: float32 `[B]`, of the given actions; entropy: float32 `[B]`, in nats."""

    log_prob: tf.Tensor
    entropy: tf.Tensor


def categorical(logits: tf.Tensor, action: tf.Tensor, legal_act: tf.Tensor | None = None) -> ActionStatistics:
    """Of a categorical distribution over `logits` float32 `[B, A]`, restricted to `legal_act` bool `[B, A]`.

    `action` is int32 `[B]`, in [0, A), and legal.
    """
    if legal_act is not None:
        logits = tf.where(legal_act, logits, ILLEGAL_LOGIT)
    log_probs = tf.nn.log_softmax(logits)  # [B, A]
    entropy = -tf.reduce_sum(tf.exp(log_probs) * log_probs, 1)  # [B]
    return ActionStatistics(tf.gather(log_probs, action, batch_dims=1), entropy)


def gaussian(mean: tf.Tensor, log_std: tf.Tensor, action: tf.Tensor) -> ActionStatistics:
    """Of independent normal distributions: `mean` and `action` float32 `[B, A]`, `log_std` float32 `[A]`.

    The density is that of the action as drawn; the environment's side clips it to its bounds.
    """
    z = (action - mean) * tf.exp(-log_std)  # [B, A]
    log_prob = -tf.reduce_sum(0.5 * z * z + log_std + 0.5 * math.log(2 * math.pi), 1)  # [B]
    entropy = tf.reduce_sum(log_std) + 0.5 * log_std.shape[0] * math.log(2 * math.pi * math.e)
    return ActionStatistics(log_prob, tf.fill(tf.shape(log_prob), entropy))
