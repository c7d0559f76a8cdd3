"""MuZero's residual network in TensorFlow, as `residual_layers` describes it.

Shape legend: B rows; H, W, C height, width, channels of a latent state; A actions; P players; V outputs for one number.
"""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from kaimesh.algorithms.muzero.architecture import Architecture
from kaimesh.algorithms.muzero.residual_layers import action_planes, halvings, latent_shape
from kaimesh.algorithms.muzero.search.constants import SCALING_EPSILON
from kaimesh.algorithms.networks.differentiable import convolution, dense, image_of
from kaimesh.algorithms.networks.torso import BYTE

Weights = Mapping[str, tf.Tensor]


def represent(net: Architecture, weights: Weights, obs: tf.Tensor) -> tf.Tensor:
    """Latent states float32 `[B, H, W, C]`, each from 0 to 1, of observations `[B, ...]`."""
    part = net.torso.parts[0]
    x = image_of(part, obs) / 255 if part.dtype == BYTE else tf.cast(obs, tf.float32)
    for i in range(halvings(part)):
        x = tf.nn.relu(convolution(weights, f"representation/halving/{i}", x, 2, "SAME"))
    return _scaled(_tower(net, weights, "representation", x))


def step(
    net: Architecture, weights: Weights, latent: tf.Tensor, action: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The next latent states, rewards `[B, P V]`, logits of who plays next `[B, P]` (`[B, 0]` if P = 1).

    latent: float32 `[B, H, W, C]`. action: int32 `[B]`.
    """
    height, width, _ = latent_shape(net)
    planes = tf.gather(tf.constant(action_planes(net.spaces, height, width)), action)  # [B, H, W, E]
    x = _tower(net, weights, "dynamics", tf.concat([latent, planes], 3), latent)
    out = _head(weights, "dynamics", x)
    rewards = net.spaces.players * net.outputs_of_number
    return _scaled(x), out[:, :rewards], out[:, rewards:]


def predict(_: Architecture, weights: Weights, latent: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Logits of the policy `[B, A]` and values `[B, P V]` of latent states."""
    return _head(weights, "prediction/policy", latent), _head(weights, "prediction/value", latent)


def _tower(net: Architecture, weights: Weights, name: str, x: tf.Tensor, beside: tf.Tensor | None = None) -> tf.Tensor:
    """The layers `name/...` on `x`. beside: float32 `[B, H, W, C]`, added to what the first convolution finds."""
    x = convolution(weights, f"{name}/in", x, 1, "SAME")
    x = tf.nn.relu(x if beside is None else x + beside)
    for block in range(net.blocks):
        inner = tf.nn.relu(convolution(weights, f"{name}/{block}a", x, 1, "SAME"))
        x = tf.nn.relu(x + convolution(weights, f"{name}/{block}b", inner, 1, "SAME"))
    return x


def _head(weights: Weights, name: str, x: tf.Tensor) -> tf.Tensor:
    x = tf.nn.relu(convolution(weights, f"{name}/head", x, 1, "SAME"))
    x = tf.reshape(x, [-1, x.shape[1:].num_elements()])
    return dense(weights, f"{name}/out", tf.nn.relu(dense(weights, f"{name}/hidden", x)))


def _scaled(x: tf.Tensor) -> tf.Tensor:
    """As `mlp.scaled`, over all numbers of a row."""
    least = tf.reduce_min(x, [1, 2, 3], keepdims=True)
    return (x - least) / (tf.reduce_max(x, [1, 2, 3], keepdims=True) - least + SCALING_EPSILON)
