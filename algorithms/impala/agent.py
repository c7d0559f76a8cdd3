"""IMPALA as the mesh calls it: unrolls are used in the order of their arrival; aisrv waits when the queue is full.

Each is used once, unless `replay_share` is set: then a share of each batch is drawn from earlier unrolls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaimesh.algorithms.actor_critic import model
from kaimesh.algorithms.actor_critic.acting import act
from kaimesh.algorithms.agent import NativeAgent
from kaimesh.algorithms.algorithm import Algorithm
from kaimesh.algorithms.impala.config import Config
from kaimesh.algorithms.networks.layers import Weights
from kaimesh.contract.agent import TableSpec

if TYPE_CHECKING:
    from kaimesh.algorithms.learner import Learner


def _learner(net: model.Architecture, weights: Weights, config: Config) -> Learner:
    from kaimesh.algorithms.impala.learning import learner  # which imports TensorFlow

    return learner(net, weights, config)


ALGORITHM = Algorithm(
    config=Config,
    table=TableSpec(kind="queue", rows_per_item=1, prioritised=True),
    model=model,
    act=act,
    learner=_learner,
    model_format="impala 1",
    state_format="impala training state 1",
    remedies={"shared": "set torso"},
)


class Agent(NativeAgent):
    """A policy and a value that learn by V-trace. `predict` draws actions, see `acting.act`."""

    algorithm = ALGORITHM
