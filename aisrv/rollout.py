"""The vectorised workflow: groups of environments, stepped in turn while the other groups' predictions travel.

Shape legend: N environments of one group, T steps of an unroll; `...` one observation.

A sample is one environment's unroll of T steps: entry t of `reward`, `terminated`, `truncated` and `mask` `[T]` is what
action t led to; observations and predictions have one entry more, `[T+1, ...]`, whose last is the bootstrap and the
first of the next unroll. Environments autoreset on the *next* step, so obs[t+1] of a truncated step t is the true final
observation; the reset step itself is masked out. Stacked frames travel as single ones, see kaimesh/contract/stacking;
of a recurrent network's state the sample has the one before step 0, see kaimesh/contract/recurrence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import gymnasium as gym
import numpy as np

from kaimesh.aisrv.guard import environment
from kaimesh.contract import stacking
from kaimesh.contract.agent import user_code
from kaimesh.contract.arrays import Batch
from kaimesh.contract.columns import with_origin, with_run_id
from kaimesh.contract.errors import ConfigError
from kaimesh.contract.recurrence import RecurrentState
from kaimesh.contract.user_agent import UserAgent
from kaimesh.contract.workflow import vectorised
from kaimesh.process.meter import Meter

ENDLESS_STEPS = 30_000  # of one episode, from the start on: then somebody should know


class Rolling(Protocol):
    """What a group needs of its agent: kaimesh.aisrv.proxy.WorkflowAgent.

    on_policy: `learn` may return with a new model.
    """

    user: UserAgent
    on_policy: bool

    def send(self, batch: Batch) -> None:
        """Asks for predictions."""

    def receive(self) -> tuple[Batch, int]:
        """Act columns `[N, ...]`, valid until the next `receive`, and the model's version."""
        ...

    def learn(self, list_sample_data: Batch) -> None:
        """Takes samples away."""


