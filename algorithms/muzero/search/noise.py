"""What is added at the root to explore, over legal actions only. Never in `exploit`.

Shape legend: B rows; A actions.
"""

from __future__ import annotations

import numpy as np


def dirichlet(
    rng: np.random.Generator, logits: np.ndarray, legal: np.ndarray, alpha: float, share: float
) -> np.ndarray:
    """Logits float32 `[B, A]` of `(1 - share) softmax(logits) + share Dirichlet(alpha)`, both over legal actions alone.

    logits: `[B, A]`. legal: bool `[B, A]`; illegal actions get the least number, so do all where none is legal. alpha:
    above 0, about 10 / number of legal actions. share: 0..1.
    """
    lowest = np.finfo(np.float32).min
    masked = np.where(legal, logits, lowest)
    prior = np.exp(masked - masked.max(1, keepdims=True)) * legal  # [B, A]
    prior /= np.maximum(prior.sum(1, keepdims=True), 1e-30)
    drawn = rng.standard_gamma(alpha, logits.shape) * legal  # [B, A]
    total = drawn.sum(1, keepdims=True)
    drawn = np.where(total > 0, drawn / np.maximum(total, 1e-300), prior)  # all are 0 where alpha is tiny
    mixed = (1 - share) * prior + share * drawn
    logs: np.ndarray = np.log(mixed, out=np.full(logits.shape, lowest, np.float64), where=mixed > 0)
    return logs.astype(np.float32)


def gumbel(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Standard Gumbel noise float32 `[B, A]`, for `Search.of_mlp` and `Search.of_model`."""
    return rng.gumbel(size=shape).astype(np.float32)
