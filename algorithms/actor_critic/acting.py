"""What an actor does with the outputs of a policy and a value.

Shape legend: B rows; A actions (discrete) or action dimensions (continuous).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from kaimesh.algorithms.actor_critic.model import Architecture
from kaimesh.algorithms.networks import sampling
from kaimesh.algorithms.networks.layers import Weights


def act(
    net: Architecture,
    _config: object,
    weights: Weights,
    columns: Mapping[str, np.ndarray],
    outputs: Sequence[np.ndarray],
    rng: np.random.Generator | None,
) -> dict[str, np.ndarray]:
    """Draws actions: columns `action` (int32 `[B]` or float32 `[B, A]`), `log_prob` and `value` (float32 `[B]`).

    outputs: what `model.forward` returned for the rows of `columns`. rng: None: take the likeliest action.
    """
    head, value = outputs  # [B, A], [B]
    if net.spaces.action_kind == "discrete":
        legal_act = columns["legal_act"] if net.spaces.legal_actions else None
        sample = sampling.categorical(head, legal_act, rng)
    else:
        sample = sampling.gaussian(head, weights["policy/log_std"], rng)
    return {**sample._asdict(), "value": value}
