"""Plays episodes with a trained model, for vectorised and for Kaiwu-style workflows.

Every episode has its own environment and its own seed. So the results do not depend on how many episodes are played at
the same time, two models play the same episodes, long episodes count as much as short ones, and each can be repeated
from its seed and actions. Shape legend: B episodes that are played at the same time; T steps; A numbers per action.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np

from kaimesh.contract.agent import user_code
from kaimesh.contract.answers import added_columns, check_acts, check_answered
from kaimesh.contract.arrays import Batch, Columns, Specs
from kaimesh.contract.guard import environment
from kaimesh.contract.kaiwu import KaiwuEnv
from kaimesh.contract.predicting import Predictor
from kaimesh.contract.recurrence import RecurrentState
from kaimesh.contract.spaces import Spaces
from kaimesh.contract.structs import protocol
from kaimesh.contract.user_agent import UserAgent
from kaimesh.envs import MeshEnv

# Episodes at the same time; also the rows of a padded batch, since a network's rounding may depend on them
AT_ONCE = 32

Report = Mapping[str, float]  # an environment's own numbers about an episode, see envs.episode_report


class Episode(NamedTuple):
    """An episode that was played.

    seed: of its only reset. score: its return, in the environment's true rewards. actions: as the agent returned them,
    int64 `[T]` or float32 `[T, A]`. report: the environment's own numbers about it. cut: True: it was ended because it
    had the most steps allowed.
    """

    seed: int
    score: float
    actions: np.ndarray
    report: Report
    cut: bool = False

    @property
    def length(self) -> int:
        """Steps."""
        return len(self.actions)


class Play(Protocol):
    """An episode that is being played."""

    def step(self, action: Any) -> bool:
        """Makes a step with the agent's action; returns whether the episode is over."""

    def episode(self) -> Episode:
        """The episode so far."""

    def close(self) -> None:
        """Closes the environment."""


class Player(Protocol):
    """Starts episodes, and asks the agent for actions in many of them at the same time."""

    def start(self, seed: int) -> Any:
        """Starts an episode: a Play."""

    def act(self, plays: Sequence[Any]) -> Sequence[Any]:
        """The agent's action for each of `plays`, which `start` returned."""


Watch = Callable[[Sequence[int]], None]  # called after every step with the steps so far of each unfinished episode


def play(
    player: Player, seeds: Sequence[int], most_steps: int = 0, watch: Watch = lambda steps: None
) -> Iterator[Episode]:
    """Plays an episode for every seed, AT_ONCE of them at the same time; yields each one when it is over.

    most_steps: an episode is cut after so many steps; 0: never.
    """
    waiting = iter(seeds)
    playing: list[Play] = []
    steps: list[int] = []
    try:
        while True:
            while len(playing) < AT_ONCE and (seed := next(waiting, None)) is not None:
                playing.append(player.start(seed))
                steps.append(0)
            if not playing:
                return
            over = [one.step(action) for one, action in zip(playing, player.act(playing), strict=True)]
            steps = [count + 1 for count in steps]
            watch(steps)
            cut = [not is_over and count == most_steps for is_over, count in zip(over, steps, strict=True)]
            ending = [k for k in range(len(playing)) if over[k] or cut[k]]
            finished = [playing[k].episode()._replace(cut=cut[k]) for k in ending]
            for k in reversed(ending):
                steps.pop(k)
                playing.pop(k).close()
            yield from finished
    finally:
        for one in playing:
            one.close()


