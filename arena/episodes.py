"""Playing episodes with a trained model, for vectorised and for Kaiwu-style agents.

Every episode has an environment of its own and a seed of its own. So what comes out does not depend on how many play at
once, two models meet the same episodes, short ones have no advantage, and each can be played again from its seed and
actions. Shape legend: B episodes that play at the same time; A numbers per action.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from kaimesh.contract.agent import user_code
from kaimesh.contract.arrays import Batch, Specs
from kaimesh.contract.predicting import Predictor
from kaimesh.contract.recurrence import RecurrentState
from kaimesh.contract.structs import protocol
from kaimesh.contract.user_agent import UserAgent

AT_ONCE = 32  # episodes, and rows of a prediction: a network's rounding may depend on their number

Report = Mapping[str, float]  # an environment's own numbers about an episode, see envs.episode_report


class Episode(NamedTuple):
    """seed: of its only reset. score: the return, in the environment's true rewards. actions: as the agent gave them,
    int64 `[T]` or float32 `[T, A]`. report: what the environment says of it. cut: it had not ended when it had as many
    steps as one may have.
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
    """An episode under way: what `play` drives."""

    def step(self, action: Any) -> bool:
        """Goes on with what the agent answered; whether the episode is over."""

    def episode(self) -> Episode:
        """The episode, when it is over."""

    def close(self) -> None:
        """Ends the environment."""


class Player(Protocol):
    """Starts episodes, and acts in many of them at the same time."""

    def start(self, seed: int) -> Any:
        """A Play."""

    def act(self, plays: Sequence[Any]) -> Sequence[Any]:
        """What the agent does in each of `plays`, which `start` made."""


Watch = Callable[[Sequence[int]], None]  # told after every step how many each episode under way has


def play(
    player: Player, seeds: Sequence[int], most_steps: int = 0, watch: Watch = lambda steps: None
) -> Iterator[Episode]:
    """Plays an episode for every seed, AT_ONCE of them at the same time; yields each when it is over.

    most_steps: after so many an episode is cut, and says so; 0: never.
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
    """One slot of a vector environment, env.MeshVectorEnv or what an agent's features make of it.

    state: of the agent, for one slot.
    """

    def __init__(self, env: Any, seed: int, report: Callable[[Any], Report], state: RecurrentState) -> None:
        self._env, self._seed, self._report = env, seed, report
        self._actions: list[np.ndarray] = []
        self._score = 0.0
        self._state = state
        self._observation, _ = env.reset(seed=seed)

    def row(self) -> dict[str, np.ndarray]:
        """The columns of one observation, each with a leading axis of 1."""
        legal = {} if self._env.legal_actions is None else {"legal_act": self._env.legal_actions}
        return {"obs": self._observation, **legal, **self._state.columns}

    def step(self, act: Batch) -> bool:
        """act: the agent's answer, of one row."""
        action = self._state.take(act).columns["action"][0].copy()  # a number, or [A]
        self._state.advance(np.zeros(1, bool))
        self._actions.append(action)
        self._observation, _, terminated, truncated, _ = self._env.step(action[None])
        self._score += float(self._env.true_rewards[0])
        return bool(terminated[0] or truncated[0])

    def episode(self) -> Episode:
        """As Play's."""
        return Episode(self._seed, self._score, _recorded(self._actions), self._report(self._env))

    def close(self) -> None:
        """As Play's."""
        self._env.close()


class Vectorised:
    """Plays with a vectorised agent.

    make: makes one slot. report: what an environment says of an episode that is over.
    """

    def __init__(self, user: UserAgent, make: Callable[[], Any], report: Callable[[Any], Report]) -> None:
        self._user, self._make, self._report = user, make, report
        self._predictor = Predictor(user, "evaluate")

    def start(self, seed: int) -> VectorisedPlay:
        """As Player's."""
        return VectorisedPlay(self._make(), seed, self._report, RecurrentState(self._user.recurrent, 1))

    def act(self, plays: Sequence[VectorisedPlay]) -> list[Batch]:
        """As Player's."""
        batch = Batch.concatenate([Batch(one.row()) for one in plays])
        acts = self._predictor.answer(_padded(batch, self._user), len(batch), exploit=True)
        return [acts[i : i + 1] for i in range(len(plays))]


class KaiwuPlay:
    """One environment as Kaiwu's workflows see it (generation G1)."""

    def __init__(self, facade: Any, seed: int, report: Callable[[Any], Report]) -> None:
        self._facade, self._seed, self._report = facade, seed, report
        self._actions: list[np.ndarray] = []
        self.raw_obs = facade.reset()

    def step(self, act: Any) -> bool:
        """act: what the environment's `step` takes."""
        flat = np.ravel(np.asarray(act))
        self._actions.append(flat if self._facade.spaces.action_kind == "continuous" else flat[0])
        _, self.raw_obs, _, terminated, truncated, _ = self._facade.step(act)
        return bool(terminated or truncated)

    def episode(self) -> Episode:
        """As Play's."""
        return Episode(self._seed, float(self._facade.score), _recorded(self._actions), self._report(self._facade.env))

    def close(self) -> None:
        """As Play's."""
        self._facade.close()


class Kaiwu:
    """Plays with a Kaiwu-style agent: observation_process, exploit, action_process.

    make: makes a facade whose first reset has a seed.
    """

    def __init__(self, user: UserAgent, make: Callable[[int], Any], report: Callable[[Any], Report]) -> None:
        self._user, self._make, self._report = user, make, report
        self._observe: Callable[[Any], Any] = user.observe or (lambda raw_obs: raw_obs)
        self._act: Callable[[Any], Any] = user.act or (lambda act_data: act_data.action)
        self._specs: Specs | None = None

    def start(self, seed: int) -> KaiwuPlay:
        """As Player's."""
        return KaiwuPlay(self._make(seed), seed, self._report)

    def act(self, plays: Sequence[KaiwuPlay]) -> list[Any]:
        """As Player's."""
        with user_code("evaluate: observation_process"):
            rows = [self._observe(one.raw_obs) for one in plays]
        self._specs = self._specs or Specs.of_object(rows[0])
        batch = Batch(Batch.of(rows, self._specs).columns, protocol("ObsData"))
        with user_code("evaluate: Agent.exploit"):
            answer = self._user.agent.exploit(_padded(batch, self._user))
        acts = answer[0] if isinstance(answer, tuple) else answer  # (list, model version) in generation G2
        with user_code("evaluate: action_process"):
            return [self._act(acts[i]) for i in range(len(plays))]


def _padded(batch: Batch, user: UserAgent) -> Batch:
    """With rows repeated up to AT_ONCE, for agents that want one size of batch."""
    if not user.pad_batches:
        return batch
    return batch.take(np.arange(AT_ONCE) % len(batch))


def _recorded(actions: Sequence[np.ndarray]) -> np.ndarray:
    stacked = np.stack(actions)
    recorded: np.ndarray = stacked.astype(np.int64 if stacked.ndim == 1 else np.float32)
    return recorded
