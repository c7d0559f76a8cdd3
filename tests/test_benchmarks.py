"""What benchmarks count, against samples themselves."""

from __future__ import annotations

import numpy as np
import pytest

import envs
from aisrv.rollout import Direct, Group
from benchmarks.train import transition_bytes
from kaimesh import frames
from kaimesh.arrays import Batch
from kaimesh.cli.start import DEFAULT_CONF
from kaimesh.config import load
from kaimesh.metrics import Meter


class Still:
    """An agent that always does the same."""

    train_count = 0

    def __init__(self, length: int) -> None:
        self.unroll_length = length
        self.samples: list[Batch] = []

    def predict(self, batch: Batch) -> Batch:
        return Batch({"action": np.zeros(len(batch), np.int32), "value": np.zeros(len(batch), np.float32)})


class Keeper(Direct):
    def learn(self, samples: Batch) -> None:
        self._agent.samples.append(samples.take(np.arange(len(samples))))  # a copy


@pytest.mark.parametrize(("app", "smaller"), [("ale:pong", 3.4), ("gym:CartPole-v1", 1.0)])
def test_bytes_of_a_transition_with_frames_and_with_stacks(app, smaller):
    config = load(DEFAULT_CONF, {"app": app, "algo": "impala"})
    agent = Still(20)
    env = envs.make_vector(app, 2, seed=1)
    group = Group(env, Keeper(agent), agent.unroll_length, Meter("aisrv_0"), run_id=0, seed=1)
    steps = sum(group.advance() for _ in range(21))
    env.close()
    unfinished = group.unfinished
    (sample,) = agent.samples
    statuses = {
        "aisrv_0": {
            "counters": {"env_steps": steps, "env_steps_unfinished": unfinished, "samples_made": 2},
            "gauges": {},
        },
        "buffer_0": {"counters": {}, "gauges": {"sample_bytes": float(sample.specs.row_bytes)}},
    }
    found = transition_bytes(config, statuses)
    valid = int(sample.mask.sum())
    assert found["bytes_per_transition"] == 2 * sample.specs.row_bytes / valid
    assert found["bytes_with_stacks"] == 2 * frames.restored(sample).specs.row_bytes / valid
    assert found["bytes_with_stacks"] >= smaller * found["bytes_per_transition"]
