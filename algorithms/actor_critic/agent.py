"""An actor-critic as the mesh calls it.

Shape legend: B rows; A actions (discrete) or action dimensions (continuous).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from kaimesh.algorithms.actor_critic import model
from kaimesh.algorithms.agent import NativeAgent
from kaimesh.algorithms.networks import sampling
from kaimesh.contract.agent import TableSpec


class ActorCritic(NativeAgent):
    """A policy and a value. `predict` draws actions: columns `action` (int32 `[B]` or float32 `[B, A]`), `log_prob` and `value`
    (float32 `[B]`); `exploit` takes the likeliest.
    """

    table = TableSpec(kind="queue", rows_per_item=1)
    model = model
    remedies: ClassVar[Mapping[str, str]] = {"shared": "set torso"}

    def _choose(
        self, columns: Mapping[str, np.ndarray], heads: Sequence[np.ndarray], rng: np.random.Generator | None
    ) -> dict[str, np.ndarray]:
        head, value = heads  # [B, A], [B]
        if self._net.spaces.action_kind == "discrete":
            legal_act = columns["legal_act"] if self._net.spaces.legal_actions else None
            sample = sampling.categorical(head, legal_act, rng)
        else:
            sample = sampling.gaussian(head, self._weights["policy/log_std"], rng)
        return {**sample._asdict(), "value": value}

    def _network_header(self) -> dict[str, Any]:
        return {"shared": self._net.shared}
