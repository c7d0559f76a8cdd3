"""The contract between an agent and the mesh, as Protocols: every member that the mesh ever calls, and when.

What the processes of a mesh do with a vectorised agent, in plain words (Kaiwu-style agents: the same without the
unrolls):

    # aisrv, for each group of N environments; `columns` are arrays [N, ...]
    agent.setup(spaces)                                          Prepared
    state = agent.initial_state(N)                               Recurrent
    constant = agent.slot_columns(slots, total)                  Slotted
    for every unroll of T = agent.unroll_length steps:           Vectorised
        for t in range(T):
            acts = actor.predict({obs, state, constant})         Agent.predict, in the actor
            rewards, obs, ... = environments.step(acts.action)   Featured may stand between agent and environment
        buffer.put(agent.sample_of(unroll))                      Sampling

    # learner
    resume: agent.load_model(newest); agent.load_training_state(folder)                        Resumable
    for ever:
        metrics = agent.learn(buffer.sample(train_batch_size))
        every dump_model_freq learns: agent.save_training_state(folder); agent.save_model(folder, train_count)

    # actor
    agent.setup(spaces); agent.load_model(newest); then predict and exploit, and load_model for each newer model

An agent is any object with the five methods of `Agent`; the other Protocols are optional, each by itself.
kaimesh/contract/user_agent reads once which of them an agent has. Users import these names from kaimesh.agent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from kaimesh.contract.arrays import Batch
from kaimesh.contract.errors import AgentError, MeshError, Stopped, words
from kaimesh.contract.spaces import Spaces

T = TypeVar("T")


class TableSpec(NamedTuple):
    """The table that an algorithm wants in the buffer, in words of its own and not Reverb's; config keys override it.

    kind: "queue" (first in first out, every row drawn once, writers wait while it is full) or "replay" (rows are kept
    and drawn again and again).
    rows_per_item: rows stored together as one Reverb item; 0: the buffer chooses by the size of a row (buffer/tables).
    prioritised: samples may carry the column PRIORITY, `learn` gets PROBABILITY with each batch and may return new
    PRIORITY values; needs rows_per_item = 1. With a queue this concerns the rows that `replay_share` adds to a batch;
    without replay_share, `learn` gets no PROBABILITY.
    """

    name: str = "samples"
    kind: str = "replay"
    rows_per_item: int = 0
    prioritised: bool = False


class Features(Protocol):
    """Turns the observations and rewards of N slots into what the agent's network sees; may remember each slot's past.

    spaces: describes the features, as the network gets them. Its `parts` are empty unless the features are bytes that
    consist of parts. Shape legend: `...` one observation, `F` one row of features.
    """

    spaces: Spaces

    def reset(self, observations: np.ndarray) -> np.ndarray:
        """Features `[N, F]` of first observations `[N, ...]`."""
        ...

    def step(
        self,
        observations: np.ndarray,
        actions: np.ndarray,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Features `[N, F]` and rewards float32 `[N]` of a step.

        In a slot whose previous step ended an episode, this step is the reset: the observation is the first of the
        next episode.
        """
        ...


class Agent(Protocol):
    """What every agent has. B: rows of one call."""

    def predict(self, list_obs_data: Batch) -> Sequence[Any]:
        """One ActData per observation, for training (explores).

        `list_obs_data` reads as a list and as columns `[B, ...]`.
        """
        ...

    def exploit(self, list_obs_data: Batch) -> Sequence[Any]:
        """One ActData per observation, for evaluation (does not explore)."""
        ...

    def learn(self, list_sample_data: Batch) -> dict[str, Any] | None:
        """One training step on `train_batch_size` samples; returns metrics (numbers by name), which the mesh reports.

        Of a prioritised table also PRIORITY, float `[train_batch_size]`.
        """
        ...

    def save_model(self, path: str | None = None, id: str | int = "1") -> None:
        """Writes `{path}/model.ckpt-{id}.<ext>`, one file or several."""
        ...

    def load_model(self, path: str | None = None, id: str | int = "1") -> None:
        """Reads what `save_model` wrote."""
        ...


class Prepared(Protocol):
    """An agent that wants to know its environment first; its actor answers nothing before its first model."""

    def setup(self, spaces: Spaces) -> None:
        """Called once in every process, before anything else.

        spaces: the environment's, or those of the agent's Features.
        """
        ...


class Vectorised(Protocol):
    """An agent of kaimesh.aisrv.rollout: it answers columns with columns, and learns from unrolls.

    `predict` and `exploit` return a Batch, or a dict of arrays `[B, ...]`, with the column `action`; the other columns
    are stored.
    """

    @property
    def unroll_length(self) -> int:
        """T: steps of one environment in one unroll, at least 1."""
        ...


class Recurrent(Protocol):
    """A vectorised agent whose network has a state; it travels with the observations (kaimesh/contract/recurrence)."""

    def initial_state(self, count: int) -> Mapping[str, np.ndarray]:
        """The state `[count, S]` before an episode's first observation, by column; empty if it has none, as configured."""
        ...


class Featured(Protocol):
    """A vectorised agent whose network sees something else than the environment's observations."""

    def features(self, count: int, spaces: Spaces) -> Features | str | None:
        """Called before `setup`. Features of `count` slots, whose spaces `setup` then gets; or the name of some that
        the environment offers (kaimesh/envs/interface); None: the observations themselves."""
        ...


