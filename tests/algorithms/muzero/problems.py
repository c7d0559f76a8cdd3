"""Random problems for the search: a small network, defined once for NumPy and jax, and roots.

Shape legend: B rows; U numbers of a latent state; A actions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kaimesh.algorithms.muzero.search.searching import Recurrent, Root, Step

UNITS = 16


class Network(NamedTuple):
    """Of one player: value and reward are of who moves."""

    latent: np.ndarray  # [U, U]
    action: np.ndarray  # [A, U]
    heads: np.ndarray  # [U, A + 2]: logits, value, reward

    def step(self, m: Any, latent: Any, action: Any) -> tuple[Any, Any]:
        """Latent states `[B, U]` behind the actions, and their heads `[B, A + 2]`. m: numpy, or jax.numpy."""
        behind = m.tanh(latent @ self.latent + self.action[action])
        return behind, behind @ self.heads


class Problem(NamedTuple):
    """Roots of one network."""

    network: Network
    latent: np.ndarray  # [B, U]
    logits: np.ndarray  # [B, A]
    value: np.ndarray  # [B]
    legal: np.ndarray  # bool [B, A]


def problem(seed: int, rows: int, actions: int, *, illegal: bool = False, scale: float = 1.0, dtype: str) -> Problem:
    """scale: of all heads; 0: everything is equal everywhere. illegal: 30 % of the root's actions, never all."""
    rng = np.random.default_rng(seed)
    shapes = (UNITS, UNITS), (actions, UNITS), (UNITS, actions + 2)
    gains = 1.5 / UNITS**0.5, 1.0, scale * 2 / UNITS**0.5
    arrays = (rng.normal(size=shape) * gain for shape, gain in zip(shapes, gains, strict=True))
    network = Network(*(array.astype(dtype) for array in arrays))
    latent = np.tanh(rng.normal(size=(rows, UNITS))).astype(dtype)
    heads = latent @ network.heads
    legal = np.ones((rows, actions), bool)
    if illegal:
        legal = rng.random((rows, actions)) > 0.3
        legal[np.arange(rows), rng.integers(actions, size=rows)] = True
    return Problem(network, latent, heads[:, :actions], heads[:, actions], legal)


def of_one(given: Problem) -> tuple[Root, Recurrent]:
    """As a search for one player takes it."""
    actions = given.logits.shape[1]

    def recurrent(latent: np.ndarray, action: np.ndarray) -> Step:
        behind, heads = given.network.step(np, latent, action)
        logits, value, reward = np.split(heads, [actions, actions + 1], 1)
        return Step(behind, reward, logits, value, _nobody(latent))

    root = Root(given.latent, given.logits, given.value[:, None], given.legal, _nobody(given.latent))
    return root, recurrent


def of_two(given: Problem, first: np.ndarray) -> tuple[Root, Recurrent]:
    """As a game of two in which what one wins the other loses, and they move in turn. first: int `[B]`, who begins.

    The last number of a latent state says who moves.
    """
    actions = given.logits.shape[1]

    def shared(number: np.ndarray, whose: np.ndarray) -> np.ndarray:
        return np.where(whose[:, None] == np.arange(2), number[:, None], -number[:, None])

    def recurrent(latent: np.ndarray, action: np.ndarray) -> Step:
        moved = latent[:, -1].astype(int)
        behind, heads = given.network.step(np, latent[:, :-1], action)
        follows = (moved + 1) % 2
        return Step(
            np.concatenate([behind, follows[:, None]], 1),
            shared(heads[:, actions + 1], moved),
            heads[:, :actions],
            shared(heads[:, actions], follows),
            follows,
        )

    latent = np.concatenate([given.latent, first[:, None]], 1)
    return Root(latent, given.logits, shared(given.value, first), given.legal, first), recurrent


def _nobody(latent: np.ndarray) -> np.ndarray:
    return np.zeros(len(latent), np.int32)
