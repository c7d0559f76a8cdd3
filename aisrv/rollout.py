"""The vectorised workflow: steps one group of environments while the actor predicts for the other groups.

    time        ------------------------------------------>
    this thread   step A   step B   step A   step B   ...
    actor                  acts A   acts B   acts A   ...

Shape legend: N environments of one group, T steps of an unroll; `...` one observation.

A sample is one environment's unroll of T steps. Entry t of `reward`, `terminated`, `truncated` and `mask` `[T]` is the
result of action t. Observations and predictions have one entry more, `[T+1, ...]`: the last one is for bootstrapping,
and also the first one of the next unroll. Environments reset themselves in the *next* step, so obs[t+1] of a truncated
step t is the true final observation; the reset step itself is masked out. An episode whose environment failed in step t
(envs/renewal) is truncated by step t - 1; step t and the reset step after it are masked out. Stacked frames are stored
as single ones (kaimesh/contract/stacking). Of a recurrent network's state, a sample has the one before step 0
(kaimesh/contract/recurrence). With P > 1 players, `reward` is float32 `[T, P]`, `to_play` int8 `[T+1]` says who moves
at each observation, and an episode's score is the return of player 0; the meter has those of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from kaimesh.contract import stacking
from kaimesh.contract.agent import user_code
from kaimesh.contract.answers import added_columns, check_acts, samples_of
from kaimesh.contract.arrays import Batch
from kaimesh.contract.columns import ABORTED, ENDED, TO_PLAY, with_origin, with_run_id
from kaimesh.contract.errors import AgentError, ConfigError
from kaimesh.contract.guard import environment
from kaimesh.contract.recurrence import RecurrentState
from kaimesh.contract.user_agent import UserAgent
from kaimesh.contract.workflow import vectorised
from kaimesh.envs import MeshEnv
from kaimesh.process.meter import Meter

ENDLESS_STEPS = 30_000  # a warning is logged if a first episode has so many steps


class RolloutAgent(Protocol):
    """What a group needs of its agent, which is a kaimesh.aisrv.proxy.WorkflowAgent.

    on_policy: a newer model may predict after `learn`.
    """

    user: UserAgent
    on_policy: bool

    def send(self, batch: Batch) -> None:
        """Asks for predictions."""

    def receive(self) -> tuple[Batch, int]:
        """Act columns `[N, ...]`, valid until the next `receive`, and the model's version."""
        ...

    def learn(self, list_sample_data: Batch) -> None:
        """Takes samples, to learn from them."""


