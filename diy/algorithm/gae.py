"""Generalised advantage estimation (arXiv 1506.02438, equation 16), on padded pieces of trajectories."""

from __future__ import annotations

import numpy as np


def gae(
    reward: np.ndarray, value: np.ndarray, mask: np.ndarray, gamma: float, lam: float
) -> tuple[np.ndarray, np.ndarray]:
    """Advantages and returns, float32 `[B, T]`; 0 in the padding.

    reward float32 `[B, T]`; value float32 `[B, T+1]`, the bootstrap right after the last real step, 0 if the episode
    ended there; mask bool `[B, T]`, True for the real steps, which come first.
    """
    advantage = np.zeros_like(reward)  # [B, T]
    following = np.zeros(len(reward), np.float32)  # [B]: the advantage of step t + 1
    for t in reversed(range(reward.shape[1])):
        delta = reward[:, t] + gamma * value[:, t + 1] - value[:, t]
        following = np.where(mask[:, t], delta + gamma * lam * following, 0).astype(np.float32)
        advantage[:, t] = following
    return advantage, np.where(mask, advantage + value[:, :-1], 0).astype(np.float32)
