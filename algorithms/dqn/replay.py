"""Prioritised replay, arXiv:1511.05952, for trajectories: first and later priorities, and weights. In NumPy.

Shape legend: T steps of a trajectory, B trajectories; time is the leading axis.
"""

from __future__ import annotations

import numpy as np

from kaimesh.algorithms.algorithm import Columns
from kaimesh.algorithms.dqn.config import Config
from kaimesh.algorithms.targets.nstep import n_step
from kaimesh.contract.columns import PRIORITY

_SEEN = ("q", "value")  # columns of a prediction from which only the first priorities are computed


def sample_of(config: Config, columns: Columns) -> Columns:
    """The samples for trajectories `[B, T(+1), ...]`: first priorities are added (as in Ape-X), _SEEN is left out."""
    errors = first_errors(columns, config.gamma, config.n_step, config.reward_scale)  # [T, B]
    priority = priorities(errors, columns["mask"].T, config.priority_max_share, config.priority_floor)
    return {**{name: column for name, column in columns.items() if name not in _SEEN}, PRIORITY: priority}


def priorities(td_error: np.ndarray, mask: np.ndarray, max_share: float, floor: float) -> np.ndarray:
    """`eta max_t |delta_t| + (1 - eta) mean_t |delta_t|` over the valid steps (R2D2, section 2.3), plus `floor`.

    float32 `[B]`, of errors float32 `[T, B]` and their `mask` bool `[T, B]`; `max_share` is eta.
    """
    size = np.where(mask, np.abs(td_error), 0)  # [T, B]
    mean = size.sum(0) / np.maximum(mask.sum(0), 1)
    values: np.ndarray = max_share * size.max(0) + (1 - max_share) * mean + floor
    return values.astype(np.float32)


def first_errors(columns: Columns, gamma: float, n: int, reward_scale: float) -> np.ndarray:
    """TD errors float32 `[T, B]` of trajectories, from the values that their actors recorded.

    columns: `[B, T(+1)]`; `q` is the value of the action that was taken, `value` that of the best one.
    """
    step = {name: columns[name].T for name in ("reward", "terminated", "truncated", "mask")}  # [T, B]
    target = n_step(**{**step, "reward": step["reward"] * np.float32(reward_scale)}, gamma=gamma, n=n)
    later = np.take_along_axis(columns["value"].T, target.bootstrap, 0)  # [T, B]
    error: np.ndarray = target.reward + target.discount * later - columns["q"].T[:-1]
    return error


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
