"""A forward pass as one concrete TensorFlow function, for networks that NumPy is too slow for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf


class Compiled:
    """`forward(weights, obs)`, traced once for every batch size, with weights that can be replaced between calls."""

    def __init__(
        self,
        forward: Callable[[Mapping[str, Any], Any], tuple[Any, ...]],
        weights: Mapping[str, np.ndarray],
        obs_shape: tuple[int, ...],
        obs_dtype: str,
    ) -> None:
        self._variables = {name: tf.Variable(value, trainable=False) for name, value in weights.items()}
        signature = [tf.TensorSpec([None, *obs_shape], tf.as_dtype(np.dtype(obs_dtype)))]
        function = tf.function(lambda obs: forward(self._variables, obs), input_signature=signature, autograph=False)
        self._function = function.get_concrete_function()

    def assign(self, weights: Mapping[str, np.ndarray]) -> None:
        """Replaces all weights; names and shapes are those of the constructor."""
        for name, variable in self._variables.items():
            variable.assign(weights[name])

    def __call__(self, obs: np.ndarray) -> tuple[np.ndarray, ...]:
        """The outputs for `obs` `[B, *obs_shape]`."""
        return tuple(output.numpy() for output in self._function(tf.constant(obs)))
