"""Turns unrolls into the samples that MuZero learns from: whole games, or windows of long ones.

A sample is a row of L = `config.row_length` positions of one episode, `length` of which are there; the rest are zeros.
The first ones, as many as the column POSITIONS says, are learned from; later ones are there for their targets. An
episode with more than L positions becomes several rows: each begins `window` positions after the one before, so every
position is drawn from one row. A row's `terminated` says that the game was over after its last position (see targets).
Of stacked frames each is stored once: FRAMES `[L - 1 + F, ...]` in place of `obs` `[L, F, ...]`, which the learner gets
(contract/stacking; its `mask` `[L - 1]` is True, for a row holds one episode).

Shape legend: N slots; T steps of an unroll; R rows, 0 or more; L positions of a row; P players; A actions; F frames of
a stack.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from kaimesh.algorithms.muzero.config import Config
from kaimesh.algorithms.muzero.targets import n_step
from kaimesh.algorithms.replay import priorities
from kaimesh.contract.arrays import ArraySpec, Batch, Columns
from kaimesh.contract.columns import MODEL_VERSION, POSITIONS, PRIORITY, RUN_ID, TO_PLAY
from kaimesh.contract.errors import SampleError
from kaimesh.contract.spaces import Spaces
from kaimesh.contract.stacking import FRAMES, restored

MOST_BYTES = 4 << 20  # of one row


def specs(spaces: Spaces, config: Config) -> dict[str, ArraySpec]:
    """The columns of a row, besides the mesh's. Raises ValueError: a row would have more than MOST_BYTES.

    action, policy (share of the search's visits), root_value (by the search): at each position. reward: of each action,
    for every player, unscaled. to_play: who moves, with several players. length, POSITIONS, terminated: see the module.
    """
    length, players = config.row_length, spaces.players
    found = {"obs": ArraySpec(spaces.obs_dtype, (length, *spaces.obs_shape))}
    if spaces.legal_actions:
        found["legal_act"] = ArraySpec("|b1", (length, spaces.action_size))
    found["action"] = ArraySpec("<i4", (length,))
    found["policy"] = ArraySpec("<f4", (length, spaces.action_size))
    found |= dict.fromkeys(("root_value", "reward"), ArraySpec("<f4", (length, players)))
    if players > 1:
        found[TO_PLAY] = ArraySpec("|i1", (length,))
    found |= dict.fromkeys(("length", POSITIONS), ArraySpec("<i4", ()))
    found["terminated"] = ArraySpec("|b1", ())
    if (size := sum(spec.nbytes for spec in found.values())) > MOST_BYTES:
        raise ValueError(
            f"window = {config.window} makes samples of {size:,} bytes (of {length} positions); above {MOST_BYTES:,} "
            "the buffer would stall on each. Lower window."
        )
    return found


def stored(wanted: Mapping[str, ArraySpec], stacked: bool) -> dict[str, ArraySpec]:
    """What is stored of `specs`. stacked: whether observations are stacks of frames."""
    if not stacked:
        return dict(wanted)
    length, frames, *shape = wanted["obs"].shape
    single = ArraySpec(wanted["obs"].dtype, (length - 1 + frames, *shape))
    others = {name: spec for name, spec in wanted.items() if name != "obs"}
    return {FRAMES: single, "mask": ArraySpec("|b1", (length - 1,)), **others}


def check(columns: Mapping[str, np.ndarray], wanted: Mapping[str, ArraySpec]) -> None:
    """Raises SampleError: samples have a column missing, or of another shape or dtype than `wanted`, `specs`.
    FloatingPointError: one holds a number that is not finite.
    """
    for name, spec in wanted.items():
        column = columns.get(name)
        found = "missing" if column is None else f"{column.dtype.str} {list(column.shape[1:])}"
        if column is None or found != f"{spec.dtype} {list(spec.shape)}":
            raise SampleError(
                f"column {name!r} of the samples is {found}, but learning needs {spec.dtype} {list(spec.shape)}. "
                "Nothing was learned from them; another agent or other settings made them. Begin a new run, whose "
                "buffer is empty."
            )
        if column.dtype.kind == "f" and not np.isfinite(column).all():
            raise FloatingPointError(
                f"column {name!r} is not finite in game {int(np.argwhere(~np.isfinite(column))[0][0])} of the batch; "
                "nothing was learned from this batch. Look at what the environment returned there."
            )


class Collector:
    """Collects unrolls of any slots, call by call, and gives the rows that have become complete.

    A slot is known by the column RUN_ID. A new process, or an environment that was made anew, begins with none of what
    was collected before.
    """

    def __init__(self, spaces: Spaces, config: Config) -> None:
        self._spaces, self._config, self._specs = spaces, config, specs(spaces, config)
        self._stored: dict[str, ArraySpec] | None = None  # None: no unroll has come yet
        self._slots: dict[int, _Slot] = {}

    @property
    def open_steps(self) -> int:
        """Positions that no row has yet."""
        return sum(slot.count - slot.stored for slot in self._slots.values())

    def __call__(self, columns: Mapping[str, np.ndarray]) -> Columns:
        """The rows `[R, L, ...]` that unrolls `[N, T(+1), ...]` complete, with PRIORITY, MODEL_VERSION and RUN_ID."""
        if self._stored is None:
            self._stored = stored(self._specs, FRAMES in columns)
        steps = _steps(restored(Batch(columns)).columns, self._specs)
        mask, terminated = columns["mask"], columns["terminated"]  # [N, T]
        over = terminated | columns["truncated"] | ~mask
        rows = [
            {**row, RUN_ID: run_id}
            for i, run_id in enumerate(columns[RUN_ID])
            for row in self._slot(int(run_id), over.shape[1]).advance(
                {name: column[i] for name, column in steps.items()}, over[i], mask[i], terminated[i]
            )
        ]
        return self._joined(rows)

    def _slot(self, run_id: int, steps: int) -> _Slot:
        if run_id not in self._slots:
            self._slots[run_id] = _Slot(self._specs, self._config, steps)
        return self._slots[run_id]

    def _joined(self, rows: list[dict[str, Any]]) -> Columns:
        assert self._stored is not None, "an unroll has come"
        kinds = {**self._stored, MODEL_VERSION: ArraySpec("<i8", ()), RUN_ID: ArraySpec("<i8", ())}
        joined = {name: np.zeros((len(rows), *spec.shape), spec.dtype) for name, spec in kinds.items()}
        for i, row in enumerate(rows):
            if FRAMES in joined:
                stacks = row.pop("obs")
                row[FRAMES] = np.concatenate([stacks[0, :-1], stacks[:, -1]])
                row["mask"] = np.ones(self._config.row_length - 1, bool)
            for name, column in joined.items():
                if column.ndim > 1:
                    column[i, : len(row[name])] = row[name]
                else:
                    column[i] = row[name]
        joined[PRIORITY] = first_priorities(self._config, joined)
        return joined


def first_priorities(config: Config, rows: Mapping[str, np.ndarray]) -> np.ndarray:
    """Priorities float32 `[R]` of rows `[R, L, ...]` before they are learned from: of the differences between the
    search's values and their targets.
    """
    reward = rows["reward"] * np.float32(config.reward_scale)
    returns = n_step(reward, rows["length"], rows["terminated"], config.gamma, config.n_step)
    error = np.abs(returns.values(rows["root_value"]) - rows["root_value"]).mean(2)  # [R, L]
    mask = np.arange(error.shape[1]) < rows[POSITIONS][:, None]
    return priorities(error.T, mask.T, config.priority_max_share, config.priority_floor)


class _Slot:
    """The positions of one slot's episode that the next row will have: `count` of them.

    stored: how many of these the row before has, too.
    """

    def __init__(self, wanted: Mapping[str, ArraySpec], config: Config, steps: int) -> None:
        room = config.row_length + steps
        self._held = {
            name: np.zeros((room, *wanted[name].shape[1:]), wanted[name].dtype) for name in wanted if wanted[name].shape
        }
        self._held[MODEL_VERSION] = np.zeros(room, np.int64)
        self.count = self.stored = 0
        self._length, self._window = config.row_length, config.window

    def advance(
        self, steps: Columns, over: np.ndarray, mask: np.ndarray, terminated: np.ndarray
    ) -> Iterator[dict[str, Any]]:
        """Adds the steps `[T, ...]` of one unroll; the rows that they complete, each array `[length, ...]` or a number.

        over, mask, terminated: bool `[T]`. A step that is masked out is no position; if the episode before it has not
        ended, it was cut.
        """
        first = 0
        for t in np.flatnonzero(over):
            last = t + bool(mask[t])
            yield from self._add(steps, first, last)
            if self.count:
                yield self._row(self.count, self.count, bool(mask[t] and terminated[t]))
                self.count = self.stored = 0
            first = t + 1
        yield from self._add(steps, first, len(over))

    def _add(self, steps: Columns, first: int, last: int) -> Iterator[dict[str, Any]]:
        count = self.count + last - first
        for name, column in self._held.items():
            column[self.count : count] = steps[name][first:last]
        self.count = count
        while self.count > self._length:
            yield self._row(self._length, self._window, False)
            self.stored = self._length - self._window
            self.count -= self._window
            for column in self._held.values():
                column[: self.count] = column[self._window : self._window + self.count].copy()

    def _row(self, length: int, draws: int, terminated: bool) -> dict[str, Any]:
        row = {name: column[:length].copy() for name, column in self._held.items()}
        oldest = row.pop(MODEL_VERSION)[0]
        return {**row, MODEL_VERSION: oldest, "length": length, POSITIONS: draws, "terminated": terminated}


def _steps(columns: Mapping[str, np.ndarray], wanted: Mapping[str, ArraySpec]) -> Columns:
    """What unrolls `[N, T(+1), ...]` have of each position, `[N, T, ...]`, and the model's version."""
    count = columns["mask"].shape[1]  # T
    steps = {name: columns[name][:, :count] for name, spec in wanted.items() if spec.shape and name != "reward"}
    steps["reward"] = columns["reward"].reshape(*columns["mask"].shape, -1)  # [N, T, P]
    steps[MODEL_VERSION] = np.repeat(columns[MODEL_VERSION][:, None], count, 1)
    return steps
