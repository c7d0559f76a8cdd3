"""The functions that are differentiated, in TensorFlow: torsos, networks along trajectories, statistics of actions.

Shape legend: B rows or trajectories, T steps; A actions (categorical) or action dimensions (Gaussian); F features;
H, W, C height, width, channels; I inputs, O outputs; S numbers of an LSTM's state; V numbers beside an image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from kaimesh.algorithms.networks import lstm_unroll
from kaimesh.algorithms.networks.layers import BLOCKS, SECTIONS, STRIDED
from kaimesh.algorithms.networks.library import Library
from kaimesh.algorithms.networks.sampling import ILLEGAL_LOGIT
from kaimesh.algorithms.networks.torso import Torso
from kaimesh.contract.spaces import Part

_ACTIVATIONS = {"tanh": tf.tanh, "relu": tf.nn.relu}

Weights = Mapping[str, tf.Tensor]


class ActionStatistics(NamedTuple):
    """log_prob: float32 `[B]`, of the given actions; entropy: float32 `[B]`, in nats."""

    log_prob: tf.Tensor
    entropy: tf.Tensor


def features(torso: Torso, weights: Weights, name: str, obs: tf.Tensor) -> tf.Tensor:
    """Features float32 `[B, O]` of observations `[B, ...]`, by the layers `name/...` of `weights`."""
    pieces = _pieces(torso, obs)
    if torso.kind == "mlp":
        return _mlp(torso, weights, name, _joined(list(pieces.values())))
    assert torso.image is not None
    image = image_of(torso.image, pieces.pop(torso.image.name))
    # Scaling the first kernel is scaling the images, at a thousandth of the cost.
    kernel = weights[f"{name}/0/w"] * (1.0 if torso.image.bits else 1 / 255)
    weights = {**weights, f"{name}/0/w": kernel}
    if torso.kind == "resnet":
        x, last = _resnet(weights, name, image), len(SECTIONS)
    else:
        x, last = _strided_cnn(torso.kind, weights, name, image), len(STRIDED[torso.kind])
    return tf.nn.relu(dense(weights, f"{name}/{last}", _joined([x, *pieces.values()])))


def unroll(
    forward: Callable[..., tuple[Any, ...]],
    weights: Weights,
    obs: tf.Tensor,
    state: tf.Tensor | None,
    reset: tf.Tensor | None,
) -> tuple[tf.Tensor, ...]:
    """The outputs of a network along trajectories: each `[T, B, ...]`, of observations `[T, B, ...]`.

    forward: a model's, with its network bound: (library, weights, obs `[N, ...]`, *state) to outputs `[N, ...]` and,
    with an LSTM, the next state.
    state, reset: of an LSTM, see `lstm_unroll.unroll`; None without one.
    """
    time_and_batch = tf.unstack(tf.shape(obs)[:2])

    def lstm(weights: Weights, name: str, x: tf.Tensor, state: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        x = tf.reshape(x, [*time_and_batch, x.shape[-1]])  # [T, B, F]
        return flat(lstm_unroll.unroll(weights, name, x, state, reset)), state

    states = () if state is None else (state,)
    outputs = forward(Library(features, lstm), weights, flat(obs), *states)  # [T * B, ...], then the states
    outputs = outputs[: len(outputs) - len(states)]
    return tuple(tf.reshape(output, [*time_and_batch, *output.shape[1:]]) for output in outputs)


def flat(column: tf.Tensor) -> tf.Tensor:
    """`[T, B, ...]` to `[T * B, ...]`."""
    return tf.reshape(column, [-1, *column.shape[2:]])


def statistics(
    head: tf.Tensor, log_std: tf.Tensor | None, action: tf.Tensor, legal_act: tf.Tensor | None
) -> ActionStatistics:
    """Statistics of the actions that were taken, `[B]` or `[B, A]`, under the policy that `head` `[B, A]` describes.

    log_std: float32 `[A]`, of a Gaussian whose means are `head`; None: `head` are logits.
    legal_act: bool `[B, A]`, if there is one.
    """
    if log_std is None:
        return categorical(head, action, legal_act)
    return gaussian(head, log_std, action)


def categorical(logits: tf.Tensor, action: tf.Tensor, legal_act: tf.Tensor | None = None) -> ActionStatistics:
    """Statistics under a categorical distribution: `logits` float32 `[B, A]`, only where `legal_act` bool `[B, A]`.

    `action` is int32 `[B]`, in [0, A), and legal.
    """
    if legal_act is not None:
        logits = tf.where(legal_act, logits, ILLEGAL_LOGIT)
    log_probs = tf.nn.log_softmax(logits)  # [B, A]
    entropy = -tf.reduce_sum(tf.exp(log_probs) * log_probs, 1)  # [B]
    return ActionStatistics(tf.gather(log_probs, action, batch_dims=1), entropy)


def gaussian(mean: tf.Tensor, log_std: tf.Tensor, action: tf.Tensor) -> ActionStatistics:
    """Statistics under independent normal distributions: `mean` and `action` float32 `[B, A]`, `log_std` float32 `[A]`.

    The density is that of the action as drawn; it is scaled and clipped to its bounds later, in aisrv.
    """
    z = (action - mean) * tf.exp(-log_std)  # [B, A]
    log_prob = -tf.reduce_sum(0.5 * z * z + log_std + 0.5 * math.log(2 * math.pi), 1)  # [B]
    entropy = tf.reduce_sum(log_std) + 0.5 * log_std.shape[0] * math.log(2 * math.pi * math.e)
    return ActionStatistics(log_prob, tf.fill(tf.shape(log_prob), entropy))


def _pieces(torso: Torso, obs: tf.Tensor) -> dict[str, tf.Tensor]:
    """The parts of observations `[B, ...]`, each in its own shape and dtype."""
    if len(torso.parts) == 1:
        return {torso.parts[0].name: obs}
    pieces, start = {}, 0
    for part in torso.parts:
        raw = obs[:, start : start + part.nbytes]  # [B, nbytes]
        start += part.nbytes
        dtype = tf.as_dtype(np.dtype(part.dtype))
        if dtype.size > 1:
            raw = tf.bitcast(tf.reshape(raw, [-1, part.nbytes // dtype.size, dtype.size]), dtype)
        raw = tf.reshape(raw, [-1, *part.shape])
        pieces[part.name] = _planes(raw, part.bits) if part.bits else raw
    return pieces


def _planes(packed: tf.Tensor, bits: int) -> tf.Tensor:
    """The bits of bytes, as uint8 `[..., bits]` of zeros and ones."""
    return tf.bitwise.right_shift(packed[..., None], tf.constant(list(range(bits)), tf.uint8)) & tf.constant(
        1, tf.uint8
    )


def _joined(pieces: list[tf.Tensor]) -> tf.Tensor:
    """All pieces, flattened and joined: float32 `[B, sum of widths]`."""
    flat = [tf.cast(tf.reshape(x, [-1, x.shape[1:].num_elements()]), tf.float32) for x in pieces]
    return flat[0] if len(flat) == 1 else tf.concat(flat, 1)


def image_of(part: Part, image: tf.Tensor) -> tf.Tensor:
    """An image of bytes as float32 `[B, H, W, C]`, its values unchanged."""
    if image.shape.rank == 3:
        image = image[..., None]
    if part.channel_first:  # TensorFlow convolves channel-last on a CPU; as bytes this is cheap
        image = tf.transpose(image, [0, 2, 3, 1])
    return tf.cast(image, tf.float32)


def _mlp(torso: Torso, weights: Weights, name: str, x: tf.Tensor) -> tf.Tensor:
    if torso.standardise:
        x = tf.clip_by_value((x - weights["obs/mean"]) * weights["obs/scale"], -10.0, 10.0)
    for layer in range(len(torso.hidden_sizes)):
        x = _ACTIVATIONS[torso.activation](dense(weights, f"{name}/{layer}", x))
    return x


def dense(weights: Weights, name: str, x: tf.Tensor) -> tf.Tensor:
    """The dense layer `name` on `x` float32 `[B, I]`: `[B, O]`."""
    return tf.nn.bias_add(tf.matmul(x, weights[f"{name}/w"]), weights[f"{name}/b"])


def convolution(weights: Weights, name: str, x: tf.Tensor, stride: int, padding: str) -> tf.Tensor:
    """The convolution `name` on `x` float32 `[B, H, W, C]`. padding: "SAME" or "VALID"."""
    return tf.nn.bias_add(tf.nn.conv2d(x, weights[f"{name}/w"], stride, padding), weights[f"{name}/b"])


def _strided_cnn(kind: str, weights: Weights, name: str, x: tf.Tensor) -> tf.Tensor:
    for i, (_, _, stride) in enumerate(STRIDED[kind]):
        x = tf.nn.relu(convolution(weights, f"{name}/{i}", x, stride, "VALID"))
    return x


def _resnet(weights: Weights, name: str, x: tf.Tensor) -> tf.Tensor:
    for i in range(len(SECTIONS)):
        x = tf.nn.max_pool2d(convolution(weights, f"{name}/{i}", x, 1, "SAME"), 3, 2, "SAME")
        for block in range(BLOCKS):
            inner = convolution(weights, f"{name}/{i}/{block}a", tf.nn.relu(x), 1, "SAME")
            x += convolution(weights, f"{name}/{i}/{block}b", tf.nn.relu(inner), 1, "SAME")
    return tf.nn.relu(x)
