"""The equations of DQN, in TensorFlow: pure functions.

Shape legend: `*` leading axes (time, batch); A actions; N atoms; O outputs of the heads, see model.
"""

from __future__ import annotations

import tensorflow as tf

from kaimesh.algorithms.dqn.model import Architecture
from kaimesh.algorithms.networks.sampling import ILLEGAL_LOGIT


def distributions(net: Architecture, heads: tf.Tensor) -> tf.Tensor:
    """Each action's logits of the atoms, or its value: float32 `[*, A, N]`, of `heads` `[*, O N]`.

    With dueling heads `v + a - mean(a)`: equation 9 of arXiv:1511.06581.
    """
    x = tf.reshape(heads, tf.concat([tf.shape(heads)[:-1], [net.outputs, net.atoms]], 0))
    if not net.dueling:
        return x
    advantage, value = x[..., :-1, :], x[..., -1:, :]
    return value + advantage - tf.reduce_mean(advantage, -2, keepdims=True)


def means(net: Architecture, distribution: tf.Tensor) -> tf.Tensor:
    """The expected return, float32 `[*]`, of logits or values `[*, N]`."""
    if net.atoms == 1:
        return distribution[..., 0]
    return tf.linalg.matvec(tf.nn.softmax(distribution), net.returns)


def best(values: tf.Tensor, legal_act: tf.Tensor | None) -> tf.Tensor:
    """The best legal action, int32 `[*]`, by `values` `[*, A]`; the best of all where none is legal."""
    if legal_act is not None:
        legal_act |= ~tf.reduce_any(legal_act, -1, keepdims=True)
        values = tf.where(legal_act, values, ILLEGAL_LOGIT)
    return tf.argmax(values, -1, tf.int32)


def of_action(distribution: tf.Tensor, action: tf.Tensor) -> tf.Tensor:
    """The entries of `action` int32 `[*]` in a tensor `[*, A, N]`: `[*, N]`."""
    return tf.gather(distribution, action, axis=-2, batch_dims=action.shape.rank)


def of_state(values: tf.Tensor, state: tf.Tensor) -> tf.Tensor:
    """The entries at the times `state` int32 `[T, B]` in a tensor `[T + 1, B, N]`: `[T, B, N]`."""
    found = tf.gather(tf.transpose(values, [1, 0, 2]), tf.transpose(state), batch_dims=1)  # [B, T, N]
    return tf.transpose(found, [1, 0, 2])


def huber(error: tf.Tensor, delta: float) -> tf.Tensor:
    """`e^2 / 2` up to `delta`, linear beyond; with `delta` 0, `e^2 / 2` everywhere."""
    square = 0.5 * tf.square(error)
    if not delta:
        return square
    size = tf.abs(error)
    return tf.where(size <= delta, square, delta * (size - 0.5 * delta))


def projected(returns: tf.Tensor, probability: tf.Tensor, reward: tf.Tensor, discount: tf.Tensor) -> tf.Tensor:
    """The distribution of `reward + discount Z` on the atoms again: the projection of equation 7 of arXiv:1707.06887.

    returns: of the atoms, float32 `[N]`, evenly spaced. probability: of Z, float32 `[*, N]`.
    reward, discount: float32 `[*]`.
    """
    spacing = (returns[-1] - returns[0]) / (returns.shape[0] - 1)  # a difference of neighbours would lose digits
    shifted = reward[..., None] + discount[..., None] * returns  # [*, N]
    shifted = tf.clip_by_value(shifted, returns[0], returns[-1])
    # share[i, j] of atom j goes to atom i: 1 where they meet, down to 0 a spacing away
    share = tf.nn.relu(1 - tf.abs(shifted[..., None, :] - returns[:, None]) / spacing)  # [*, N, N]
    return tf.linalg.matvec(share, probability)
