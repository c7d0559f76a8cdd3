"""What is added at the root to explore, over legal actions only. Never in `exploit`.

Shape legend: B rows; A actions.
"""

from __future__ import annotations

import numpy as np

from kaimesh.algorithms.muzero.search.jit import entry

_LOWEST = np.finfo(np.float32).min


def dirichlet(
    rng: np.random.Generator, logits: np.ndarray, legal: np.ndarray, alpha: float, share: float
) -> np.ndarray:
    """Logits float32 `[B, A]` of `(1 - share) softmax(logits) + share Dirichlet(alpha)`, both over legal actions alone.

    logits: `[B, A]`. legal: bool `[B, A]`; illegal actions get the least number, so do all where none is legal. alpha:
    above 0, about 10 / number of legal actions. share: 0..1.
    """
    drawn = rng.standard_gamma(alpha, logits.shape)  # [B, A]
    mixed: np.ndarray = _mixed(np.ascontiguousarray(logits), np.ascontiguousarray(legal), drawn, float(share))
    return mixed


def gumbel(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Standard Gumbel noise float32 `[B, A]`, for `Search.of_mlp` and `Search.of_model`."""
    return rng.gumbel(size=shape).astype(np.float32)


@entry()
def _mixed(logits: np.ndarray, legal: np.ndarray, drawn: np.ndarray, share: float) -> np.ndarray:
    """What `dirichlet` returns. drawn: float64 `[B, A]`, of gamma distributions. In NumPy it takes as long as some
    fifty simulations, for 56 rows.
    """
    mixed = np.full(logits.shape, _LOWEST, np.float32)
    for b in range(mixed.shape[0]):
        most, priors, noise = _LOWEST, 0.0, 0.0
        for a in range(mixed.shape[1]):
            if legal[b, a]:
                most, noise = max(most, logits[b, a]), noise + drawn[b, a]
        for a in range(mixed.shape[1]):
            if legal[b, a]:
                priors += np.exp(float(logits[b, a]) - most)
        for a in range(mixed.shape[1]):
            if legal[b, a]:
                prior = np.exp(float(logits[b, a]) - most) / priors
                added = drawn[b, a] / noise if noise > 0 else prior  # all are 0 where alpha is tiny
                both = (1 - share) * prior + share * added
                if both > 0:
                    mixed[b, a] = np.log(both)
    return mixed
