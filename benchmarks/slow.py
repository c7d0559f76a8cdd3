"""IMPALA, with a pause in each learn or each environment step; benchmarks/slow.toml is its registry of algorithms."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from kaimesh.aisrv import rollout
from kaimesh.algorithms.impala import agent, config
from kaimesh.contract.arrays import Batch
from kaimesh.contract.workflow import vectorised


@dataclass(frozen=True, kw_only=True)
class Config(config.Config):
    """IMPALA's hyper-parameters, and the pauses."""

    learn_seconds: float = 0.0  # added to each learn
    step_seconds: float = 0.0  # added to each step of a group of environments


class Agent(agent.Agent):
    """IMPALA whose learner takes its time."""

    algorithm = replace(agent.ALGORITHM, config=Config)

    def learn(self, list_sample_data: Batch) -> dict[str, float]:
        """As IMPALA's, and later."""
        time.sleep(self.config.learn_seconds)
        return super().learn(list_sample_data)


class SlowEnv:
    """A group of environments whose step takes `seconds` longer, and else is what it was."""

    def __init__(self, env: VectorEnv, seconds: float) -> None:
        self._env, self._seconds = env, seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """As the environments', and later."""
        time.sleep(self._seconds)
        return self._env.step(actions)


@vectorised
def workflow(envs: Sequence[VectorEnv], agents: Sequence[Any], logger: Any, monitor: Any) -> None:
    """The rollout on slow environments."""
    slow: list[Any] = [SlowEnv(env, agents[0].config.step_seconds) for env in envs]
    rollout.workflow(slow, agents, logger, monitor)
