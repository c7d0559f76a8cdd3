"""The columns of a batch of trajectories that a learner reads: their shapes, their checks, and time as the leading axis.

Shape legend: T steps of a trajectory, B trajectories; S numbers of an LSTM's state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from kaimesh.algorithms.networks.lstm import STATE
from kaimesh.contract.errors import SampleError

# Columns with T + 1 entries; the last observation, or the last `value`, bootstraps.
LONGER = ("obs", "legal_act", "action", "log_prob", "value")

Columns = Mapping[str, np.ndarray]


def column_specs(net: Any, *acted: str) -> dict[str, tf.TensorSpec]:
    """Every column, time-major: the time axis is `[T + 1]` for those in LONGER; STATE is `[B, S]`, before the first step.

    net: an algorithm's Architecture. acted: the float32 columns of a prediction that are learned from, beside `action`.
    """
    spaces = net.spaces
    discrete = spaces.action_kind == "discrete"
    obs_dtype = tf.as_dtype(np.dtype(spaces.obs_dtype))
    specs = {"obs": tf.TensorSpec([None, None, *spaces.obs_shape], obs_dtype)}
    if spaces.legal_actions:
        specs["legal_act"] = tf.TensorSpec([None, None, spaces.action_size], tf.bool)
    action_shape = [None, None] if discrete else [None, None, spaces.action_size]
    specs["action"] = tf.TensorSpec(action_shape, tf.int32 if discrete else tf.float32)
    specs |= {name: tf.TensorSpec([None, None], tf.float32) for name in (*acted, "reward")}
    specs |= {name: tf.TensorSpec([None, None], tf.bool) for name in ("terminated", "truncated", "mask")}
    if net.lstm_size:
        specs[STATE] = tf.TensorSpec([None, 2 * net.lstm_size], tf.float32)
    return specs


def time_major(columns: Columns, specs: Mapping[str, tf.TensorSpec], algo: str) -> dict[str, np.ndarray]:
    """The columns of `specs`, out of `[B, T(+1), ...]`, as `[T(+1), B, ...]`.

    Raises SampleError: one is missing or has another shape or dtype. FloatingPointError: one has a number that is not finite.
    """
    steps = columns["reward"].shape[1] if "reward" in columns else 0  # T
    for name, spec in specs.items():
        inner = list(spec.shape[1:]) if name == STATE else [steps + (name in LONGER), *spec.shape[2:]]
        wanted = f"{spec.dtype.name} {['B', *inner]}"
        if name not in columns:
            raise SampleError(f"samples have no column {name!r} ({wanted}); they have {', '.join(columns)}")
        column = columns[name]
        if column.dtype != spec.dtype.as_numpy_dtype or list(column.shape[1:]) != inner:
            raise SampleError(f"column {name!r} is {column.dtype} {['B', *column.shape[1:]]}; {algo} needs {wanted}")
        _require_finite(name, column, columns["mask"])
    return {name: columns[name] if name == STATE else np.swapaxes(columns[name], 0, 1) for name in specs}


def _require_finite(name: str, column: np.ndarray, mask: np.ndarray) -> None:
    if column.dtype.kind != "f" or np.isfinite(column).all():
        return
    b, t = np.argwhere(~np.isfinite(column))[0][:2]
    if name == "reward" and np.isfinite(column[mask]).all():
        return
    where = "before its first step" if name == STATE else f"at step {t}"
    raise FloatingPointError(
        f"column {name!r} is not finite in trajectory {b} of the batch {where}; nothing was learned from this batch. "
        "Look at what the environment returned there"
        + (", or load an earlier model." if name in ("log_prob", "value", STATE) else ".")
    )
