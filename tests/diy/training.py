"""The workflow with one environment and the agent itself in this process."""

from __future__ import annotations

import numpy as np
import pytest

from diy.algorithm.agent import Agent
from diy.train_workflow import workflow
from kaimesh import envs
from kaimesh.contract.errors import Stopped


class Watched:
    """A facade that remembers finished episodes and stops the workflow when `enough` says so."""

    def __init__(self, facade, enough):
        self._facade, self._enough = facade, enough
        self.returns = []
        self.steps = 0

    def __getattr__(self, name):
        return getattr(self._facade, name)

    def reset(self, *args):
        if self._enough(self):
            raise Stopped
        return self._facade.reset(*args)

    def step(self, act):
        result = self._facade.step(act)
        self.steps += 1
        if result[3] or result[4]:
            self.returns.append(self._facade.score)
        return result


def train(app, enough, seed=1, env_conf=None):
    """Trains one environment until `enough(watched)`; returns it and the agent."""
    env, agent = Watched(envs.facade(app, seed=seed, env_conf=env_conf), enough), Agent("learner")
    agent.setup(env.spaces)
    agent._rng = np.random.default_rng(seed)  # its own depends on the process's id
    with pytest.raises(Stopped):
        workflow([env], [agent])
    return env, agent