class Group:
    """N environments and their unroll under way.

    unroll_length: T, steps in a sample. first_slot: number of the first environment among the `total_slots` of all
    aisrv; 0: these are all.
    """

    def __init__(
        self,
        env: gym.vector.VectorEnv,
        agent: Rolling,
        unroll_length: int,
        meter: Meter,
        run_id: int,
        seed: int,
        first_slot: int = 0,
        total_slots: int = 0,
    ) -> None:
        self.env, self.agent, self.length, self._meter = env, agent, unroll_length, meter
        n = env.num_envs
        slots = first_slot + np.arange(n)
        user = agent.user
        self._sampling = user.sampling
        self._constants: dict[str, np.ndarray] = {}
        if user.slotted is not None:
            with user_code("aisrv: Agent.slot_columns"):
                self._constants = dict(user.slotted.slot_columns(slots, total_slots or n))
        self._run_id = run_id + np.arange(n, dtype=np.int64)
        self._t = 0
        self._done = np.zeros(n, bool)
        self._return = np.zeros(n, np.float64)
        self._steps = np.zeros(n, np.int64)
        self._version = np.zeros(n, np.int64)  # of the unroll's first action
        self._latest = 0
        self._state = RecurrentState(user.recurrent, n)
        self._state_before = self._state.columns  # of the unroll's first step
        self._env_phase, self._predict_phase, self._send_phase = (meter.phase(p) for p in ("env", "predict", "send"))
        with environment("reset"):
            observation, _ = env.reset(seed=seed)
        self._stack: int = getattr(env, "frame_stack", 0)
        self._observed = self._memory(observation)
        self._predicted: dict[str, np.ndarray] = {}
        self._reward = np.zeros((n, unroll_length), np.float32)
        self._flags = {name: np.zeros((n, unroll_length), bool) for name in ("terminated", "truncated", "mask")}
        self._ask(observation)

    def advance(self) -> int:
        """One step of every environment; a full unroll goes out on the way. Returns the valid environment steps."""
        with self._predict_phase:
            acts, version = self.agent.receive()
        self._write_prediction(acts, version)
        if self._t == self.length:
            with self._send_phase:
                unroll = self._unroll()
                self._t = 0  # it is `learn`'s from here on, also where the stop ends that
                self.agent.learn(unroll)
            self._carry_over()
            if self.agent.on_policy:  # the next unroll's first action must be the new model's
                self.agent.send(self._request())
                acts, version = self.agent.receive()
                self._write_prediction(acts, version)
        with self._env_phase, environment("step"):
            observation, reward, terminated, truncated, _ = self.env.step(self._predicted["action"][:, self._t])
        if self._stack:
            self._check_stacks(observation[self._done])
        valid = self._record(reward, terminated, truncated, getattr(self.env, "true_rewards", reward))
        self._state.advance(~self._flags["mask"][:, self._t])
        self._t += 1
        self._ask(observation)
        return valid

    @property
    def longest(self) -> int:
        """Steps of the longest episode under way."""
        return int(self._steps.max())

    @property
    def unfinished(self) -> int:
        """Valid environment steps of the unroll under way, which nobody has yet."""
        return int(np.count_nonzero(self._flags["mask"][:, : self._t]))

    def _see(self, observation: np.ndarray) -> dict[str, np.ndarray]:
        columns = {"obs": observation}
        legal = getattr(self.env, "legal_actions", None)
        if legal is not None:
            columns["legal_act"] = legal
        return columns

    def _memory(self, observation: np.ndarray) -> dict[str, np.ndarray]:
        """What `_store` writes an unroll's observations to."""
        columns = {}
        for name, c in self._see(observation).items():
            n, *shape = c.shape
            if name == "obs" and self._stack:
                columns[stacking.FRAMES] = np.zeros((n, self.length + self._stack, *shape[1:]), c.dtype)
            else:
                columns[name] = np.zeros((n, self.length + 1, *shape), c.dtype)
        return columns

    def _ask(self, observation: np.ndarray) -> None:
        self._seen = self._see(observation)
        self._store()
        self.agent.send(self._request())

    def _store(self) -> None:
        """Writes what is seen as observation t."""
        for name, column in self._seen.items():
            if name == "obs" and self._stack:
                stacking.write(self._observed[stacking.FRAMES], self._t, column)
            else:
                self._observed[name][:, self._t] = column

    def _check_stacks(self, first: np.ndarray) -> None:
        """first: the first observations of episodes."""
        if first[:, :-1].any():
            raise ConfigError(
                "the environment names frame_stack in its metadata, but an episode's first observation holds older frames that are "
                "not zeros; the learner would see others than the actor. Fill them with zeros, or take frame_stack out."
            )

    def _request(self) -> Batch:
        columns = {name: np.ascontiguousarray(column) for name, column in self._seen.items()}
        return with_run_id({**columns, **self._state.columns, **self._constants}, self._run_id)

    def _write_prediction(self, acts: Batch, version: int) -> None:
        acts = self._state.take(acts)
        if not self._predicted:
            shape = (self.env.num_envs, self.length + 1)
            self._predicted = {name: np.zeros((*shape, *c.shape[1:]), c.dtype) for name, c in acts.columns.items()}
        for name, column in acts.columns.items():
            self._predicted[name][:, self._t] = column
        self._latest = version
        if self._t == 0:
            self._version[:] = version

    def _record(self, reward: np.ndarray, terminated: np.ndarray, truncated: np.ndarray, score: np.ndarray) -> int:
        """Stores step t and keeps the episodes' books; a step after the end of an episode is its reset and counts
        nothing.

        score: the reward before any clipping, which returns are the sum of.
        """
        t, valid = self._t, ~self._done
        self._reward[:, t] = reward
        self._flags["terminated"][:, t] = terminated
        self._flags["truncated"][:, t] = truncated
        self._flags["mask"][:, t] = valid
        self._return += np.where(valid, score, 0.0)
        self._steps += valid
        self._done = np.logical_or(terminated, truncated)
        if self._done.any():
            for i in np.flatnonzero(self._done):
                self._meter.episode(self._return[i], int(self._steps[i]))
            self._return[self._done] = 0.0
            self._steps[self._done] = 0
        return int(np.count_nonzero(valid))

    def _unroll(self) -> Batch:
        observed = {**self._observed, **self._state_before}
        columns = {**observed, **self._predicted, "reward": self._reward, **self._flags}
        unrolls = with_origin(columns, self._version, self._run_id)
        if self._sampling is None:
            return unrolls
        with user_code("aisrv: Agent.sample_of"):
            return self._sampling.sample_of(unrolls)

    def _carry_over(self) -> None:
        self._store()
        for column in self._predicted.values():
            column[:, 0] = column[:, self.length]
        self._version[:] = self._latest
        self._state_before = self._state.columns


@vectorised
def workflow(envs: Sequence[gym.vector.VectorEnv], agents: Sequence[Rolling], logger: Any, monitor: Any) -> None:
    """Rolls out until the mesh stops. `agents[i]` predicts for the group `envs[i]`.

    monitor: kaimesh.aisrv.service.WorkflowMonitor, for the meter, the stop event, the seed and the slots' numbers.
    """
    meter = monitor.meter
    groups, slot = [], monitor.first_slot
    if meter.is_starting:
        meter.state("starting", f"the first reset of {sum(env.num_envs for env in envs)} environments")
    for i, (env, agent) in enumerate(zip(envs, agents, strict=True)):
        run_id, seed = monitor.run_id + 1000 * i, monitor.seed + 1000 * i
        assert agent.user.vectorised is not None  # or the service had refused it
        length = agent.user.vectorised.unroll_length
        groups.append(Group(env, agent, length, meter, run_id, seed, slot, monitor.total_slots))
        slot += env.num_envs
    logger.info(
        "rolling out %s environments in %d groups, unrolls of %d steps",
        "+".join(str(group.env.num_envs) for group in groups),
        len(groups),
        groups[0].length,
    )
    meter.state("working")
    turns = 0
    try:
        while not monitor.stop.is_set():
            for group in groups:
                meter.count("env_steps", group.advance())
            meter.beat()
            turns += 1
            if turns == ENDLESS_STEPS and max(group.longest for group in groups) >= ENDLESS_STEPS:
                logger.warning(
                    "an episode has had %d steps and no end; a return is known only once an episode ends. Set max_episode_steps "
                    "if this environment does not end by itself",
                    ENDLESS_STEPS,
                )
    finally:  # steps that were made and will never be learned from
        meter.count("env_steps_unfinished", sum(group.unfinished for group in groups))
