"""n-step returns over several episodes per trajectory, in NumPy: they depend on what was recorded, not on a network.

Shape legend: T steps of a trajectory, B trajectories; time is the leading axis.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class NStep(NamedTuple):
    """What `n_step` returns; the target of step t is `reward_t + discount_t V(s[bootstrap_t])`.

    reward: float32 `[T, B]`, the discounted sum of up to n rewards. discount: float32 `[T, B]`, 0 where the episode
    terminated on the way. bootstrap: int32 `[T, B]`, in 1..T, the state whose value the sum goes on with.
    """

    reward: np.ndarray
    discount: np.ndarray
    bootstrap: np.ndarray


def n_step(
    reward: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray,
    mask: np.ndarray,
    *,
    gamma: float,
    n: int,
) -> NStep:
    """`R_t = sum_k<m gamma^k r_t+k`, continued with `gamma^m V(s_t+m)`: section 3.1 of arXiv:1710.02298.

    m is n, but no more than lead to the end of the episode or of the trajectory. Nothing follows a terminal state; a
    truncated episode, and a trajectory that ends, go on with the value of the last state that was seen.

    Args:
        reward: float32 `[T, B]`.
        terminated: bool `[T, B]`; the episode ended in a terminal state, whose value is 0.
        truncated: bool `[T, B]`; the episode was cut, for example by a time limit.
        mask: bool `[T, B]`; False where step t is no step of any episode (an automatic reset). Its reward is not read,
            and what is returned for it means nothing.
        gamma: discount per step, in [0, 1].
        n: steps, at least 1.
    """
    steps, count = reward.shape
    reward = np.where(mask, reward, np.float32(0))
    discount = np.where(terminated, np.float32(0), np.float32(gamma))  # [T, B]
    after = np.arange(1, steps + 1, dtype=np.int32)[:, None]  # [T, 1], the state that step t led to
    zero, one = np.zeros((1, count), np.float32), np.ones((1, count), np.float32)
    last = np.full((1, count), steps, np.int32)
    ends = terminated | truncated  # [T, B]
    sums, factors, states = reward, discount, np.broadcast_to(after, reward.shape)  # of one step
    for _ in range(n - 1):  # of one step more: this step, then those of its successor
        sums = reward + discount * np.where(ends, 0, np.concatenate([sums[1:], zero]))
        factors = discount * np.where(ends, 1, np.concatenate([factors[1:], one]))
        states = np.where(ends, after, np.concatenate([states[1:], last]))
    return NStep(
        sums.astype(np.float32, copy=False), factors.astype(np.float32, copy=False), states.astype(np.int32, copy=False)
    )
