"""The contract between an agent and the mesh, as Protocols: every member that the mesh ever calls, and when.

An agent is any object with the five methods of `Agent`. The other Protocols are optional, and independent of one
another. Two of them give an agent a name: one with `setup` is *prepared*, one with `unroll_length` is *vectorised*.
kaimesh/contract/user_agent reads once which Protocols an agent has. Users import all of these from kaimesh.agent.

This is what the processes of a mesh call, with the Protocol of each call on the right. For a Kaiwu-style agent, the
user's workflow stands in place of the loop over unrolls:

    # aisrv, for each group of N environments; `obs`, `state` and `constant` are columns [N, ...]
    agent.setup(spaces)                                          Prepared
    state = agent.initial_state(N)                               Recurrent
    constant = agent.slot_columns(slots, total)                  Slotted
    for every unroll of T = agent.unroll_length steps:           Vectorised
        for t in range(T):
            acts = actor.predict({obs, state, constant})         Agent.predict, in the actor
            rewards, obs, ... = environments.step(acts.action)   Featured: obs and rewards are the agent's features
        buffer.put(agent.sample_of(unroll))                      Sampling, Collecting

    # learner
    agent.setup(spaces)                                          Prepared
    agent.load_model(folder, newest)                             Agent; only if the run has a model
    agent.load_training_state(folder)                            Resumable; only if the run is resumed
    for ever:
        metrics = agent.learn(buffer.draw(train_batch_size))     Agent
        after every dump_model_freq learns:
            agent.save_training_state(folder)                    Resumable
            agent.save_model(folder, train_count)                Agent

    # actor
    agent.setup(spaces)                                          Prepared
    agent.warm_up(rows)                                          Warming
    for ever:
        agent.load_model(folder, newer)                          Agent; whenever there is a newer model
        acts = agent.predict(requests of many aisrv)             Agent; or exploit
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from kaimesh.contract.arrays import Batch
from kaimesh.contract.calls import Call
from kaimesh.contract.errors import AgentError, MeshError, Stopped, named, words
from kaimesh.contract.spaces import Spaces

TABLE_KINDS = ("queue", "replay")


class TableSpec(NamedTuple):
    """The table of the buffer that holds an algorithm's samples. Configuration keys override what they name.

    name: of the table in Reverb.
    kind: "queue" (first in, first out; each sample is drawn once; aisrv waits while it is full) or "replay" (samples
    stay, and are drawn again and again).
    rows_per_item: samples that are stored together as one Reverb item; 0: the buffer chooses by their size (see
    buffer/tables).
    prioritised: samples may carry the column PRIORITY; `learn` gets the column PROBABILITY and may return new
    priorities as PRIORITY. Needs rows_per_item = 1. For a queue this holds only with `replay_share`, which draws old
    samples by these priorities; without it, `learn` gets no PROBABILITY.
    """

    name: str = "samples"
    kind: str = "replay"
    rows_per_item: int = 0
    prioritised: bool = False


@runtime_checkable
class Features(Protocol):
    """Computes features and rewards from the observations and rewards of N slots. It may remember each slot's past.

    spaces: what the features look like to a network; `parts` is empty unless the features are bytes that contain parts.
    Shape legend: `...` one observation, F numbers of one row of features.
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
        """Features `[N, F]` and rewards float32 `[N]` of a step. actions: as the agent returned them.

        With P > 1 players, rewards are those of all of them, `[N, P]`, given and returned: who did not move learns too.

        After the last step of an episode, the slot's next step only resets it: its observation is the first one of the
        next episode.
        """
        ...


class Agent(Protocol):
    """The five methods of every agent. Shape legend: B rows of one call."""

    def predict(self, list_obs_data: Batch) -> Sequence[Any]:
        """One ActData per observation, for training: it explores.

        `list_obs_data` can be read as a list and as columns `[B, ...]`.
        """
        ...

    def exploit(self, list_obs_data: Batch) -> Sequence[Any]:
        """One ActData per observation, for evaluation: it does not explore."""
        ...

    def learn(self, list_sample_data: Batch) -> dict[str, Any] | None:
        """One training step on `train_batch_size` samples. Returns metrics (numbers by name), which the mesh reports.

        With a prioritised table, PRIORITY among them holds the samples' new priorities, float `[train_batch_size]`.
        POSITIONS among them is the number of positions that it learned from, for `replay_ratio`; by default all of the
        samples.
        """
        ...

    def save_model(self, path: str | None = None, id: str | int = "1") -> None:
        """Writes `{path}/model.ckpt-{id}.<ext>`, one file or several."""
        ...

    def load_model(self, path: str | None = None, id: str | int = "1") -> None:
        """Reads what `save_model` wrote.

        id: in the actor the number of learns so far, by which a temperature or another schedule may go.
        """
        ...


