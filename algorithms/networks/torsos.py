"""Torsos in TensorFlow: functions from weights and observations to features.

Shape legend: B rows; H, W, C height, width, channels; I inputs, O outputs.
"""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from algorithms.networks.layers import NATURE_CONVOLUTIONS, is_channel_first

_ACTIVATIONS = {"tanh": tf.tanh, "relu": tf.nn.relu}


def mlp(weights: Mapping[str, tf.Tensor], name: str, obs: tf.Tensor, activation: str) -> tf.Tensor:
    """Features float32 `[B, O]` of observations `[B, ...]`, by the layers `name/0`, `name/1`, ... of `weights`.

    Where `weights` has `obs/mean` and `obs/scale`, the observations are standardised and clipped to [-10, 10].
    """
    width = obs.shape[1:].num_elements()
    x = tf.cast(tf.reshape(obs, [-1, width]), tf.float32)  # [B, I]
    if "obs/mean" in weights:
        x = tf.clip_by_value((x - weights["obs/mean"]) * weights["obs/scale"], -10.0, 10.0)
    layer = 0
    while f"{name}/{layer}/w" in weights:
        x = tf.nn.bias_add(tf.matmul(x, weights[f"{name}/{layer}/w"]), weights[f"{name}/{layer}/b"])
        x = _ACTIVATIONS[activation](x)
        layer += 1
    return x


def nature_cnn(weights: Mapping[str, tf.Tensor], name: str, images: tf.Tensor) -> tf.Tensor:
    """Features float32 `[B, 512]` of uint8 images, `[B, C, H, W]` (stacked frames) or `[B, H, W, C]`, scaled to [0, 1]."""
    if is_channel_first(tuple(images.shape[1:])):
        images = tf.transpose(
            images, [0, 2, 3, 1]
        )  # TensorFlow convolves channel-last on a CPU; as bytes this is cheap
    x = tf.cast(images, tf.float32)  # [B, H, W, C]
    for i, (_, _, stride) in enumerate(NATURE_CONVOLUTIONS):
        # Scaling the first kernel is scaling the images, at a thousandth of the cost.
        kernel = weights[f"{name}/{i}/w"] * (1 / 255 if i == 0 else 1)
        x = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, kernel, stride, "VALID"), weights[f"{name}/{i}/b"]))
    last = f"{name}/{len(NATURE_CONVOLUTIONS)}"
    x = tf.reshape(x, [-1, weights[f"{last}/w"].shape[0]])
    return tf.nn.relu(tf.nn.bias_add(tf.matmul(x, weights[f"{last}/w"]), weights[f"{last}/b"]))
