"""IMPALA as the mesh calls it: every unroll is used once, in the order in which it came, and aisrv waits when the queue is full."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algorithms.actor_critic.agent import ActorCritic
from algorithms.actor_critic.model import Architecture
from algorithms.impala.config import Config
from algorithms.networks.layers import Weights

if TYPE_CHECKING:
    from algorithms.impala.learning import Learner


class Agent(ActorCritic):
    """An actor-critic that learns by V-trace. Hyper-parameters are the class attribute `config`."""

    algo = "impala"
    config: type[Config] = Config
    model_format = "impala 1"
    state_format = "impala training state 1"

    def _make_learner(self, net: Architecture, weights: Weights) -> Learner:
        from algorithms.impala.learning import Learner

        return Learner(net, weights, self.config)
