"""MuZero in one process (`wrapper_type = "local"`): N games are played, then M learns are made from the games so far.

The mesh plays and learns at the same time, and a table of the buffer keeps the games. Here `config.sync_games` games
are waited for, the memory keeps the newest `sync_memory`, and `sync_learns` batches of `sync_batch` of them are drawn,
all alike likely. So a run depends on its seed alone. A resumed run begins with an empty memory. With `sync_reanalyse`,
each round first searches that share of the kept games again, and fresh copies take their places.

Shape legend: R rows, each a game or a window of one; see games.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kaimesh.algorithms.muzero.config import Config
from kaimesh.contract.arrays import Batch, Columns
from kaimesh.contract.columns import PRIORITY
from kaimesh.contract.seeds import Purpose, generator

Update = Callable[[Mapping[str, np.ndarray]], dict[str, Any]]
Again = Callable[[Mapping[str, np.ndarray]], Columns]


class Rounds:
    """Collects rows until there are N, then learns M times."""

    def __init__(self, config: Config) -> None:
        self._config, self._rng = config, generator(config.seed, Purpose.MEMORY)
        self._new: list[Batch] = []
        self._memory: Columns = {}
        self._added = 0

    def gathered(self, rows: Batch) -> Batch:
        """Rows of this call and of earlier ones, once there are N or more; else none of them."""
        self._new.append(rows)
        if sum(map(len, self._new)) < self._config.sync_games:
            return rows[:0]
        found, self._new = Batch.concatenate(self._new), []
        return found

    def learn(self, rows: Batch, update: Update, again: Again | None = None) -> dict[str, Any]:
        """Adds `rows` to the memory and calls `update` with M batches; returns the mean of each of its metrics.

        again: makes fresh copies of games; None: there are none.
        """
        if again is not None:
            self._refresh(again)
        self._add(rows.columns)
        count = min(self._added, self._config.sync_memory)
        each = []
        for _ in range(self._config.sync_learns):
            drawn = self._rng.integers(0, count, self._config.sync_batch)
            each.append(update({name: column[drawn] for name, column in self._memory.items()}))
        return {name: float(np.mean([one[name] for one in each])) for name in each[0] if name != PRIORITY}

    def _refresh(self, again: Again) -> None:
        """Puts fresh copies of a share of the kept games, which are drawn, in their places."""
        count = min(self._added, self._config.sync_memory)
        if not (asked := round(count * self._config.sync_reanalyse)):
            return
        places = np.sort(self._rng.choice(count, asked, replace=False))
        fresh = again({name: column[places] for name, column in self._memory.items()})
        for name, column in self._memory.items():
            column[places] = fresh[name]

    def _add(self, columns: Columns) -> None:
        size = self._config.sync_memory
        if not self._memory:
            self._memory = {name: np.zeros((size, *column.shape[1:]), column.dtype) for name, column in columns.items()}
        places = (self._added + np.arange(len(next(iter(columns.values()))))) % size
        for name, column in columns.items():
            self._memory[name][places] = column
        self._added += len(places)
