"""The network's outputs along trajectories, in TensorFlow; gradients flow through them.

Shape legend: T steps, B trajectories; A actions or action dimensions; F features; S numbers of an LSTM's state.
"""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from kaimesh.algorithms.actor_critic.model import Architecture, forward, heads
from kaimesh.algorithms.networks import lstm_unroll, torsos
from kaimesh.algorithms.networks.compiled import TENSORFLOW
from kaimesh.algorithms.networks.heads import ActionStatistics, categorical, gaussian

Weights = Mapping[str, tf.Tensor]


def unroll(
    net: Architecture, weights: Weights, obs: tf.Tensor, state: tf.Tensor | None, reset: tf.Tensor | None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Logits or action means, float32 `[T, B, A]`, and values, float32 `[T, B]`, of observations `[T, B, ...]`.

    state, reset: of an LSTM, as `lstm_unroll.unroll` takes them; None without one.
    """
    time_and_batch = tf.shape(obs)[:2]
    if net.lstm_size:
        features = torsos.forward(net.torso, weights, "torso", flat(obs))  # [T * B, F]
        features = tf.reshape(features, [*tf.unstack(time_and_batch), net.torso.features])
        memory = flat(lstm_unroll.unroll(weights, "lstm", features, state, reset))  # [T * B, H]
        head, value = heads(weights, memory, memory)
    else:
        head, value = forward(net, TENSORFLOW, weights, flat(obs))
    return tf.reshape(head, [*tf.unstack(time_and_batch), net.spaces.action_size]), tf.reshape(value, time_and_batch)


def statistics(
    net: Architecture, weights: Weights, head: tf.Tensor, action: tf.Tensor, legal_act: tf.Tensor | None
) -> ActionStatistics:
    """Of the `action`s that were taken, `[N]` or `[N, A]`, under the policy of `head` `[N, A]`; `legal_act` bool `[N, A]`, if there is one."""
    if net.spaces.action_kind == "discrete":
        return categorical(head, action, legal_act)
    return gaussian(head, weights["policy/log_std"], action)


def flat(column: tf.Tensor) -> tf.Tensor:
    """`[T, B, ...]` to `[T * B, ...]`."""
    return tf.reshape(column, [-1, *column.shape[2:]])
