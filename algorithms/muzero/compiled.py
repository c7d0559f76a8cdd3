"""A residual network for searches: its two forward passes as concrete functions of TensorFlow, each traced once.

Shape legend: B rows; H, W, C height, width, channels of a latent state; A actions; P players; V outputs for one number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from kaimesh.algorithms.muzero.architecture import Architecture
from kaimesh.algorithms.muzero.residual_layers import latent_shape
from kaimesh.algorithms.muzero.search.searching import Step
from kaimesh.algorithms.muzero.tensors import Network
from kaimesh.algorithms.networks import compiled


class Compiled:
    """The network of an actor; its weights can be replaced between calls."""

    def __init__(self, net: Architecture, weights: Mapping[str, np.ndarray]) -> None:
        self._net, spaces = net, net.spaces

        def root(weights: Mapping[str, tf.Variable], obs: tf.Tensor) -> tuple[Any, ...]:
            network = Network.of(net, weights)
            latent = network.represent(obs)
            return (latent, *network.predict(latent))

        def step(weights: Mapping[str, tf.Variable], latent: tf.Tensor, action: tf.Tensor) -> tuple[Any, ...]:
            network = Network.of(net, weights)
            after, reward, mover = network.step(latent, action)
            return (after, reward, mover, *network.predict(after))

        self._root = compiled.Compiled(root, weights, spaces.obs_shape, spaces.obs_dtype)
        self._step = compiled.Compiled(step, weights, latent_shape(net), "<f4", ((), "<i4"))

    def assign(self, weights: Mapping[str, np.ndarray]) -> None:
        """Replaces all weights."""
        self._root.assign(weights)
        self._step.assign(weights)

    def root(self, obs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Latent states `[B, H, W, C]`, logits `[B, A]` and values `[B, P V]` of observations `[B, ...]`."""
        latent, logits, value = self._root(obs)
        return latent, logits, value

    def step(self, latent: np.ndarray, action: np.ndarray) -> Step:
        """What `Search.of_model` asks for. latent: float32 `[B, H, W, C]`. action: int32 `[B]`."""
        after, reward, mover, logits, value = self._step(latent, action)
        to_play = mover.argmax(1) if self._net.spaces.players > 1 else np.zeros(len(action), np.int64)
        return Step(after, self._net.numbers(reward), logits, self._net.numbers(value), to_play)