class VectorisedPlay:
    """Plays an episode in a vector environment of one slot.

    env: an envs.MeshEnv, which the agent's features may wrap. state: the agent's recurrent state of one slot.
    constants: columns `[1, ...]` that each observation has besides. returns: what each player has got so far, `[P]`.
    """

    def __init__(
        self,
        env: MeshEnv,
        seed: int,
        report: Callable[[MeshEnv], Report],
        state: RecurrentState,
        constants: Mapping[str, np.ndarray] = MappingProxyType({}),
    ) -> None:
        self.env, self._seed, self._report, self._constants = env, seed, report, constants
        self._state = state
        self.restart(seed)

    def restart(self, seed: int) -> None:
        """Another episode."""
        self._state.restart()
        self._seed, self._score = seed, 0.0
        self._actions: list[np.ndarray] = []
        with environment("reset"):
            self._observation, _ = self.env.reset(seed=seed)
        shared = self.env.player_rewards
        self.returns = np.zeros(1 if shared is None else shared.shape[1])

    @property
    def spaces(self) -> Spaces:
        """The environment's."""
        return self.env.spaces

    @property
    def to_play(self) -> int:
        """Who is to move, 0..P - 1."""
        return 0 if self.env.to_play is None else int(self.env.to_play[0])

    @property
    def length(self) -> int:
        """Steps so far."""
        return len(self._actions)

    @property
    def memory(self) -> Columns:
        """The agent's recurrent state before the current observation, columns `[1, ...]`; a search through a game may
        put back an earlier one."""
        return self._state.columns

    @memory.setter
    def memory(self, columns: Columns) -> None:
        self._state.columns = columns

    def row(self) -> dict[str, np.ndarray]:
        """The columns of one observation, each with a leading axis of 1."""
        legal = {} if self.env.legal_actions is None else {"legal_act": self.env.legal_actions}
        mover = {} if self.env.to_play is None else {"to_play": self.env.to_play}
        return {"obs": self._observation, **legal, **mover, **self._state.columns, **self._constants}

    def legal(self) -> np.ndarray:
        """The numbers of the actions that are allowed now, int64."""
        allowed = self.env.legal_actions
        return np.arange(self.spaces.action_size) if allowed is None else np.flatnonzero(allowed[0])

    def step(self, act: Batch) -> bool:
        """See Play. act: the agent's answer, one row."""
        action = self._state.take(act).columns["action"][0].copy()  # a number, or [A]
        self._state.advance(np.zeros(1, bool))
        return self.follow(action)

    def follow(self, action: np.ndarray | int) -> bool:
        """A step with any action, a number or `[A]`; returns whether the episode is over."""
        self._actions.append(made := np.asarray(action))
        with environment("step"):
            self._observation, _, terminated, truncated, _ = self.env.step(made[None])
        self._score += float(self.env.true_rewards[0])
        self.returns += self.env.true_rewards if self.env.player_rewards is None else self.env.player_rewards[0]
        return bool(terminated[0] or truncated[0])

    def episode(self) -> Episode:
        """See Play."""
        return Episode(self._seed, self._score, _recorded(self._actions), self._report(self.env))

    def close(self) -> None:
        """See Play."""
        self.env.close()


class Vectorised:
    """A Player for a vectorised agent.

    make: makes an environment of one slot. report: the environment's own numbers about an episode that is over.
    sampled_slots: 0: acts by `exploit`; above 0: by `predict`, each episode as one of so many slots of a training.
    """

    def __init__(
        self,
        user: UserAgent,
        make: Callable[[], MeshEnv],
        report: Callable[[MeshEnv], Report],
        *,
        sampled_slots: int = 0,
    ) -> None:
        self._user, self._make, self._report, self._slots = user, make, report, sampled_slots
        self._where = f"{user.name}.{_method(sampled_slots > 0)}"
        self._predictor = Predictor(user)

    def start(self, seed: int) -> VectorisedPlay:
        """See Player."""
        state = RecurrentState(self._user.recurrent, 1)
        return VectorisedPlay(self._make(), seed, self._report, state, self._constants(seed))

    def act(self, plays: Sequence[VectorisedPlay]) -> list[Batch]:
        """See Player."""
        batch = Batch.concatenate([Batch(one.row()) for one in plays])
        acts = self._predictor.answer(_padded(batch, self._user), len(batch), exploit=not self._slots)
        check_acts(acts.columns, plays[0].spaces, self._where)
        return [acts[i : i + 1] for i in range(len(plays))]

    def _constants(self, seed: int) -> Columns:
        """What `predict` sees of its slot, such as how much this slot explores: seeds in a row take slots in turn."""
        if not self._slots or self._user.slotted is None:
            return {}
        where = f"{self._user.name}.slot_columns"
        with user_code(where):
            columns = self._user.slotted.slot_columns(np.array([seed % self._slots]), self._slots)
        return added_columns(columns, 1, where)