class Prepared(Protocol):
    """An agent that builds its network for the environment. Its actor answers no request before it has a model."""

    def setup(self, spaces: Spaces) -> None:
        """Called once in every process, before the agent predicts, learns or loads.

        spaces: the environment's, or those of the agent's Features.
        """
        ...


class Vectorised(Protocol):
    """An agent for a vectorised workflow (kaimesh.aisrv.rollout): acts for many slots at once, learns from unrolls.

    `predict` and `exploit` return a Batch or a dict of arrays `[B, ...]`. Its column `action` goes to the environments;
    all columns are stored with the samples.
    """

    @property
    def unroll_length(self) -> int:
        """T: steps of one environment in one unroll, at least 1."""
        ...


class Recurrent(Protocol):
    """A vectorised agent with a recurrent network. aisrv keeps its state and sends it along with each observation
    (kaimesh/contract/recurrence)."""

    def initial_state(self, count: int) -> Mapping[str, np.ndarray]:
        """The state before an episode's first observation: arrays `[count, ...]` by column name. Empty: the network as
        configured is not recurrent."""
        ...


class Featured(Protocol):
    """A vectorised agent with a network for features, in place of the environment's observations."""

    def features(self, count: int, spaces: Spaces) -> Features | str | None:
        """The features of `count` slots of an environment with `spaces`; called before `setup`, which gets the spaces
        of these features. A string names features that the environment offers (kaimesh/envs/interface); None: the
        network sees the observations themselves."""
        ...


class Slotted(Protocol):
    """A vectorised agent that treats slots differently, for example with an exploration rate for each."""

    def slot_columns(self, slots: np.ndarray, total: int) -> Mapping[str, np.ndarray]:
        """Constant columns `[N, ...]` that are added to every request for predictions. slots: int64 `[N]`, the numbers
        of this group's slots, in 0..total - 1. total: the number of slots of all aisrv."""
        ...


class Sampling(Protocol):
    """A vectorised agent that stores other samples than the unrolls as they are, such as whole games."""

    def sample_of(self, unrolls: Batch) -> Batch:
        """The samples to store, any number of rows, none too, for N `unrolls` `[N, T(+1), ...]`
        (kaimesh/aisrv/rollout).

        Called for each group of environments in turn, in the order of time; the arrays change after the call. The rows
        of all calls have the same fields. They should keep the mesh's columns MODEL_VERSION and RUN_ID, whose values
        tell slots apart. Rows of several steps say how many in POSITIONS. Each row may have at most 4 MB then.
        """
        ...


class Collecting(Protocol):
    """An agent with `sample_of` that keeps steps of an unroll for later samples, until an episode ends.

    Its unrolls have the column ABORTED `[N, T]`. Where an environment failed, nothing of what is kept of that slot may
    join its next episode.
    """

    def open_steps(self) -> int:
        """How many steps of earlier unrolls are in no sample yet. At a stop they count as `env_steps_unfinished`."""
        ...


class Resumable(Protocol):
    """An agent whose training continues exactly after a restart: optimizer, counters and random generators are kept."""

    def save_training_state(self, path: str) -> None:
        """Writes everything that `learn` depends on, except for the model, into the folder `path`."""
        ...

    def load_training_state(self, path: str) -> None:
        """Reads what `save_training_state` wrote. `load_model` has loaded the weights before."""
        ...


class Warming(Protocol):
    """An agent that compiles or measures something before its actor answers."""

    def warm_up(self, rows: int) -> float | None:
        """Called once in each actor, after `setup`. rows: those of a call of `predict` if all environments ask at once.

        Returns how many seconds such a call takes, as measured; None: it is not known. If what all environments ask for
        at once takes longer than half of predict_timeout_seconds, the run ends with a message.
        """
        ...


