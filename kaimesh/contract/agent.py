"""The Agent class, and what an agent's class may say of itself; kaimesh/agent.py says which process calls what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from kaimesh.contract.arrays import Batch
from kaimesh.contract.errors import AgentError, MeshError, words
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


class Agent:
    """Base class of every agent. A user's class may override what it needs; the mesh calls nothing else.

    Optional class attributes: `table` (TableSpec; default: a replay table), `pad_batches` (True: predict is only called
    with the actor's fixed batch sizes, the surplus rows being zeros whose answers are dropped),
    `sequential_predict` (see actor/batcher).
    Optional methods, called if they exist: `setup(spaces)` once before anything else, with the environment's Spaces;
    `features(count, spaces)`, for native workflows, before `setup`: Features of `count` slots, whose spaces `setup`
    then gets, or the name of some that the environment offers (envs/interface), or None; `slot_columns(slots,
    total)`, for native workflows: constants of the slots with the numbers `slots` int64 `[N]`, of `total` in all aisrv,
    as columns `[N, ...]` that travel with every request for predictions; `sample_of(unrolls)`, for
    native workflows: what is stored of unrolls (aisrv/rollout), a Batch of as many rows;
    `save_training_state(path)` and `load_training_state(path)` (a folder each) for an exact resume; `check_model(path,
    id)`, after `setup` in an aisrv: raises AgentError where `load_model` would refuse that model, so that a resume is
    refused before it starts.
    """

    table: TableSpec = TableSpec()
    pad_batches: bool = False

    def __init__(self, agent_type: str = "player", device: Any = None, logger: Any = None, monitor: Any = None) -> None:
        self.agent_type = agent_type
        self.device = device
        self.logger = logger
        self.monitor = monitor

    def predict(self, list_obs_data: Batch) -> Sequence[Any]:
        """One ActData per observation, for training (explores).

        `list_obs_data` reads as a list and as columns `[B, ...]`.
        """
        raise NotImplementedError(f"{type(self).__name__}.predict")

    def exploit(self, list_obs_data: Batch) -> Sequence[Any]:
        """One ActData per observation, for evaluation (does not explore)."""
        raise NotImplementedError(f"{type(self).__name__}.exploit")

    def learn(self, list_sample_data: Batch) -> dict[str, float] | None:
        """One training step on `train_batch_size` samples; returns metrics, which the mesh reports."""
        raise NotImplementedError(f"{type(self).__name__}.learn")

    def save_model(self, path: str | None = None, id: str | int = "1") -> None:
        """Writes `{path}/model.ckpt-{id}.<ext>`, one file or several."""
        raise NotImplementedError(f"{type(self).__name__}.save_model")

    def load_model(self, path: str | None = None, id: str | int = "1") -> None:
        """Reads what `save_model` wrote."""
        raise NotImplementedError(f"{type(self).__name__}.load_model")


BaseAgent = Agent


@contextmanager
def user_code(where: str) -> Iterator[None]:
    """Turns whatever the user's code raises inside into an AgentError that names `where`; the original is its cause.

    SystemExit too: an agent's `exit(1)` must not end a process without a word.
    """
    try:
        yield
    except MeshError:
        raise
    except SystemExit as error:
        raise AgentError(called_exit(where, error)) from error
    except Exception as error:
        raise AgentError(f"{where} raised {type(error).__name__}: {words(error)}") from error


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