class Group:
    """N environments that are stepped together, and the unroll that is being filled.

    unroll_length: T, steps in a sample. seed: of the first reset; None: that with which the environments were made.
    first_slot: the number of the first environment among all `total_slots` of all aisrv. total_slots: 0: there are no
    others than these N.
    """

    def __init__(
        self,
        env: MeshEnv,
        agent: RolloutAgent,
        unroll_length: int,
        meter: Meter,
        run_id: int,
        seed: int | None = None,
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
            where = f"{user.name}.slot_columns"
            with user_code(f"aisrv: {where}"):
                constants = user.slotted.slot_columns(slots, total_slots or n)
            self._constants = added_columns(constants, n, where)
        self._run_id = run_id + np.arange(n, dtype=np.int64)
        self._t = 0
        self._done = np.zeros(n, bool)
        self._players = env.spaces.players
        seats = (self._players,) if self._players > 1 else ()
        self._return = np.zeros((n, *seats), np.float64)
        self._steps = np.zeros(n, np.int64)
        self._version = np.zeros(n, np.int64)  # of the model that predicted the unroll's first action
        self._latest = 0
        self._state = RecurrentState(user.recurrent, n)
        self._state_before = self._state.columns  # the states before the unroll's first step
        self._env_phase, self._predict_phase, self._send_phase = (meter.phase(p) for p in ("env", "predict", "send"))
        with environment("reset"):
            observation, _ = env.reset(seed=seed)
        self._stack = env.offers.frame_stack
        self._observed = self._observation_arrays(observation)
        self._predicted: dict[str, np.ndarray] = {}
        self._reward = np.zeros((n, unroll_length, *seats), np.float32)
        self._flags = {name: np.zeros((n, unroll_length), bool) for name in ("terminated", "truncated", "mask")}
        if user.collecting is not None:
            self._flags[ABORTED] = np.zeros((n, unroll_length), bool)
        self._ended = np.zeros(n, bool) if user.sees_ends else None
        self._request_acts(observation)

    def advance(self) -> int:
        """One step of every environment; before it, a full unroll is sent. Returns the number of steps without resets.

        receive acts t --> unroll full? send it --> step --> record step t --> send observation t + 1
        """
        with self._predict_phase:
            acts, version = self.agent.receive()
        self._write_prediction(acts, version)
        if self._t == self.length:
            with self._send_phase:
                unroll = self._unroll()
                self._t = 0  # these steps are sent, even if a stop ends `learn`: they are not `unfinished`
                self.agent.learn(unroll)
            self._carry_over()
            if self.agent.on_policy:  # the new model must predict the next unroll's first action
                self.agent.send(self._request())
                acts, version = self.agent.receive()
                self._write_prediction(acts, version)
        with self._env_phase, environment("step"):
            observation, reward, terminated, truncated, _ = self.env.step(self._predicted["action"][:, self._t])
        aborted = self.env.aborted
        if self._stack:
            self._check_stacks(observation[self._done if aborted is None else self._done & ~aborted])
        earned, score = (reward, self.env.true_rewards) if self._players == 1 else self._of_all()
        valid = self._record(earned, terminated, truncated, score)
        if ABORTED in self._flags:
            self._flags[ABORTED][:, self._t] = False if aborted is None else aborted
        if aborted is not None:
            valid -= self._cut(aborted)
        self._count_episodes()
        self._state.advance(~self._flags["mask"][:, self._t])
        if self._ended is not None:
            self._ended = self._flags["terminated"][:, self._t].copy()
        self._t += 1
        self._request_acts(observation)
        return valid

    @property
    def longest(self) -> int:
        """Steps so far of the longest unfinished episode."""
        return int(self._steps.max())

    @property
    def unfinished(self) -> int:
        """The number of steps, without resets, in the unroll that is being filled."""
        return int(np.count_nonzero(self._flags["mask"][:, : self._t]))

    def _observation_columns(self, observation: np.ndarray) -> dict[str, np.ndarray]:
        columns = {"obs": observation}
        legal = self.env.legal_actions
        if legal is not None:
            columns["legal_act"] = legal
        if self._players > 1:
            mover = self.env.to_play
            assert mover is not None, "it has several players"
            columns[TO_PLAY] = mover
        return columns

    def _of_all(self) -> tuple[np.ndarray, np.ndarray]:
        """What each player got by the newest step, as it is learned from and as it counts, float32 `[N, P]` each."""
        earned, score = self.env.earned, self.env.player_rewards
        assert earned is not None, "it has several players"
        assert score is not None, "it has several players"
        return earned, score

    def _observation_arrays(self, observation: np.ndarray) -> dict[str, np.ndarray]:
        """Empty arrays for the observations of an unroll."""
        columns = {}
        for name, c in self._observation_columns(observation).items():
            n, *shape = c.shape
            if name == "obs" and self._stack:
                columns[stacking.FRAMES] = np.zeros((n, self.length + self._stack, *shape[1:]), c.dtype)
            else:
                columns[name] = np.zeros((n, self.length + 1, *shape), c.dtype)
        return columns

    def _request_acts(self, observation: np.ndarray) -> None:
        self._current = self._observation_columns(observation)
        self._store_observation()
        self.agent.send(self._request())

    def _store_observation(self) -> None:
        """Writes the current observation as entry t of the unroll."""
        for name, column in self._current.items():
            if name == "obs" and self._stack:
                stacking.write(self._observed[stacking.FRAMES], self._t, column)
            else:
                self._observed[name][:, self._t] = column

    def _check_stacks(self, first: np.ndarray) -> None:
        """first: observations with which episodes begin. Raises ConfigError: their older frames are not zeros."""
        if first[:, :-1].any():
            raise ConfigError(
                "the environment names frame_stack in its metadata, but an episode's first observation holds older "
                "frames that are not zeros; the learner would see other frames than the actor. Fill them with zeros, "
                "or take frame_stack out."
            )

    def _request(self) -> Batch:
        columns = {name: np.ascontiguousarray(column) for name, column in self._current.items()}
        if self._ended is not None:
            columns[ENDED] = self._ended
        return with_run_id({**columns, **self._state.columns, **self._constants}, self._run_id)

    def _write_prediction(self, acts: Batch, version: int) -> None:
        acts = self._state.take(acts)
        if not self._predicted:
            check_acts(acts.columns, self.env.spaces, f"{self.agent.user.name}.predict")
            shape = (self.env.num_envs, self.length + 1)
            self._predicted = {name: np.zeros((*shape, *c.shape[1:]), c.dtype) for name, c in acts.columns.items()}
        for name, column in acts.columns.items():
            self._predicted[name][:, self._t] = column
        self._latest = version
        if self._t == 0:
            self._version[:] = version

    def _record(self, reward: np.ndarray, terminated: np.ndarray, truncated: np.ndarray, score: np.ndarray) -> int:
        """Stores step t. The step after the end of an episode is a reset and is not counted.

        score: the true reward, before any clipping; returns are sums of it. reward, score: `[N]`, or `[N, P]`. Returns
        the number of steps counted.
        """
        t, valid = self._t, ~self._done
        self._reward[:, t] = reward
        self._flags["terminated"][:, t] = terminated
        self._flags["truncated"][:, t] = truncated
        self._flags["mask"][:, t] = valid
        self._return += np.where(valid if score.ndim == 1 else valid[:, None], score, 0.0)
        self._steps += valid
        self._done = np.logical_or(terminated, truncated)
        return int(np.count_nonzero(valid))

    def _cut(self, aborted: np.ndarray) -> int:
        """Makes step t one that was not made in the slots `aborted`, bool `[N]`; returns how many were counted.

        The episode before it is truncated by step t - 1, so that nothing is carried on from the next episode. Where
        that step was in the unroll before, which is sent, it bootstraps from the same observation.
        """
        t, flags = self._t, self._flags
        counted = int(np.count_nonzero(flags["mask"][aborted, t]))
        flags["mask"][aborted, t] = flags["truncated"][aborted, t] = False
        if t:
            going_on = flags["mask"][:, t - 1] & ~flags["terminated"][:, t - 1]
            flags["truncated"][:, t - 1] |= aborted & going_on
        self._return[aborted] = 0.0
        self._steps[aborted] = 0
        return counted

    def _count_episodes(self) -> None:
        """Counts the episodes that ended with the newest step; one without a step, which was cut, is none."""
        if self._done.any():
            for i in np.flatnonzero(self._done & (self._steps > 0)):
                earned = self._return[i].reshape(-1)  # [P]
                self._meter.episode(earned[0], int(self._steps[i]), earned.tolist() if self._players > 1 else ())
            self._return[self._done] = 0.0
            self._steps[self._done] = 0

    def _unroll(self) -> Batch:
        observed = {**self._observed, **self._state_before}
        columns = {**observed, **self._predicted, "reward": self._reward, **self._flags}
        unrolls = with_origin(columns, self._version, self._run_id)
        if self._sampling is None:
            return unrolls
        where = f"{self.agent.user.name}.sample_of"
        with user_code(f"aisrv: {where}"):
            samples = self._sampling.sample_of(unrolls)
        return samples_of(samples, where)

    def _carry_over(self) -> None:
        """The last observation and prediction of an unroll are the first ones of the next."""
        self._store_observation()
        for column in self._predicted.values():
            column[:, 0] = column[:, self.length]
        self._version[:] = self._latest
        self._state_before = self._state.columns


@vectorised
def workflow(envs: Sequence[MeshEnv], agents: Sequence[RolloutAgent], logger: Any, monitor: Any) -> None:
    """Steps environments and sends samples until the mesh stops. `agents[i]` predicts for the group `envs[i]`.

    monitor: a kaimesh.aisrv.service.WorkflowMonitor.
    """
    meter = monitor.meter
    groups, slot = [], monitor.first_slot
    if meter.is_starting:
        meter.state("starting", f"the first reset of {sum(env.num_envs for env in envs)} environments")
    for env, agent in zip(envs, agents, strict=True):
        run_id = monitor.run_id + slot - monitor.first_slot  # each environment's is its own, however many a group has
        assert agent.user.vectorised is not None  # the service has checked it
        length = agent.user.vectorised.unroll_length
        groups.append(Group(env, agent, length, meter, run_id, None, slot, monitor.total_slots))
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
                    "an episode has had %d steps and no end; a return is only known once an episode ends. Set "
                    "max_episode_steps if this environment does not end by itself",
                    ENDLESS_STEPS,
                )
    finally:  # steps that no sample will contain
        meter.count("env_steps_unfinished", sum(group.unfinished for group in groups) + _open_steps(agents))


def _open_steps(agents: Sequence[RolloutAgent]) -> int:
    """The steps that the groups' agent, one for all of them, keeps for later samples."""
    user = agents[0].user
    if user.collecting is None:
        return 0
    where = f"{user.name}.open_steps"
    with user_code(f"aisrv: {where}"):
        steps = user.collecting.open_steps()
    if not isinstance(steps, int | np.integer) or steps < 0:
        raise AgentError(
            f"{where} returned {steps!r}, which is no number of steps to count. Return an int of 0 or more."
        )
    return int(steps)
