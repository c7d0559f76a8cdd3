"""MuZero's network in TensorFlow: for gradients, and compiled for searches whose network is a residual one.

Shape legend: B rows; see mlp and residual for the shapes of what comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import tensorflow as tf

from kaimesh.algorithms.muzero import mlp, residual
from kaimesh.algorithms.muzero.architecture import Architecture
from kaimesh.algorithms.muzero.mlp import Maths
from kaimesh.algorithms.networks import differentiable

TENSORFLOW = Maths(
    differentiable.features,
    tf.nn.relu,
    lambda x: tf.reduce_min(x, 1, keepdims=True),
    lambda x: tf.reduce_max(x, 1, keepdims=True),
    tf.gather,
)


class Network(NamedTuple):
    """The three functions of one model. represent: observations to latent states. step: latent states and actions to
    the next ones, rewards, logits of who plays next. predict: latent states to logits of the policy and values.
    """

    represent: Callable[[Any], Any]
    step: Callable[[Any, Any], tuple[Any, Any, Any]]
    predict: Callable[[Any], tuple[Any, Any]]

    @classmethod
    def of(cls, net: Architecture, weights: Mapping[str, tf.Tensor]) -> Network:
        """With `weights` by name, tensors or variables."""
        kind: Any = mlp if net.torso.kind == "mlp" else residual
        first = (net, TENSORFLOW, weights) if kind is mlp else (net, weights)
        return cls(*(partial(function, *first) for function in (kind.represent, kind.step, kind.predict)))
