"""The frame of an update: traced or run op by op, it does the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from kaimesh.algorithms.dqn.agent import Agent as DQN
from kaimesh.algorithms.impala.agent import Agent as Impala
from kaimesh.algorithms.ppo.agent import Agent as PPO
from kaimesh.contract.arrays import Batch
from kaimesh.contract.columns import PRIORITY, PROBABILITY
from tests.algorithms import test_dqn
from tests.algorithms.trajectories import DISCRETE, made, trajectories


@pytest.mark.parametrize("agent_cls", [PPO, Impala, DQN], ids=["ppo", "impala", "dqn"])
def test_a_traced_update_does_what_its_operations_do(agent_cls: Any) -> None:
    """Metrics and weights after two learns. In a graph TensorFlow fuses operations, which rounds otherwise."""
    once = {"epochs": 1, "minibatches": 1} if agent_cls is PPO else {}
    results = []
    for eagerly in (False, True):
        agent = made(agent_cls, **once)
        if agent_cls is DQN:
            batch = test_dqn.samples(agent)
        else:
            batch = trajectories(agent, DISCRETE)
            batch = Batch({**batch.columns, **({PROBABILITY: np.full(8, 0.5)} if agent_cls is Impala else {})})
        tf.config.run_functions_eagerly(eagerly)
        try:
            agent.learn(batch)
            metrics = agent.learn(batch)
        finally:
            tf.config.run_functions_eagerly(False)
        results.append((metrics, agent._current_weights()))
    (traced, weights), (by_op, others) = results
    assert traced.keys() == by_op.keys()
    assert (PRIORITY in traced) == (agent_cls is not PPO)
    for name, value in traced.items():
        np.testing.assert_allclose(value, by_op[name], rtol=1e-4, atol=1e-5, err_msg=name)
    for name, value in weights.items():
        np.testing.assert_allclose(value, others[name], rtol=1e-4, atol=1e-6, err_msg=name)
