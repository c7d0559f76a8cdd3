"""The equations of MuZero's losses, in TensorFlow: pure functions.

Shape legend: `*` leading axes (positions, steps of the model, players); A actions; V outputs for one number: 2 S + 1
logits of a support of size S, or 1; B positions; K steps of the model.
"""

from __future__ import annotations

import tensorflow as tf

from kaimesh.algorithms.muzero import support
from kaimesh.algorithms.muzero.architecture import Architecture


def scale_gradient(x: tf.Tensor, scale: float) -> tf.Tensor:
    """`x` itself, but its gradient times `scale` (appendix G of arXiv:1911.08265)."""
    return x * scale + tf.stop_gradient(x) * (1 - scale)


def two_hot(y: tf.Tensor, size: int) -> tf.Tensor:
    """The distribution float32 `[*, 2 S + 1]` over -S..S whose mean is `y` `[*]`: on its two neighbours.

    Numbers beyond the support become its ends. size: S.
    """
    place = tf.clip_by_value(y, -float(size), float(size))[..., None]
    return tf.nn.relu(1 - tf.abs(place - support.numbers(size)))


def decoded(net: Architecture, heads: tf.Tensor) -> tf.Tensor:
    """The numbers float32 `[*]` that `heads` `[*, V]` stand for, as `support.decode` computes them."""
    y = tf.linalg.matvec(tf.nn.softmax(heads), support.numbers(net.support)) if net.support else heads[..., 0]
    return support.inverse(y, tf.math) if net.transformed else y


def of_number(net: Architecture, heads: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Each number's loss float32 `[*]`, of `heads` `[*, V]` for targets `[*]`: cross entropy, or the squared error."""
    y = support.transform(target, tf.math) if net.transformed else target
    if not net.support:
        return tf.square(heads[..., 0] - y)
    return tf.nn.softmax_cross_entropy_with_logits(two_hot(y, net.support), heads)


def of_policy(logits: tf.Tensor, policy: tf.Tensor) -> tf.Tensor:
    """The cross entropy float32 `[*]` of `logits` `[*, A]` and the search's `policy` `[*, A]`."""
    return tf.nn.softmax_cross_entropy_with_logits(policy, logits)


def entropy(policy: tf.Tensor) -> tf.Tensor:
    """In nats, float32 `[*]`, of probabilities `[*, A]`."""
    return -tf.reduce_sum(tf.math.xlogy(policy, policy), -1)


def mean_over_steps(loss: tf.Tensor, mask: tf.Tensor, first: bool) -> tf.Tensor:
    """The loss float32 `[B]` of each position: 1 / K of each step's; and that of the position itself, if it is `first`.

    loss: `[B, K + 1]`, or without `first` `[B, K]`. mask: bool, of the same shape; what it leaves out counts as 0.
    """
    loss = tf.where(mask, loss, 0.0)
    if not first:
        return tf.reduce_mean(loss, 1)
    return loss[:, 0] + tf.reduce_mean(loss[:, 1:], 1)
