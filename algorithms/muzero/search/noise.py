"""What is added at the root to explore, over legal actions only. Never in `exploit`.

Shape legend: B rows; A actions.
"""

from __future__ import annotations

import numpy as np


def dirichlet(rng: np.random.Generator, logits: np.ndarray, legal: np.ndarray, alpha: float, share: float) -> np.ndarray:
    """Logits `[B, A]` of `(1 - share) softmax(logits) + share Dirichlet(alpha)`, both over the legal actions alone.

    logits: `[B, A]`. legal: bool `[B, A]`. A row without a legal action comes back as it is.
    """
    raise NotImplementedError


def gumbel(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Standard Gumbel noise float32 `[B, A]`, for `Search.of_mlp` and `of_model`."""
    raise NotImplementedError
