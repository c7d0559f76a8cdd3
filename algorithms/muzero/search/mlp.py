"""The network of dense layers as compiled code runs it: its weights as arrays, and its two forward passes.

BLAS is called by `np.dot` of compiled code, which takes it from SciPy.

Shape legend: B rows; U numbers of a latent state; A actions; P players; V outputs for one number; H units of a layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numba import njit

from kaimesh.algorithms.muzero.search.expand import Said

SCALING_EPSILON = 1e-5  # added to the range of a latent state
TRANSFORM_EPSILON = 0.001  # of h, arXiv:1805.11593, equation 1.1


class Mlp(NamedTuple):
    """Dynamics and prediction, made by `packed`.

    data: all weights and biases, one after the other; the first layer has a bias for each action. layers: int64
    `[L, 4]`, inputs, outputs, and where in `data` its weights and biases begin, of each layer; the first `dynamics`
    are those of dynamics. units: U. support: S, 0 where a number is one output. transformed: whether outputs are h of
    the numbers.
    """

    data: np.ndarray
    layers: np.ndarray
    dynamics: int
    units: int
    players: int
    support: int
    transformed: bool


class Room(NamedTuple):
    """Arrays of the forward passes: here, there `[B H]`, the outputs of layers; latent `[B, U]`, a step's input."""

    here: np.ndarray
    there: np.ndarray
    latent: np.ndarray


def packed(
    weights: Mapping[str, np.ndarray], hidden: int, players: int = 1, support: int = 0, transformed: bool = True
) -> Mlp:
    """The arrays of `weights` by the names of MuZero's model: `dynamics/0/w` `[U, H]`, `dynamics/action` `[A, H]`,
    `dynamics/0/b`, ..., `dynamics/out/w`, `dynamics/out/b`, and the same of `prediction`. Hidden layers end in relu.

    Outputs of dynamics: U of the latent state, which is then scaled to 0..1, P V of the rewards, with P > 1 P logits of
    who moves next. Of prediction: A logits, P V of the values. hidden: number of hidden layers of each, at least 1.
    support: S, with V = 2 S + 1 logits for a number; 0: V = 1. transformed: whether numbers are learned as
    `h(x) = sign(x) (sqrt(|x| + 1) - 1) + 0.001 x`. To be called once for each set of weights.
    """
    names = [f"{part}/{layer}" for part in ("dynamics", "prediction") for layer in (*range(hidden), "out")]
    layers, pieces, start = [], [], 0
    for name in names:
        w, b = weights[f"{name}/w"], weights[f"{name}/b"]
        if name == "dynamics/0":
            b = weights["dynamics/action"] + b  # [A, H]
        layers.append((*w.shape, start, start + w.size))
        pieces += [w.ravel(), b.ravel()]
        start += w.size + b.size
    return Mlp(np.concatenate(pieces), np.array(layers), hidden + 1, layers[0][0], players, support, bool(transformed))


def new_room(rows: int, mlp: Mlp) -> Room:
    """Room for `rows` rows."""
    widest = rows * int(mlp.layers[:, 1].max())
    here, there = np.full((2, widest), np.nan, mlp.data.dtype)
    return Room(here, there, np.full((rows, mlp.units), np.nan, mlp.data.dtype))


@njit(cache=True, error_model="numpy")
def step(mlp: Mlp, action: np.ndarray, room: Room, latent: np.ndarray, said: Said) -> None:
    """From `room.latent` by `action` int32 `[B]`: the next states into `latent` `[B, U]`, the rest into `said`."""
    out = _through(mlp, 0, mlp.dynamics, room.latent, action, room)
    _scale(out, latent)
    numbers = 2 * mlp.support + 1
    for b in range(out.shape[0]):
        for p in range(mlp.players):
            said.reward[b, p] = _number(mlp, out, b, mlp.units + p * numbers)
        who = 0
        if mlp.players > 1:
            first = mlp.units + mlp.players * numbers
            for p in range(1, mlp.players):
                if out[b, first + p] > out[b, first + who]:
                    who = p
        said.to_play[b] = who
    out = _through(mlp, mlp.dynamics, mlp.layers.shape[0], latent, action, room)
    actions = said.logits.shape[1]
    for b in range(out.shape[0]):
        for a in range(actions):
            said.logits[b, a] = out[b, a]
        for p in range(mlp.players):
            said.value[b, p] = _number(mlp, out, b, actions + p * numbers)


@njit(cache=True, error_model="numpy")
def _through(mlp: Mlp, first: int, last: int, x: np.ndarray, action: np.ndarray, room: Room) -> np.ndarray:
    """The outputs `[B, H]` of layer `last - 1` for `x` through the layers from `first` on."""
    here, there = room.here, room.there
    data, rows = mlp.data, x.shape[0]
    for layer in range(first, last):
        inputs, outputs = mlp.layers[layer, 0], mlp.layers[layer, 1]
        weights, biases = mlp.layers[layer, 2], mlp.layers[layer, 3]
        out = here[: rows * outputs].reshape(rows, outputs)
        np.dot(x, data[weights : weights + inputs * outputs].reshape(inputs, outputs), out)
        for b in range(rows):
            bias = biases + action[b] * outputs if layer == 0 else biases
            _add(out[b], data[bias : bias + outputs], layer < last - 1)
        x, here, there = out, there, here
    return x


@njit(cache=True, error_model="numpy")
def _add(x: np.ndarray, bias: np.ndarray, relu: bool) -> None:
    """Adds `bias` `[H]` to `x` `[H]`, which relu may follow."""
    zero = x.dtype.type(0)
    if relu:
        for i in range(x.shape[0]):
            y = x[i] + bias[i]
            x[i] = y if y > zero else zero
    else:
        for i in range(x.shape[0]):
            x[i] += bias[i]


@njit(cache=True, error_model="numpy", fastmath={"nnan", "nsz"})
def _scale(out: np.ndarray, latent: np.ndarray) -> None:
    """The first numbers of each row, from the least one at 0 to the largest one at 1 (arXiv:1911.08265, appendix G)."""
    epsilon, one = latent.dtype.type(SCALING_EPSILON), latent.dtype.type(1)
    for b in range(latent.shape[0]):
        least = most = out[b, 0]
        for i in range(latent.shape[1]):
            least, most = min(least, out[b, i]), max(most, out[b, i])
        factor = one / (most - least + epsilon)
        for i in range(latent.shape[1]):
            latent[b, i] = (out[b, i] - least) * factor


@njit(cache=True, error_model="numpy")
def _number(mlp: Mlp, out: np.ndarray, b: int, first: int) -> float:
    """The number that the outputs from `first` on stand for."""
    y: float = 1.0 * out[b, first]
    if mlp.support > 0:
        largest = out[b, first]
        for i in range(1, 2 * mlp.support + 1):
            largest = max(largest, out[b, first + i])
        total = weighted = 0.0
        for i in range(2 * mlp.support + 1):
            share = np.exp(out[b, first + i] - largest)
            total += share
            weighted += share * (i - mlp.support)
        y = weighted / total
    if mlp.transformed:
        shifted = abs(y) + (1 + TRANSFORM_EPSILON)
        x: float = (2 * shifted / (np.sqrt(1 + 4 * TRANSFORM_EPSILON * shifted) + 1)) ** 2 - 1
        return x if y > 0 else -x
    return y