class Checking(Protocol):
    """An agent that can check a model without loading it. A resume with a model that does not fit is then refused
    before any process is started.
    """

    def check_model(self, path: str, id: str | int) -> None:
        """Called after `setup`. Raises AgentError: `load_model` would refuse this model."""
        ...


class BaseAgent:
    """The base class of users' agents: the constructor that the mesh calls, and defaults.

    table: how its samples are stored.
    pad_batches: True: `predict` and `exploit` only get batches of a few sizes (powers of two). Rows of zeros fill them
    up, and the answers to these are dropped.
    predict_rows_at_most: the most observations per call of `predict` and `exploit`; 0: predict_batch_size in the actor,
    any number elsewhere.
    sees_ends: True: aisrv's requests for predictions have the column ENDED: where it is True, the action is not made,
    and a search would be for nothing.
    sequential_predict: True: `predict` and `exploit` get one observation per call, as Kaiwu agents need that only read
    `list_obs_data[0]`.
    unit_actions: True: continuous actions are in a unit in which -1 and 1 are an action space's bounds, and the mesh
    scales them (kaimesh/contract/scaling); samples keep them as they are. False: they are in the environment's unit.
    """

    table: TableSpec = TableSpec()
    pad_batches: bool = False
    predict_rows_at_most: int = 0
    sees_ends: bool = False
    sequential_predict: bool = False
    unit_actions: bool = False

    def __init__(self, agent_type: str = "player", device: Any = None, logger: Any = None, monitor: Any = None) -> None:
        self.agent_type = agent_type
        self.device = device
        self.logger = logger
        self.monitor = monitor

    def predict(self, list_obs_data: Batch) -> Sequence[Any]:
        """See Agent."""
        raise NotImplementedError(_missing(self, "predict"))

    def exploit(self, list_obs_data: Batch) -> Sequence[Any]:
        """See Agent."""
        raise NotImplementedError(_missing(self, "exploit"))

    def learn(self, list_sample_data: Batch) -> dict[str, Any] | None:
        """See Agent."""
        raise NotImplementedError(_missing(self, "learn"))

    def save_model(self, path: str | None = None, id: str | int = "1") -> None:
        """See Agent."""
        raise NotImplementedError(_missing(self, "save_model"))

    def load_model(self, path: str | None = None, id: str | int = "1") -> None:
        """See Agent."""
        raise NotImplementedError(_missing(self, "load_model"))


def _missing(agent: BaseAgent, method: str) -> str:
    name = type(agent).__name__
    return (
        f"{name}.{method} was called, but {name} does not define it; the mesh cannot continue without it. Write "
        f"{method} in {name}."
    )


class user_code(Call):
    """A context that turns what the user's code raises inside into an AgentError that names `where`, with the original
    as its cause. The watchdog knows which call it is (see Call).

    This includes SystemExit: an agent's `exit(1)` must not end a process without a message. An error of the mesh (a
    stop, an environment that may be restarted, a peer that is gone) passes as it is. If the user's code caught one and
    raised another error instead, the mesh's error is raised, because the process acts on it.
    """

    __slots__ = ()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        super().__exit__(kind, error, trace)
        if error is None or isinstance(error, MeshError) or not isinstance(error, SystemExit | Exception):
            return
        if (ours := _replaced(error)) is not None:
            ours.add_note(f"{self.where} caught this and raised {type(error).__name__} instead: {words(error)}")
            raise ours  # its cause is the original one
        if isinstance(error, SystemExit):
            raise AgentError(called_exit(self.where, error)) from error
        raise AgentError(f"{self.where} raised {named(error)}") from error


def _replaced(error: BaseException) -> BaseException | None:
    """The error of the mesh during whose handling `error` was raised; None: there was none."""
    seen: set[int] = set()
    before: BaseException | None = error
    while before is not None and id(before) not in seen:
        seen.add(id(before))
        before = before.__cause__ or before.__context__
        if isinstance(before, MeshError | Stopped):
            return before
    return None


def called_exit(where: str, error: SystemExit) -> str:
    """The message about code that called `exit`, with any exit code: even exit(0) is an error, not a success."""
    return (
        f"{where} called exit ({error.code!r}, SystemExit), which would have ended the whole process without a "
        "message. Raise an error that says what is wrong, or return."
    )
