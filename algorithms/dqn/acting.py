"""How DQN explores: each slot takes a random action with a probability of its own, else the best one.

Shape legend: B rows; A actions; N slots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from kaimesh.algorithms.dqn.config import Config
from kaimesh.algorithms.dqn.model import Architecture, action_values
from kaimesh.algorithms.networks.layers import Weights
from kaimesh.algorithms.networks.sampling import ILLEGAL_LOGIT

EPSILON = "epsilon"  # column of requests: the slot's probability of a random action


def act(
    net: Architecture,
    config: Config,
    _weights: Weights,
    columns: Mapping[str, np.ndarray],
    outputs: Sequence[np.ndarray],
    rng: np.random.Generator | None,
) -> dict[str, np.ndarray]:
    """Columns `action` int32 `[B]`, `q`, its value, and `value`, that of the best action, float32 `[B]`.

    outputs: what `model.forward` returned for the rows of `columns`. These may have the column EPSILON; without it,
    config.epsilon holds for all. rng: None: take the best action.
    """
    legal_act = columns["legal_act"] if net.spaces.legal_actions else None
    epsilon = columns.get(EPSILON, config.epsilon)
    action, q, value = explore(action_values(net, outputs[0]), legal_act, epsilon, rng)
    return {"action": action, "q": q, "value": value}


def slot_columns(config: Config, slots: np.ndarray, total: int) -> dict[str, np.ndarray]:
    """The column EPSILON, float32 `[N]`; a slot's depends on its number among all slots."""
    return {EPSILON: epsilons(slots, total, config.epsilon, config.epsilon_ladder)}


def epsilons(slots: np.ndarray, total: int, epsilon: float, ladder: float) -> np.ndarray:
    """`epsilon ^ (1 + ladder i / (N - 1))` float32, for `slots` i of N = `total`: section 4.1 of arXiv:1803.00933."""
    values: np.ndarray = np.power(epsilon, 1 + ladder * slots / max(total - 1, 1))
    return values.astype(np.float32)


def explore(
    values: np.ndarray, legal_act: np.ndarray | None, epsilon: np.ndarray | float, rng: np.random.Generator | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Actions int32 `[B]`, their values, and the best values, float32 `[B]`, for `values` float32 `[B, A]`.

    An action is the best one, or with the probability `epsilon` `[B]` a random one; without `rng`, always the best.
    `legal_act`, bool `[B, A]`: other actions are never taken. A row without any legal action (padding) chooses among
    all.
    """
    if legal_act is not None:
        values = np.where(legal_act | ~legal_act.any(1, keepdims=True), values, ILLEGAL_LOGIT)
    rows = np.arange(len(values))
    best = values.argmax(1)
    action = best
    if rng is not None:
        lot = np.where(values > ILLEGAL_LOGIT, rng.random(values.shape), -1)  # [B, A]
        action = np.where(rng.random(len(values)) < epsilon, lot.argmax(1), best)
    return action.astype(np.int32), values[rows, action], values[rows, best]
