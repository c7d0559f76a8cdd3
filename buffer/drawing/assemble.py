"""Makes batches from drawn items: in order for queues, mixed for replay tables that pack several rows into an item.

Shape legend: I items drawn together, K rows per item, B rows in a batch, P rows in the pool.
"""

from __future__ import annotations

import sys
from collections import deque
from typing import Protocol

import numpy as np

from kaimesh.contract.arrays import Batch, Columns, Specs
from kaimesh.contract.seeds import Purpose, generator

_REUSED_BATCHES = 4
_UNUSED_REFERENCES = 3  # to an array that only `_made` holds: from its dict, the loop variable and the call's argument


class Completer(Protocol):
    """Fills the rest of a batch, after its fresh rows, with others (learner/replay_share, buffer/drawing/copies)."""

    @property
    def columns(self) -> Specs:
        """The columns that it adds to those of the samples."""

    @property
    def wanted(self) -> int:
        """The number of fresh rows that the next batch needs; asked for when it is begun."""

    def complete(self, batch: Columns, fresh: int) -> None:
        """Fills a batch `[B, ...]`, whose first `fresh` rows are there: as many as `wanted` was."""

    def prioritise(self, batch: Batch, priorities: np.ndarray) -> None:
        """Takes the new priorities `[B]` of a batch that it has completed; called from another thread."""

    def end(self) -> None:
        """Ends its threads soon, if it has any."""


class Assembler(Protocol):
    """Turns items into batches of B rows."""

    def feed(self, columns: Columns, counts: np.ndarray) -> list[Batch]:
        """Takes items as columns `[I, K, ...]` that hold `counts` int64 `[I]` rows; returns the completed batches."""

    @property
    def missing(self) -> int:
        """The number of rows that the batch being filled still needs."""

    def rest(self) -> Batch | None:
        """A batch from the rows held back, if that is possible; called when no more rows arrive. Else None."""

    def clear(self) -> None:
        """Drops every row."""


class InOrder:
    """Every row once, in the order of the items: for queues, and for tables with one row per item (independent draws).

    partial: `rest` returns a batch of fewer rows. On-policy needs this: rows of an older model were dropped, and the
    environments wait for the next learn before they make more. share: fills the rest of each batch.

    Each row is copied once, to its place in the batch. The memory of a batch is used again once nobody references it:
    to get fresh memory for a large batch from the kernel takes longer than to copy the batch.
    """

    def __init__(self, specs: Specs, batch_size: int, *, partial: bool = False, share: Completer | None = None) -> None:
        self._batch_size, self._partial, self._share = batch_size, partial, share
        self._specs = Specs([*specs, *(share.columns if share else ())])
        self._wanted = batch_size  # rows of the batch being filled that come from items
        self._made: deque[Columns] = deque(maxlen=_REUSED_BATCHES)
        self._target: Columns = {}
        self._filled = 0

    def feed(self, columns: Columns, counts: np.ndarray) -> list[Batch]:
        """See Assembler."""
        rows = _flat(columns, counts)
        total, done, batches = int(counts.sum()), 0, []
        while done < total:
            if not self._target:
                self._target = self._memory()
                self._wanted = self._share.wanted if self._share else self._batch_size
            count = min(total - done, self._wanted - self._filled)
            for name, column in rows.items():
                self._target[name][self._filled : self._filled + count] = column[done : done + count]
            done, self._filled = done + count, self._filled + count
            if self._filled == self._wanted:
                if self._share:
                    self._share.complete(self._target, self._wanted)
                batches.append(Batch(self._target))
                self.clear()
        return batches

    @property
    def missing(self) -> int:
        """See Assembler."""
        return self._wanted - self._filled

    def rest(self) -> Batch | None:
        """The rows of the batch being filled, if `partial`; else None."""
        if not (self._partial and self._filled):
            return None
        batch = Batch(self._target)[: self._filled]
        self.clear()
        return batch

    def clear(self) -> None:
        """See Assembler."""
        self._target, self._filled = {}, 0

    def _memory(self) -> Columns:
        for columns in self._made:
            if all(sys.getrefcount(column) == _UNUSED_REFERENCES for column in columns.values()):
                return columns
        self._made.append(_empty(self._specs, self._batch_size))
        return self._made[-1]


class Mixed:
    """Rows as if each had been drawn on its own, although items hold K rows that were made one after the other.

    From each drawn item, `rows_per_draw` of its K places are picked at random; those that hold a row go into a pool. So
    every row of the table is equally likely, also in partly filled items. When the pool is full, a batch is B rows
    picked from it at random, without replacement.

    On average (rows_per_draw - 1) * B / P other rows of a batch, 3/64 with the usual settings, come from the same draw
    as a given row. Even if those were equal to it, the variance of a mean over the batch would grow by that share only.
    """

    def __init__(self, specs: Specs, batch_size: int, rows_per_draw: int, pool_rows: int, seed: int) -> None:
        self._batch_size, self._rows_per_draw = batch_size, rows_per_draw
        self._wanted = max(pool_rows, batch_size)
        self._pool = _empty(specs, self._wanted)
        self._filled = 0
        self._rng = generator(seed, Purpose.MIXING)

    def feed(self, columns: Columns, counts: np.ndarray) -> list[Batch]:
        """See Assembler."""
        rows_per_item = next(iter(columns.values())).shape[1]
        places = self._rng.random((len(counts), rows_per_item)).argpartition(self._rows_per_draw - 1, axis=1)
        places = places[:, : self._rows_per_draw]  # [I, R], different ones for each item
        item, pick = np.nonzero(places < counts[:, None])
        place = places[item, pick]
        done = 0
        batches: list[Batch] = []
        while True:
            count = min(len(item) - done, self._wanted - self._filled)
            for name, pool in self._pool.items():
                pool[self._filled : self._filled + count] = columns[name][
                    item[done : done + count], place[done : done + count]
                ]
            done, self._filled = done + count, self._filled + count
            if self._filled < self._wanted:
                return batches
            batches.append(self._take())

    @property
    def missing(self) -> int:
        """See Assembler."""
        return self._wanted - self._filled

    def rest(self) -> Batch | None:
        """A batch from a pool that is not full, if it holds enough rows for one."""
        return self._take() if self._filled >= self._batch_size else None

    def clear(self) -> None:
        """See Assembler."""
        self._filled = 0

    def _take(self) -> Batch:
        """Removes B random rows from the pool; rows at its end move into the gaps."""
        chosen = self._rng.choice(self._filled, self._batch_size, replace=False)  # [B]
        left = self._filled - self._batch_size
        stays = np.ones(self._batch_size, bool)  # which of the last B places were not chosen
        stays[chosen[chosen >= left] - left] = False
        gaps, movers = chosen[chosen < left], left + np.flatnonzero(stays)
        batch = {}
        for name, pool in self._pool.items():
            batch[name] = pool[chosen]
            pool[gaps] = pool[movers]
        self._filled = left
        return Batch(batch)


def _flat(columns: Columns, counts: np.ndarray) -> Columns:
    """The rows of all items in order, `[sum of counts, ...]`; without a copy where K is 1."""
    rows_per_item = next(iter(columns.values())).shape[1]
    if rows_per_item == 1:
        return {name: column[:, 0] for name, column in columns.items()}
    there = np.arange(rows_per_item) < counts[:, None]  # [I, K]
    return {name: column[there] for name, column in columns.items()}


def _empty(specs: Specs, rows: int) -> Columns:
    return {name: np.empty((rows, *spec.shape), spec.dtype) for name, spec in specs}
