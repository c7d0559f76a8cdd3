"""DQN as the mesh calls it: unrolls are stored with a priority, and drawn again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaimesh.algorithms.agent import NativeAgent
from kaimesh.algorithms.algorithm import Algorithm
from kaimesh.algorithms.dqn import model
from kaimesh.algorithms.dqn.acting import act, slot_columns
from kaimesh.algorithms.dqn.config import Config
from kaimesh.algorithms.dqn.replay import sample_of
from kaimesh.algorithms.networks.layers import Weights
from kaimesh.contract.agent import TableSpec

if TYPE_CHECKING:
    from kaimesh.algorithms.learner import Learner


def _learner(net: model.Architecture, weights: Weights, config: Config) -> Learner:
    from kaimesh.algorithms.dqn.learning import learner  # which imports TensorFlow

    return learner(net, weights, config)


ALGORITHM = Algorithm(
    config=Config,
    table=TableSpec(kind="replay", rows_per_item=1, prioritised=True),
    model=model,
    act=act,
    learner=_learner,
    model_format="dqn 1",
    state_format="dqn training state 1",
    remedies={"dueling": "set dueling", "atoms": "set atoms", "support": "set value_min and value_max"},
    sample_of=sample_of,
    slot_columns=slot_columns,
)


class Agent(NativeAgent):
    """Action values that learn by Q-learning. `predict` explores by the column EPSILON, see `acting.act`."""

    algorithm = ALGORITHM
