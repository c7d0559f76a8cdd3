"""The contract between a user's agent and the mesh: the Agent class, the struct helpers and the protocol registry.

One Agent instance lives in every process that needs it, with `agent_type` saying which:

| process | `agent_type` | what the mesh calls |
|---|---|---|
| aisrv, remote | "aisrv" | nothing of predict, learn, save, load: those go to actor, buffer and learner |
| aisrv, local | "learner" | everything, on this one instance |
| actor | "actor" | predict, exploit, load_model |
| learner | "learner" | learn, save_model, load_model, save_training_state, load_training_state |

The names and meanings are Kaiwu's, generation G1.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from kaimesh import declared
from kaimesh.arrays import Batch
from kaimesh.errors import AgentError, MeshError, words

T = TypeVar("T")


class Part(NamedTuple):
    """A part of a flat observation of bytes: `shape` of `dtype`, numpy's string.

    bits: above 0, each byte holds so many planes, bit 0 first. An image `[H, W]` so packed is `[H, W, bits]` to a network.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    bits: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes of it in an observation."""
        return np.dtype(self.dtype).itemsize * math.prod(self.shape)

    @property
    def width(self) -> int:
        """Numbers in it, with every plane counted."""
        return math.prod(self.shape) * max(self.bits, 1)

    @property
    def channel_first(self) -> bool:
        """Of an image of three axes: whether its first is its channels; it is, where it is smaller than the last (Atari: [4, 84, 84])."""
        return len(self.shape) == 3 and self.shape[0] < self.shape[-1]

    @property
    def height_width(self) -> tuple[int, int]:
        """Of an image."""
        return (self.shape[1], self.shape[2]) if self.channel_first else (self.shape[0], self.shape[1])

    @property
    def channels(self) -> int:
        """Of an image: planes, colours or frames."""
        if len(self.shape) == 2:
            return max(self.bits, 1)
        return self.shape[0] if self.channel_first else self.shape[2]


class Spaces(NamedTuple):
    """What an environment looks like to a network; travels in handshakes, so it holds plain data only.

    obs_shape, obs_dtype: one observation; obs_dtype is numpy's string.
    action_kind: "discrete" or "continuous".
    action_size: number of actions, or of action dimensions.
    action_low, action_high: bounds, `[action_size]`, for continuous actions; empty otherwise.
    legal_actions: whether observations carry `legal_act`, bool `[action_size]`.
    parts: of an observation that is bytes `[L]`, what these are, one after the other; empty: it is one array.
    """

    obs_shape: tuple[int, ...]
    obs_dtype: str
    action_kind: str
    action_size: int
    action_low: tuple[float, ...] = ()
    action_high: tuple[float, ...] = ()
    legal_actions: bool = False
    parts: tuple[Part, ...] = ()

    @classmethod
    def from_json(cls, data: Any) -> Spaces:
        """The inverse of `_asdict()` through JSON; the data may come from a stranger. Raises SampleError: no environment looks so."""
        found = declared.environment_of(data)
        return cls(
            obs_shape=tuple(found.obs_shape),
            obs_dtype=found.obs_dtype,
            action_kind=found.action_kind,
            action_size=found.action_size,
            action_low=tuple(found.action_low),
            action_high=tuple(found.action_high),
            legal_actions=found.legal_actions,
            parts=tuple(Part(name, dtype, tuple(shape), bits) for name, dtype, shape, bits in found.parts),
        )


class TableSpec(NamedTuple):
    """A table that an algorithm wants in the buffer, in neutral words; config keys overrule what they name.

    kind: "queue" (first in first out, every row sampled once, back-pressure when full) or "replay" (kept, sampled
    again and again).
    rows_per_item: rows stored together as one Reverb item; 0 lets the buffer choose by row size (see buffer/tables).
    prioritised: samples may carry PRIORITY, `learn` gets PROBABILITY with them and may return PRIORITY; needs rows_per_item = 1.
    Of a queue: `learn` does so for what `replay_share` replays; without that, it gets no PROBABILITY.
    """

    name: str = "samples"
    kind: str = "replay"
    rows_per_item: int = 0
    prioritised: bool = False


class Features(Protocol):
    """What an agent makes of the observations and rewards of N slots before its network sees them; it may remember each slot's past.

    spaces: what the network sees; without `parts`, unless the features are bytes that consist of such. Shape legend: `...` one
    observation, `F` one row of features.
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

        Where the step before was an episode's last, this one is its reset, and the observation the first of the next episode.
        """
        ...


class Agent:
    """Base class of every agent. A user's class may override what it needs; the mesh calls nothing else.

    Optional class attributes: `table` (TableSpec; default: a replay table), `pad_batches` (True: predict is only called
    with the actor's fixed batch sizes, the surplus rows being zeros whose answers are dropped),
    `sequential_predict` (see actor/batcher).
    Optional methods, called if they exist: `setup(spaces)` once before anything else, with the environment's Spaces;
    `features(count, spaces)`, for native workflows, before `setup`: Features of `count` slots, whose spaces `setup` then
    gets, or None; `slot_columns(slots, total)`, for native workflows: constants of the slots with the numbers `slots` int64 `[N]`,
    of `total` in all aisrv, as columns `[N, ...]` that travel with every request for predictions; `sample_of(unrolls)`, for
    native workflows: what is stored of unrolls (aisrv/rollout), a Batch of as many rows;
    `save_training_state(path)` and `load_training_state(path)` (a folder each) for an exact resume; `check_model(path, id)`, after
    `setup` in an aisrv: raises AgentError where `load_model` would refuse that model, so that a resume is refused before it starts.
    """

    table: TableSpec = TableSpec()
    pad_batches: bool = False

    def __init__(self, agent_type: str = "player", device: Any = None, logger: Any = None, monitor: Any = None) -> None:
        self.agent_type = agent_type
        self.device = device
        self.logger = logger
        self.monitor = monitor

    def predict(self, list_obs_data: Batch) -> Sequence[Any]:
        """One ActData per observation, for training (explores). `list_obs_data` reads as a list and as columns `[B, ...]`."""
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

# Columns that the mesh adds to every sample and takes off again before `learn`, both int64 []: the model version that the
# sample was made with, and the environment's life it belongs to.
MODEL_VERSION = "_model_version"
RUN_ID = "_run_id"

# Of prioritised tables. PRIORITY: a column float32 [] of samples, above 0, their first priority (1 without it); and an array
# [train_batch_size] among the metrics of `learn`: those that its samples have from now on. PROBABILITY: a column float64 [] that
# `learn` gets: of drawing this sample, times the samples in its table; 1 where all are equally likely.
# KEY uint64 [] and SERVER int64 [] say which stored sample it is; they stay in the learner.
PRIORITY = "_priority"
PROBABILITY = "_probability"
KEY = "_key"
SERVER = "_server"

# With `replay_share`: a column bool [] that says which samples of a batch were learned from before; it stays in the learner.
REPLAYED = "_replayed"


@contextmanager
def user_code(where: str) -> Iterator[None]:
    """Whatever the user's code raises inside becomes an AgentError that names `where`, with the original as its cause.

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
    """What is said of code that wanted to end its process, whatever the exit code; 0 would read as success."""
    return (
        f"{where} called exit ({error.code!r}, SystemExit), which would have ended the whole process without a word. Raise an "
        "error that says what is wrong, or return."
    )


def env_factory(function: T) -> T:
    """Marks a function that returns a gymnasium.Env, so that `app = "module:function"` may name it; returns it unchanged.

    Without the mark a name in a configuration or a recording could call any function of any module. `function.env_factory = True`
    does the same without an import.
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


class Frame:
    """A bare namespace; `frame.__dict__` is exactly what was given."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)


def create_cls(name: str, **defaults: Any) -> type:
    """A class named `name` whose attributes are `defaults` until set; its constructor takes those names only.

    An integer default in a class whose name starts with "Sample" is Kaiwu's G3 notation for a flat float32 width and is
    kept in `FIELD_DIMS`. Instances pickle, so agents may pass them to their own helpers.
    """

    def __init__(self: Any, **fields: Any) -> None:
        for key, value in fields.items():
            if key not in defaults:
                raise AttributeError(
                    f"{name} has no field {key!r}; it was created with {', '.join(defaults) or 'none'}"
                )
            setattr(self, key, value)

    module = sys._getframe(1).f_globals.get("__name__", __name__)
    widths = {key: value for key, value in defaults.items() if isinstance(value, int) and not isinstance(value, bool)}
    cls = type(name, (), {"__init__": __init__, **defaults, "__module__": module, "__qualname__": name})
    cls.FIELD_DEFAULTS = dict(defaults)  # type: ignore[attr-defined]
    cls.FIELD_DIMS = widths  # type: ignore[attr-defined]
    return attached(cls)


_protocol: dict[str, Any] = {}


def attached(definition: T) -> T:
    """Registers a class or function of the user's protocol under its own name and returns it unchanged; the last one wins."""
    _protocol[definition.__name__] = definition  # type: ignore[attr-defined]
    return definition


def protocol(name: str, default: T = None) -> Any | T:  # type: ignore[assignment]
    """What was attached under `name` (ObsData, ActData, SampleData, sample_process, ...), or `default`."""
    return _protocol.get(name, default)


def sample_columns(rows: Sequence[Any]) -> Batch:
    """A user's list of SampleData as one Batch.

    Where the user attached `SampleData2NumpyData`, each row becomes one flat float32 vector, field `row` `[SAMPLE_DIM]`;
    otherwise each field of the struct becomes a column. The values are copied: callers clear their lists after learn(). A
    Batch's own arrays are passed on, for whoever sends them copies them.
    """
    if isinstance(rows, Batch):
        return Batch(rows.columns, rows.row_type)
    flatten: Callable[[Any], np.ndarray] | None = protocol("SampleData2NumpyData")
    if flatten is None:
        return Batch.of(rows)
    return Batch({"row": np.stack([np.asarray(flatten(row), np.float32).reshape(-1) for row in rows])})


def sample_list(batch: Batch) -> Sequence[Any]:
    """What `learn` receives: the user's structs through `NumpyData2SampleData` where it is attached, else the batch itself."""
    restore: Callable[[np.ndarray], Any] | None = protocol("NumpyData2SampleData")
    if restore is None or tuple(batch.columns) != ("row",):
        return Batch(batch.columns, protocol("SampleData"))
    return [restore(row) for row in batch.columns["row"]]