class Slotted(Protocol):
    """A vectorised agent that treats environments differently, such as each with an exploration of its own."""

    def slot_columns(self, slots: np.ndarray, total: int) -> Mapping[str, np.ndarray]:
        """Columns `[N, ...]` that travel with every request for predictions. slots: int64 `[N]`, numbers of the group's
        environments among the `total` of all aisrv."""
        ...


class Sampling(Protocol):
    """A vectorised agent that stores something else than the unrolls themselves."""

    def sample_of(self, unrolls: Batch) -> Batch:
        """What is stored of `unrolls` `[N, T(+1), ...]` (kaimesh/aisrv/rollout), as many rows."""
        ...


class Resumable(Protocol):
    """An agent that goes on exactly after a restart: optimizer, counters, random numbers."""

    def save_training_state(self, path: str) -> None:
        """Writes all that `learn` depends on, besides the model, into the folder `path`."""
        ...

    def load_training_state(self, path: str) -> None:
        """Reads it; the weights come through `load_model`, before."""
        ...


class Checking(Protocol):
    """An agent that can tell whether a model fits without loading it, so that a resume is refused before anything
    starts.
    """

    def check_model(self, path: str, id: str | int) -> None:
        """After `setup`, in an aisrv. Raises AgentError: `load_model` would refuse that model."""
        ...


class BaseAgent:
    """What users' agents inherit from: the constructor that the mesh calls, and defaults.

    table: how its samples are stored. pad_batches: True: `predict` and `exploit` only get batches of a few sizes
    (powers of two), the surplus rows being zeros whose answers are dropped. sequential_predict: True: they get one
    observation a call, for Kaiwu agents that look at `list_obs_data[0]` only.
    """

    table: TableSpec = TableSpec()
    pad_batches: bool = False
    sequential_predict: bool = False

    def __init__(self, agent_type: str = "player", device: Any = None, logger: Any = None, monitor: Any = None) -> None:
        self.agent_type = agent_type
        self.device = device
        self.logger = logger
        self.monitor = monitor

    def predict(self, list_obs_data: Batch) -> Sequence[Any]:
        """As Agent's."""
        raise NotImplementedError(_missing(self, "predict"))

    def exploit(self, list_obs_data: Batch) -> Sequence[Any]:
        """As Agent's."""
        raise NotImplementedError(_missing(self, "exploit"))

    def learn(self, list_sample_data: Batch) -> dict[str, Any] | None:
        """As Agent's."""
        raise NotImplementedError(_missing(self, "learn"))

    def save_model(self, path: str | None = None, id: str | int = "1") -> None:
        """As Agent's."""
        raise NotImplementedError(_missing(self, "save_model"))

    def load_model(self, path: str | None = None, id: str | int = "1") -> None:
        """As Agent's."""
        raise NotImplementedError(_missing(self, "load_model"))


def _missing(agent: object, method: str) -> str:
    return (
        f"{type(agent).__name__}.{method} is not there, so this call has no result. Write the method; kaimesh/agent.py "
        "says what it gets and returns."
    )


@contextmanager
def user_code(where: str) -> Iterator[None]:
    """Turns whatever the user's code raises inside into an AgentError that names `where`; the original is its cause.

    SystemExit too: an agent's `exit(1)` must not end a process without a word. Where the user's code caught an error of the
    mesh (a stop, an environment that may be restarted, a peer that is gone) and raised its own instead, the mesh's is raised,
    for it says what to do.
    """
    try:
        yield
    except MeshError:
        raise
    except (SystemExit, Exception) as error:
        if (ours := _replaced(error)) is not None:
            ours.add_note(f"{where} caught this and raised {type(error).__name__} instead: {words(error)}")
            raise ours  # noqa: B904 - its cause is the original one
        if isinstance(error, SystemExit):
            raise AgentError(called_exit(where, error)) from error
        raise AgentError(f"{where} raised {type(error).__name__}: {words(error)}") from error


def _replaced(error: BaseException) -> BaseException | None:
    """The error of the mesh that was being handled when `error` was raised, if any."""
    seen: set[int] = set()
    before: BaseException | None = error
    while before is not None and id(before) not in seen:
        seen.add(id(before))
        before = before.__cause__ or before.__context__
        if isinstance(before, MeshError | Stopped):
            return before
    return None


def called_exit(where: str, error: SystemExit) -> str:
    """The error message for code that called `exit`, whatever the exit code; 0 would otherwise count as success."""
    return (
        f"{where} called exit ({error.code!r}, SystemExit), which would have ended the whole process without a word. "
        "Raise an error that says what is wrong, or return."
    )


def env_factory(function: T) -> T:
    """Marks a function that returns a gymnasium.Env, so that `app = "module:function"` may name it.

    Returns it unchanged.

    Without the mark, a name in a configuration or a recording could call any function of any module.
    `function.env_factory = True` does the same without an import.
    """
    function.env_factory = True  # type: ignore[attr-defined]
    return function


class Monitor:
    """Kaiwu's monitor: `put_data({os.getpid(): {name: number}})` sets gauges of the process's metrics."""

    def __init__(self, gauge: Callable[[str, float], None]) -> None:
        self._gauge = gauge

    def put_data(self, data: Mapping[Any, Mapping[str, Any]]) -> None:
        """Sets each number as the gauge of its name; the keys of the outer mapping (process ids) do not matter."""
        for metrics in data.values():
            for name, value in metrics.items():
                self._gauge(name, float(value))
