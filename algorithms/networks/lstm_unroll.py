"""The LSTM of `lstm` in TensorFlow: one step, and all steps of trajectories, with gradients.

Shape legend: T steps, B rows or trajectories, I inputs, H `lstm_size`.
"""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

Weights = Mapping[str, tf.Tensor]


def step(weights: Weights, name: str, x: tf.Tensor, state: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """As `lstm.step`: outputs float32 `[B, H]` and the next state `[B, 2 H]`."""
    inputs = x.shape[-1]
    gates = tf.matmul(x, weights[f"{name}/w"][:inputs]) + weights[f"{name}/b"]
    state = _gated(gates, state, weights[f"{name}/w"][inputs:])
    return state[:, : state.shape[1] // 2], state


def unroll(weights: Weights, name: str, x: tf.Tensor, state: tf.Tensor, reset: tf.Tensor) -> tf.Tensor:
    """Outputs float32 `[T, B, H]` of inputs `[T, B, I]`.

    state: `[B, 2 H]`, before step 0. reset: bool `[T, B]`; True where step t is the first of an episode, whose
    state is 0 before it.
    """
    inputs = x.shape[-1]
    w, recurrent = weights[f"{name}/w"][:inputs], weights[f"{name}/w"][inputs:]
    gates = tf.tensordot(x, w, 1) + weights[f"{name}/b"]  # [T, B, 4 H]; of all steps at once

    def one_step(state: tf.Tensor, step: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        gates, reset = step
        return _gated(gates, tf.where(reset[:, None], 0.0, state), recurrent)

    states = tf.scan(one_step, (gates, reset), state)  # [T, B, 2 H]
    return states[..., : state.shape[1] // 2]


def resets(mask: tf.Tensor) -> tf.Tensor:
    """Where an episode begins, bool `[T + 1, B]`, from the `mask` `[T, B]` of a trajectory: after each masked step.

    Step 0 needs none: the state that is stored with a trajectory is that before its step 0.
    """
    return tf.concat([tf.zeros_like(mask[:1]), ~mask], 0)


def _gated(gates: tf.Tensor, state: tf.Tensor, recurrent: tf.Tensor) -> tf.Tensor:
    """The next state, from the inputs' part of the `gates` `[B, 4 H]`, and the state before."""
    h, c = tf.split(state, 2, 1)
    i, f, g, o = tf.split(gates + tf.matmul(h, recurrent), 4, 1)
    c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
    return tf.concat([tf.sigmoid(o) * tf.tanh(c), c], 1)
