"""PPO as the mesh calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaimesh.algorithms.actor_critic.agent import ActorCritic
from kaimesh.algorithms.actor_critic.model import Architecture
from kaimesh.algorithms.networks.layers import Weights
from kaimesh.algorithms.ppo.config import Config

if TYPE_CHECKING:
    from kaimesh.algorithms.ppo.learning import Learner


class Agent(ActorCritic):
    """An actor-critic that learns by PPO."""

    config_class = Config
    model_format = "ppo 2"
    state_format = "ppo training state 2"

    def _make_learner(self, net: Architecture, weights: Weights) -> Learner:
        from kaimesh.algorithms.ppo.learning import Learner

        return Learner(net, weights, self.config)
