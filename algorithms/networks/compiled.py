"""A forward pass in TensorFlow as one concrete function, for actors whose network is a CNN: NumPy is too slow there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from kaimesh.algorithms.networks import differentiable, lstm_unroll
from kaimesh.algorithms.networks.library import Library

TENSORFLOW = Library(differentiable.features, lstm_unroll.step)


class Compiled:
    """`forward(weights, obs, *more)`, traced once for all batch sizes; its weights can be replaced between calls.

    more: shape of one row and dtype of each further input.
    """

    def __init__(
        self,
        forward: Callable[..., tuple[Any, ...]],
        weights: Mapping[str, np.ndarray],
        obs_shape: tuple[int, ...],
        obs_dtype: str,
        *more: tuple[tuple[int, ...], str],
    ) -> None:
        self._variables = {name: tf.Variable(value, trainable=False) for name, value in weights.items()}
        inputs = ((obs_shape, obs_dtype), *more)
        signature = [tf.TensorSpec([None, *shape], tf.as_dtype(np.dtype(dtype))) for shape, dtype in inputs]
        function = tf.function(
            lambda *inputs: forward(self._variables, *inputs), input_signature=signature, autograph=False
        )
        self._function = function.get_concrete_function()

    def assign(self, weights: Mapping[str, np.ndarray]) -> None:
        """Replaces all weights; names and shapes are those of the constructor."""
        for name, variable in self._variables.items():
            variable.assign(weights[name])

    def __call__(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """The outputs for `obs` `[B, *obs_shape]` and the further inputs."""
        return tuple(output.numpy() for output in self._function(*map(tf.constant, inputs)))
