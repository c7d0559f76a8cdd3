"""What DQN stores of trajectories, with first priorities. In NumPy.

Shape legend: T steps of a trajectory, B trajectories; time is the leading axis.
"""

from __future__ import annotations

import numpy as np

from kaimesh.algorithms.algorithm import Columns
from kaimesh.algorithms.dqn.config import Config
from kaimesh.algorithms.replay import priorities
from kaimesh.algorithms.targets.nstep import n_step
from kaimesh.contract.columns import PRIORITY

_SEEN = ("q", "value")  # columns of a prediction from which only the first priorities are computed


def sample_of(config: Config, columns: Columns) -> Columns:
    """The samples for trajectories `[B, T(+1), ...]`: first priorities are added (as in Ape-X), _SEEN is left out."""
    errors = first_errors(columns, config.gamma, config.n_step, config.reward_scale)  # [T, B]
    priority = priorities(errors, columns["mask"].T, config.priority_max_share, config.priority_floor)
    return {**{name: column for name, column in columns.items() if name not in _SEEN}, PRIORITY: priority}


def first_errors(columns: Columns, gamma: float, n: int, reward_scale: float) -> np.ndarray:
    """TD errors float32 `[T, B]` of trajectories, from the values that their actors recorded.

    columns: `[B, T(+1)]`; `q` is the value of the action that was taken, `value` that of the best one.
    """
    step = {name: columns[name].T for name in ("reward", "terminated", "truncated", "mask")}  # [T, B]
    target = n_step(**{**step, "reward": step["reward"] * np.float32(reward_scale)}, gamma=gamma, n=n)
    later = np.take_along_axis(columns["value"].T, target.bootstrap, 0)  # [T, B]
    error: np.ndarray = target.reward + target.discount * later - columns["q"].T[:-1]
    return error
