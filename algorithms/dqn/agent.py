"""DQN as the mesh calls it.

Shape legend: B rows; T steps of a trajectory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from kaimesh.algorithms.agent import NativeAgent
from kaimesh.algorithms.dqn import model, replay
from kaimesh.algorithms.dqn.config import Config
from kaimesh.algorithms.dqn.model import Architecture
from kaimesh.algorithms.networks.layers import Weights
from kaimesh.contract.agent import TableSpec
from kaimesh.contract.arrays import Batch
from kaimesh.contract.columns import PRIORITY

if TYPE_CHECKING:
    from kaimesh.algorithms.dqn.learning import Learner

EPSILON = "epsilon"  # column of requests: the slot's probability of a random action
_SEEN = ("q", "value")  # act columns that only the first priorities are made of


class Agent(NativeAgent):
    """Action values. `predict` explores: columns `action` int32 `[B]`, `q`, its value, and `value`, that of the best action, float32 `[B]`;
    the column EPSILON of its rows says how much, without it as the first slot does. `exploit` takes the best action.

    `learn` gets samples as `sample_of` made them, and returns their new PRIORITY among the metrics.
    """

    table = TableSpec(kind="replay", rows_per_item=1, prioritised=True)
    config_class = Config
    model = model
    model_format = "dqn 1"
    state_format = "dqn training state 1"
    remedies: ClassVar[Mapping[str, str]] = {
        "dueling": "set dueling",
        "atoms": "set atoms",
        "support": "set value_min and value_max",
    }

    def slot_columns(self, slots: np.ndarray, total: int) -> dict[str, np.ndarray]:
        """Each slot's EPSILON, float32 `[N]`, by its place among all slots."""
        return {EPSILON: replay.epsilons(slots, total, self.config.epsilon, self.config.epsilon_ladder)}

    def sample_of(self, unrolls: Batch) -> Batch:
        """What is stored of trajectories `[B, T(+1), ...]`: with their first priorities, as in Ape-X, and without what these needed."""
        config, columns = self.config, unrolls.columns
        errors = replay.first_errors(columns, config.gamma, config.n_step, config.reward_scale)  # [T, B]
        priority = replay.priorities(errors, columns["mask"].T, config.priority_max_share, config.priority_floor)
        return Batch({**{name: column for name, column in columns.items() if name not in _SEEN}, PRIORITY: priority})

    def _make_learner(self, net: Architecture, weights: Weights) -> Learner:
        from kaimesh.algorithms.dqn.learning import Learner

        return Learner(net, weights, self.config)

    def _choose(
        self, columns: Mapping[str, np.ndarray], heads: Sequence[np.ndarray], rng: np.random.Generator | None
    ) -> dict[str, np.ndarray]:
        legal_act = columns["legal_act"] if self._net.spaces.legal_actions else None
        epsilon = columns.get(EPSILON, self.config.epsilon)
        action, q, value = model.explore(model.action_values(self._net, heads[0]), legal_act, epsilon, rng)
        return {"action": action, "q": q, "value": value}

    def _network_header(self) -> dict[str, Any]:
        return {"dueling": self._net.dueling, "atoms": self._net.atoms, "support": self._net.support}
