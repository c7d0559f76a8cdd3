"""MuZero's network of dense layers, defined once for NumPy (actors) and TensorFlow (learner).

    representation   observation --torso `representation/*`--> `representation/out`, scaled --> latent
    dynamics         latent, action --`dynamics/*`--> `dynamics/out`: next latent (scaled), rewards, who plays next
    prediction       latent --`prediction/*`--> `prediction/out`: logits of the policy, values

The first layer of dynamics is `latent @ dynamics/0/w + dynamics/action[action] + dynamics/0/b`; every hidden layer ends
in relu. The columns of `dynamics/out` are U of the latent, P V of the rewards, and with P > 1 P logits of who plays
next; those of `prediction/out` are A logits and P V of the values.

Shape legend: B rows; U numbers of a latent state; A actions; P players; V outputs for one number (see support);
H units of a hidden layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from kaimesh.algorithms.muzero.architecture import Architecture
from kaimesh.algorithms.muzero.search.constants import SCALING_EPSILON
from kaimesh.algorithms.networks import layers, numpy_mlp
from kaimesh.algorithms.networks import torso as torso_module
from kaimesh.algorithms.networks.layers import Weights
from kaimesh.algorithms.networks.torso import Torso

_HEAD_GAIN = 0.1  # all policies begin about uniform, and all values about 0


class Maths(NamedTuple):
    """The operations of NumPy or TensorFlow that the network is built from.

    torso: (torso, weights, name, obs `[B, ...]`) to features. relu: of an array that may be overwritten. least,
    largest: of each row, `[B, 1]`. rows: (matrix, indices `[B]`) to the matrix's rows.
    """

    torso: Callable[[Torso, Mapping[str, Any], str, Any], Any]
    relu: Callable[[Any], Any]
    least: Callable[[Any], Any]
    largest: Callable[[Any], Any]
    rows: Callable[[Any, Any], Any]


NUMPY = Maths(
    numpy_mlp.forward,
    lambda x: numpy_mlp.relu(x, out=x),
    lambda x: x.min(1, keepdims=True),
    lambda x: x.max(1, keepdims=True),
    lambda matrix, index: matrix[index],
)


def initial_weights(rng: np.random.Generator, net: Architecture) -> Weights:
    """All weights by name."""
    units, actions, sizes, gain = net.latent_size, net.spaces.action_size, net.torso.hidden_sizes, layers.GAINS["relu"]
    weights = torso_module.initial_weights(rng, "representation", net.torso)
    weights |= layers.dense(rng, "representation/out", net.torso.features, units, 1.0)
    weights |= layers.mlp(rng, "dynamics", units + actions, sizes, "relu")
    first = weights["dynamics/0/w"]
    weights |= {"dynamics/0/w": first[:units].copy(), "dynamics/action": first[units:].copy()}
    weights |= _outputs(rng, "dynamics/out", sizes[-1], units, net.outputs_of_step - units)
    weights |= layers.mlp(rng, "prediction", units, sizes, "relu")
    weights |= layers.dense(rng, "prediction/out", sizes[-1], net.outputs_of_prediction, _HEAD_GAIN * gain)
    return weights | torso_module.standardisation(net.torso)


def represent(net: Architecture, maths: Maths, weights: Mapping[str, Any], obs: Any) -> Any:
    """Latent states float32 `[B, U]`, each from 0 to 1, of observations `[B, ...]`."""
    features = maths.torso(net.torso, weights, "representation", obs)
    return scaled(maths, features @ weights["representation/out/w"] + weights["representation/out/b"])


def step(net: Architecture, maths: Maths, weights: Mapping[str, Any], latent: Any, action: Any) -> tuple[Any, Any, Any]:
    """The next latent states `[B, U]`, rewards `[B, P V]`, logits of who plays next `[B, P]` (`[B, 0]` if P = 1).

    latent: float32 `[B, U]`. action: int32 `[B]`.
    """
    moved = latent @ weights["dynamics/0/w"] + maths.rows(weights["dynamics/action"], action)
    x = maths.relu(moved + weights["dynamics/0/b"])  # [B, H]
    x = _hidden(net, maths, weights, "dynamics", x, 1)
    out = x @ weights["dynamics/out/w"] + weights["dynamics/out/b"]
    units, rewards = net.latent_size, net.latent_size + net.spaces.players * net.outputs_of_number
    return scaled(maths, out[:, :units]), out[:, units:rewards], out[:, rewards:]


def predict(net: Architecture, maths: Maths, weights: Mapping[str, Any], latent: Any) -> tuple[Any, Any]:
    """Logits of the policy `[B, A]` and values `[B, P V]` of latent states `[B, U]`."""
    x = _hidden(net, maths, weights, "prediction", latent, 0)
    out = x @ weights["prediction/out/w"] + weights["prediction/out/b"]
    return out[:, : net.spaces.action_size], out[:, net.spaces.action_size :]


def scaled(maths: Maths, x: Any) -> Any:
    """Each row of `x` `[B, U]` scaled to 0..1 (appendix G of arXiv:1911.08265); gradients pass through it."""
    least = maths.least(x)
    return (x - least) / (maths.largest(x) - least + SCALING_EPSILON)


def _hidden(net: Architecture, maths: Maths, weights: Mapping[str, Any], name: str, x: Any, first: int) -> Any:
    for layer in range(first, len(net.torso.hidden_sizes)):
        x = maths.relu(x @ weights[f"{name}/{layer}/w"] + weights[f"{name}/{layer}/b"])
    return x


def _outputs(rng: np.random.Generator, name: str, inputs: int, states: int, heads: int) -> Weights:
    """One layer whose first outputs are a latent state and whose others, which begin near 0, are heads."""
    state, head = layers.dense(rng, name, inputs, states, 1.0), layers.dense(rng, name, inputs, heads, _HEAD_GAIN)
    return {key: np.concatenate([state[key], head[key]], -1) for key in state}
