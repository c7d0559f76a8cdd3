"""The network of dense layers as compiled code runs it: its weights as arrays, and its two forward passes.

Shape legend: B rows; U numbers of a latent state; A actions; P players; V outputs for one number; H units of a layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from kaimesh.algorithms.muzero.search.constants import SCALING_EPSILON, TRANSFORM_EPSILON
from kaimesh.algorithms.muzero.search.expand import Said
from kaimesh.algorithms.muzero.search.jit import inlined, inner
from kaimesh.algorithms.muzero.search.tile import PANEL, four_rows, in_panels, one_row, padded, wide_row


class Mlp(NamedTuple):
    """Dynamics and prediction, made by `packed`.

    data: all weights, in panels (see `tile`), and biases, padded alike, one after the other; the first layer has a bias
    for each action. layers: int64 `[L, 4]`, inputs, outputs with their padding, and where in `data` its weights and
    biases begin, of each layer; the first `dynamics` are those of dynamics. units: U. support: S, 0 where a number is
    one output. transformed: whether outputs are h of the numbers.
    """

    data: np.ndarray
    layers: np.ndarray
    dynamics: int
    units: int
    players: int
    support: int
    transformed: bool


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
        wide = padded(w.shape[1])
        biases = np.zeros((*b.shape[:-1], wide), b.dtype)
        biases[..., : b.shape[-1]] = b
        pieces += [in_panels(w), biases.ravel()]
        layers.append((w.shape[0], wide, start, start + pieces[-2].size))
        start += pieces[-2].size + pieces[-1].size
    return Mlp(np.concatenate(pieces), np.array(layers), hidden + 1, layers[0][0], players, support, bool(transformed))


class Room(NamedTuple):
    """Where the forward passes work. layers: `[3 B, H]`, latent states first, then twice the outputs of a layer, H of
    the widest one. biases: int64 `[B]`, where those of each row begin in the network's data.
    """

    layers: np.ndarray
    biases: np.ndarray


def new_room(rows: int, mlp: Mlp) -> Room:
    """Room for `rows` rows."""
    widest = max(mlp.units, int(mlp.layers[:, 1].max()))
    return Room(np.full((3 * rows, widest), np.nan, mlp.data.dtype), np.full(rows, -1))


@inlined()
def step(mlp: Mlp, action: np.ndarray, rows: int, room: Room, latents: np.ndarray, node: int, said: Said) -> None:
    """From the latent states in the first rows of `room.layers`, by `action` int32 `[B]`: the next ones into
    `latents[node]` `[B, U]`, the rest into `said`.
    """
    reward, logits, value, to_play, x = said.reward, said.logits, said.value, said.to_play, room.layers
    players, units, numbers, actions = mlp.players, mlp.units, 2 * mlp.support + 1, logits.shape[1]
    out = _through(mlp, 0, mlp.dynamics, rows, action, room)
    _scale(x, out, rows, latents, node)
    for b in range(rows):
        for p in range(players):
            reward[b, p] = _number(mlp, x, out + b, units + p * numbers)
        who, first = 0, units + players * numbers
        for p in range(1, players):
            if x[out + b, first + p] > x[out + b, first + who]:
                who = p
        to_play[b] = who
    out = _through(mlp, mlp.dynamics, mlp.layers.shape[0], rows, action, room)
    for b in range(rows):
        for a in range(actions):
            logits[b, a] = x[out + b, a]
        for p in range(players):
            value[b, p] = _number(mlp, x, out + b, actions + p * numbers)


@inner()
def _through(mlp: Mlp, first: int, last: int, rows: int, action: np.ndarray, room: Room) -> int:
    """Through the layers from `first` on; returns the first row of `room.layers` with the outputs of `last - 1`."""
    data, layers, x, starts = mlp.data, mlp.layers, room.layers, room.biases
    once = x.shape[0] // 3
    below, into = 0, once
    for layer in range(first, last):
        inputs, wide, weights, biases = layers[layer, 0], layers[layer, 1], layers[layer, 2], layers[layer, 3]
        for b in range(rows):
            starts[b] = biases + action[b] * wide if layer == 0 else biases
        floor = data.dtype.type(0 if layer < last - 1 else -np.inf)  # relu, or none
        _product(x, below, into, rows, inputs, wide, data, weights, starts, floor)
        below, into = into, 3 * once - into
    return below


@inner()
def _product(
    x: np.ndarray,
    below: int,
    into: int,
    rows: int,
    inputs: int,
    wide: int,
    data: np.ndarray,
    weights: int,
    starts: np.ndarray,
    floor: float,
) -> None:
    """`max(bias + x @ w, floor)` of the rows of `x` from `below` on, into those from `into` on."""
    step, size = x.shape[1], inputs * PANEL
    b = 0
    while b < rows:
        rest, x0, w0, column, out0 = rows - b, (below + b) * step, weights, 0, (into + b) * step
        while column < wide:
            if rest >= 4:
                four_rows(x, x0, inputs, data, w0, starts, b, column, out0 + column, step, floor)
            elif wide - column >= 4 * PANEL:
                wide_row(x, x0, inputs, data, w0, starts, b, column, out0 + column, step, floor)
                column, w0 = column + 3 * PANEL, w0 + 3 * size
            else:
                one_row(x, x0, inputs, data, w0, starts, b, column, out0 + column, step, floor)
            column, w0 = column + PANEL, w0 + size
        b += 4 if rest >= 4 else 1


@inner(fastmath={"nnan", "nsz"})
def _scale(x: np.ndarray, out: int, rows: int, latents: np.ndarray, node: int) -> None:
    """The first numbers of each row of `x` from `out` on, from the least one at 0 to the largest one at 1
    (arXiv:1911.08265, appendix G), into `latents[node]` and the first rows of `x`.
    """
    epsilon, one = latents.dtype.type(SCALING_EPSILON), latents.dtype.type(1)
    for b in range(rows):
        least = most = x[out + b, 0]
        for i in range(latents.shape[2]):
            least, most = min(least, x[out + b, i]), max(most, x[out + b, i])
        factor = one / (most - least + epsilon)
        for i in range(latents.shape[2]):
            scaled = (x[out + b, i] - least) * factor
            latents[node, b, i] = scaled
            x[b, i] = scaled


@inner()
def _number(mlp: Mlp, x: np.ndarray, b: int, first: int) -> float:
    """The number that the outputs from `first` on stand for."""
    y: float = 1.0 * x[b, first]
    if mlp.support > 0:
        largest = x[b, first]
        for i in range(1, 2 * mlp.support + 1):
            largest = max(largest, x[b, first + i])
        total = weighted = 0.0
        for i in range(2 * mlp.support + 1):
            share = np.exp(x[b, first + i] - largest)
            total += share
            weighted += share * (i - mlp.support)
        y = weighted / total
    if mlp.transformed:
        shifted = abs(y) + (1 + TRANSFORM_EPSILON)
        number: float = (2 * shifted / (np.sqrt(1 + 4 * TRANSFORM_EPSILON * shifted) + 1)) ** 2 - 1
        return number if y > 0 else -number
    return y
