"""A mesh in a loop: vector environments, one Agent, trajectories as the mesh would sample them, a fixed policy lag."""

from __future__ import annotations

import time
from collections import deque
from typing import Any, NamedTuple

import numpy as np
from gymnasium.vector import VectorEnv

from kaimesh.contract.agent import BaseAgent
from kaimesh.contract.arrays import Batch
from kaimesh.contract.spaces import Spaces
from kaimesh.envs.translation import Translation


class Result(NamedTuple):
    """best: the highest mean return over 100 episodes; steps, seconds: when it was first at `goal`, or at the end."""

    best: float
    last: float
    steps: int
    seconds: float
    curve: list[float]


def spaces_of(envs: VectorEnv) -> Spaces:
    """The Spaces of Box observations and Discrete or Box actions."""
    obs, action = envs.single_observation_space, envs.single_action_space
    if hasattr(action, "n"):
        return Spaces(obs.shape, obs.dtype.str, "discrete", int(action.n))
    low, high = (tuple(float(x) for x in bound) for bound in (action.low, action.high))
    return Spaces(obs.shape, obs.dtype.str, "continuous", len(low), low, high)


class Collector:
    """Steps `envs` (NEXT_STEP autoreset) and cuts trajectories of T + 1 entries that overlap by one."""

    def __init__(self, envs: VectorEnv, agent: BaseAgent, seed: int) -> None:
        self._envs, self._agent = envs, agent
        spaces = envs.single_observation_space, envs.single_action_space
        self._translation = Translation(*spaces, "envs", unit_actions=agent.unit_actions)
        self._obs = envs.reset(seed=seed)[0]
        self._done = np.zeros(envs.num_envs, bool)
        self._carried: dict[str, np.ndarray] | None = None
        self._score = np.zeros(envs.num_envs)
        self.returns: deque[float] = deque(maxlen=100)
        self.episodes = 0

    def collect(self, length: int) -> Batch:
        """One trajectory per environment, columns `[B, T(+1), ...]`."""
        rows: dict[str, list[np.ndarray]] = {}
        for t in range(length + 1):
            if t == 0 and self._carried is not None:
                entry = self._carried
            else:
                entry = {"obs": self._obs.copy()}
                entry |= self._agent.predict(Batch(entry)).columns
            for name, value in entry.items():
                rows.setdefault(name, []).append(value)
            if t == length:
                self._carried = entry
                break
            for name, value in self._step(entry["action"]).items():
                rows.setdefault(name, []).append(value)
        return Batch({name: np.stack(column, 1) for name, column in rows.items()})

    def _step(self, action: np.ndarray) -> dict[str, np.ndarray]:
        mask = ~self._done
        self._obs, reward, terminated, truncated, _ = self._envs.step(self._translation.actions(action))
        self._score += np.where(mask, reward, 0)
        self._done = terminated | truncated
        for i in np.flatnonzero(self._done):
            self.returns.append(float(self._score[i]))
            self._score[i] = 0
            self.episodes += 1
        return {
            "reward": reward.astype(np.float32),
            "terminated": terminated.copy(),
            "truncated": truncated.copy(),
            "mask": mask,
        }


def train(
    agent_cls: Any, envs: VectorEnv, *, goal: float, max_steps: int, lag: int = 0, seed: int = 0, stop: bool = True
) -> Result:
    """Trains until the last 100 episodes average `goal`; acting uses weights that are `lag` learns old."""
    actor, learner = agent_cls("actor"), agent_cls("learner")
    spaces = spaces_of(envs)
    actor.setup(spaces)
    learner.setup(spaces)
    collector = Collector(envs, actor, seed)
    history = deque([learner._current_weights()], maxlen=lag + 1)
    steps, best, curve, start = 0, -np.inf, [], time.perf_counter()
    first: tuple[int, float] | None = None
    while steps < max_steps:
        actor._take(history[0], 0)
        batch = collector.collect(learner.unroll_length)
        learner.learn(batch)
        history.append(learner._current_weights())
        steps += envs.num_envs * learner.unroll_length
        if collector.episodes >= 100:
            mean = float(np.mean(collector.returns))
            best = max(best, mean)
            curve.append(mean)
            if mean >= goal and first is None:
                first = (steps, time.perf_counter() - start)
                if stop:
                    break
    return Result(best, float(np.mean(collector.returns)), *(first or (steps, time.perf_counter() - start)), curve)