class KaiwuPlay:
    """Plays an episode in an environment as Kaiwu's workflows see it (contract/kaiwu)."""

    def __init__(self, facade: KaiwuEnv, seed: int, report: Callable[[Any], Report]) -> None:
        self._facade, self._seed, self._report = facade, seed, report
        self._actions: list[np.ndarray] = []
        with environment("reset"):
            self.raw_obs = facade.reset()

    def step(self, act: Any) -> bool:
        """See Play. act: an action for KaiwuEnv.step."""
        flat = np.ravel(np.asarray(act))
        self._actions.append(flat if self._facade.spaces.action_kind == "continuous" else flat[0])
        with environment("step"):
            _, self.raw_obs, _, terminated, truncated, _ = self._facade.step(act)
        return bool(terminated or truncated)

    def episode(self) -> Episode:
        """See Play."""
        return Episode(self._seed, float(self._facade.score), _recorded(self._actions), self._report(self._facade.env))

    def close(self) -> None:
        """See Play."""
        self._facade.close()


class Kaiwu:
    """A Player for a Kaiwu-style agent: calls observation_process, exploit, action_process.

    make: makes a facade whose first reset has the given seed. report: see Vectorised. sampled: calls `predict` in place
    of `exploit`.
    """

    def __init__(
        self,
        user: UserAgent,
        make: Callable[[int], KaiwuEnv],
        report: Callable[[Any], Report],
        *,
        sampled: bool = False,
    ) -> None:
        self._user, self._make, self._report = user, make, report
        self._where = f"Agent.{_method(sampled)}"
        self._sampled = sampled
        self._observe: Callable[[Any], Any] = user.observe or (lambda raw_obs: raw_obs)
        self._act: Callable[[Any], Any] = user.act or (lambda act_data: act_data.action)
        self._specs: Specs | None = None

    def start(self, seed: int) -> KaiwuPlay:
        """See Player."""
        return KaiwuPlay(self._make(seed), seed, self._report)

    def act(self, plays: Sequence[KaiwuPlay]) -> list[Any]:
        """See Player."""
        with user_code("observation_process"):
            rows = [self._observe(one.raw_obs) for one in plays]
        choose = self._user.agent.predict if self._sampled else self._user.agent.exploit
        if self._user.foreign:
            acts = [self._alone(choose, row) for row in rows]
        else:
            self._specs = self._specs or Specs.of_object(rows[0])
            batch = Batch(Batch.of(rows, self._specs).columns, protocol("ObsData"))
            with user_code(self._where):
                acts = _acts(choose(_padded(batch, self._user)))
        with user_code("action_process"):
            return [self._act(acts[i]) for i in range(len(plays))]

    def _alone(self, choose: Callable[[Any], Any], row: Any) -> Any:
        """The answer to one observation, given as it is: a foreign agent may read no other."""
        with user_code(self._where):
            acts = _acts(choose([row]))
            check_answered(acts, self._where)
            return acts[0]


def _acts(answer: Any) -> Any:
    return answer[0] if isinstance(answer, tuple) else answer  # (list, model version) in generation G2


def _method(sampled: bool) -> str:
    return "predict" if sampled else "exploit"


def _padded(batch: Batch, user: UserAgent) -> Batch:
    """`batch`; for an agent with pad_batches, its rows repeated up to AT_ONCE rows, so that the size never changes."""
    if not user.pad_batches:
        return batch
    return batch.take(np.arange(AT_ONCE) % len(batch))


def _recorded(actions: Sequence[np.ndarray]) -> np.ndarray:
    stacked = np.stack(actions)
    recorded: np.ndarray = stacked.astype(np.int64 if stacked.ndim == 1 else np.float32)
    return recorded
