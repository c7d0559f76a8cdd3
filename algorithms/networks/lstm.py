"""A long short-term memory between a torso and the heads: weights, state, and the step that actors make in NumPy.

Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000. For inputs x and a state of output h and cell
c: `i, f, g, o = split([x, h] W + b)`, `c' = sigmoid(f) c + sigmoid(i) tanh(g)`, `h' = sigmoid(o) tanh(c')`.

Shape legend: B rows, I inputs, H `lstm_size`. A state is one array `[B, 2 H]`, h before c; a new episode's is 0.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kaimesh.algorithms.networks.layers import Weights, orthogonal

STATE = "lstm"  # the column of the state, in requests, answers and samples


def initial_weights(rng: np.random.Generator, name: str, inputs: int, size: int) -> Weights:
    """`name/w` float32 `[I + H, 4 H]`, each gate orthogonal; `name/b` float32 `[4 H]`, 1 for the forget gate, else 0.

    With that bias the cell forgets little at first, so that gradients reach far back (Jozefowicz et al. 2015).
    """
    gates = [np.concatenate([orthogonal(rng, (rows, size), 1.0) for rows in (inputs, size)]) for _ in range(4)]
    bias = np.zeros(4 * size, np.float32)
    bias[size : 2 * size] = 1
    return {f"{name}/w": np.concatenate(gates, 1), f"{name}/b": bias}


def initial_state(count: int, size: int) -> dict[str, np.ndarray]:
    """The column STATE of `count` slots before their first observation: float32 `[count, 2 H]`."""
    return {STATE: np.zeros((count, 2 * size), np.float32)}


def step(
    weights: Mapping[str, np.ndarray], name: str, x: np.ndarray, state: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Outputs float32 `[B, H]` and the next state `[B, 2 H]`, of inputs `[B, I]` and the state before them."""
    h, c = np.split(state, 2, 1)
    i, f, g, o = np.split(np.concatenate([x, h], 1) @ weights[f"{name}/w"] + weights[f"{name}/b"], 4, 1)
    c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
    h = _sigmoid(o) * np.tanh(c)
    return h, np.concatenate([h, c], 1)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    half: np.ndarray = np.tanh(x * np.float32(0.5))  # cannot overflow
    return half * np.float32(0.5) + np.float32(0.5)
