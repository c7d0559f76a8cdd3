"""PPO as the mesh calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaimesh.algorithms.actor_critic import model
from kaimesh.algorithms.actor_critic.acting import act
from kaimesh.algorithms.agent import NativeAgent
from kaimesh.algorithms.algorithm import Algorithm
from kaimesh.algorithms.networks.layers import Weights
from kaimesh.algorithms.ppo.config import Config
from kaimesh.contract.agent import TableSpec

if TYPE_CHECKING:
    from kaimesh.algorithms.learner import Learner


def _learner(net: model.Architecture, weights: Weights, config: Config) -> Learner:
    from kaimesh.algorithms.ppo.learning import learner  # which imports TensorFlow

    return learner(net, weights, config)


ALGORITHM = Algorithm(
    config=Config,
    table=TableSpec(kind="queue", rows_per_item=1),
    model=model,
    act=act,
    learner=_learner,
    model_format="ppo 2",
    state_format="ppo training state 2",
    remedies={"shared": "set torso"},
)


class Agent(NativeAgent):
    """A policy and a value that learn by PPO. `predict` draws actions, see `acting.act`."""

    algorithm = ALGORITHM
