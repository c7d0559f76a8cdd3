"""IMPALA learns with fewer env steps where half of each batch is replayed: in one loop, with a fixed policy lag."""

from __future__ import annotations

from collections import deque
from functools import partial

import gymnasium
import numpy as np
import pytest

from kaimesh.algorithms.impala.agent import Agent
from kaimesh.algorithms.impala.config import Config
from kaimesh.buffer.drawing.assemble import InOrder
from kaimesh.contract.arrays import Batch
from kaimesh.contract.columns import KEY, PRIORITY, REPLAYED
from kaimesh.learner.replay_share import ReplayShare
from kaimesh.process.meter import Meter
from tests.algorithms.serial_training import Collector, spaces_of

B, LAG = 32, 8
MOST_STEPS = 1_000_000


def steps_to_475(fresh: int, exponent: float) -> int:
    """Env steps until the last 100 episodes of CartPole average 475, with `fresh` new trajectories of B in a batch."""
    cls = partial(Agent, config=Config(seed=1, reward_scale=0.05))
    envs = gymnasium.make_vec("CartPole-v1", num_envs=fresh, vectorization_mode="vector_entry_point")
    actor, learner = cls("actor"), cls("learner")
    for agent in (actor, learner):
        agent.setup(spaces_of(envs))
    collector, order, steps = Collector(envs, actor, seed=1), None, 0
    versions = deque([learner._current_weights()], maxlen=LAG + 1)
    while len(collector.returns) < 100 or np.mean(collector.returns) < 475:
        actor._take(versions[0], 0)
        batch = collector.collect(learner.unroll_length)
        steps += fresh * learner.unroll_length
        assert steps < MOST_STEPS
        if order is None:
            own = {"capacity": 1000, "exponent": exponent, "prioritised": True, "seed": 1, "meter": Meter("learner_0")}
            share = ReplayShare(batch.specs, batch_size=B, fresh=fresh, **own)
            order = InOrder(batch.specs, B, share=share if fresh < B else None)
        rows = {name: column[:, None] for name, column in batch.columns.items()}
        for mixed in order.feed(rows, np.ones(fresh, np.int64)):
            metrics = learner.learn(
                Batch({name: column for name, column in mixed.columns.items() if name not in (KEY, REPLAYED)})
            )
            if PRIORITY in metrics:
                share.prioritise(mixed, metrics[PRIORITY])
            versions.append(learner._current_weights())
    return steps


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_half_of_each_batch_replayed_by_priorities_takes_fewer_steps() -> None:
    found = {
        "fresh": steps_to_475(B, 0.0),
        "uniform": steps_to_475(B // 2, 0.0),
        "prioritised": steps_to_475(B // 2, 0.6),
    }
    print(found)
    assert found["prioritised"] < found["uniform"] < found["fresh"], found
