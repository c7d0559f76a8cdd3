"""IMPALA as the mesh calls it: unrolls are used in the order in which they came, and aisrv waits when the queue is full.

Each is used once, unless `replay_share` has a share of each batch drawn from earlier ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaimesh.algorithms.actor_critic.agent import ActorCritic
from kaimesh.algorithms.actor_critic.model import Architecture
from kaimesh.algorithms.impala.config import Config
from kaimesh.algorithms.networks.layers import Weights
from kaimesh.contract.agent import TableSpec

if TYPE_CHECKING:
    from kaimesh.algorithms.impala.learning import Learner


class Agent(ActorCritic):
    """An actor-critic that learns by V-trace."""

    table = TableSpec(kind="queue", rows_per_item=1, prioritised=True)
    config_class = Config
    model_format = "impala 1"
    state_format = "impala training state 1"

    def _make_learner(self, net: Architecture, weights: Weights) -> Learner:
        from kaimesh.algorithms.impala.learning import Learner

        return Learner(net, weights, self.config)
