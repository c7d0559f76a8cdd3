"""Draws actions, in NumPy: they depend only on the generator and the sequence of calls.

Shape legend: B rows; A actions (categorical) or action dimensions (Gaussian).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

# In place of an illegal action's logit: its probability is exactly 0, and all gradients stay finite.
ILLEGAL_LOGIT = np.float32(-1e9)


class Sample(NamedTuple):
    """action: int32 `[B]` or float32 `[B, A]`; log_prob: float32 `[B]`, of that action."""

    action: np.ndarray
    log_prob: np.ndarray


def categorical(logits: np.ndarray, legal_act: np.ndarray | None, rng: np.random.Generator | None) -> Sample:
    """Draws from the softmax of `logits` float32 `[B, A]`, by the Gumbel-max trick; without `rng`, takes the likeliest.

    `legal_act`, bool `[B, A]`: other actions are never taken. A row without any legal action (padding) draws from all.
    """
    if legal_act is not None:
        logits = np.where(legal_act, logits, ILLEGAL_LOGIT)
    noisy = logits if rng is None else logits + rng.gumbel(size=logits.shape)
    action = noisy.argmax(1)  # [B]
    shifted = logits - logits.max(1, keepdims=True)
    log_prob = shifted[np.arange(len(action)), action] - np.log(np.exp(shifted).sum(1))
    return Sample(action.astype(np.int32), log_prob.astype(np.float32, copy=False))


def gaussian(mean: np.ndarray, log_std: np.ndarray, rng: np.random.Generator | None) -> Sample:
    """Draws from normal distributions of `mean` float32 `[B, A]` and `log_std` float32 `[A]`; without `rng`, the mean.

    The action is not clipped to any bounds, so that its log-probability is exact; aisrv scales and clips it.
    """
    noise = np.zeros_like(mean) if rng is None else rng.standard_normal(mean.shape, np.float32)  # [B, A]
    log_prob = -(0.5 * noise * noise + log_std + 0.5 * math.log(2 * math.pi)).sum(1)  # [B]
    return Sample(mean + np.exp(log_std) * noise, log_prob.astype(np.float32, copy=False))
