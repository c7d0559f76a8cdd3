"""Prioritised replay, arXiv:1511.05952, of samples that have errors of several steps. In NumPy.

Shape legend: T steps of a sample, B samples; time is the leading axis.
"""

from __future__ import annotations

import numpy as np


def priorities(td_error: np.ndarray, mask: np.ndarray, max_share: float, floor: float) -> np.ndarray:
    """`eta max_t |delta_t| + (1 - eta) mean_t |delta_t|` over the valid steps (R2D2, section 2.3), plus `floor`.

    float32 `[B]`, of errors float32 `[T, B]` and their `mask` bool `[T, B]`; `max_share` is eta.
    """
    size = np.where(mask, np.abs(td_error), 0)  # [T, B]
    mean = size.sum(0) / np.maximum(mask.sum(0), 1)
    values: np.ndarray = max_share * size.max(0) + (1 - max_share) * mean + floor
    return values.astype(np.float32)


def importance_weights(probability: np.ndarray, exponent: float) -> np.ndarray:
    """`(N P(i)) ^ -beta`, over the largest of the batch (section 3.4): float32 `[B]` in (0, 1].

    probability: `N P(i)` float64 `[B]`. exponent: beta.
    """
    weights: np.ndarray = probability**-exponent
    scaled: np.ndarray = weights / weights.max()
    return scaled.astype(np.float32)


def importance_exponent(start: float, final: float, learns: int, total_learns: int) -> float:
    """beta at a learn: linear from `start` to `final` over `total_learns`; `start` for ever if these are 0."""
    return start + (final - start) * min(1.0, learns / total_learns) if total_learns else start
