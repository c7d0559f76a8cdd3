"""How many positions a buffer takes before its learner has learned more: its end of `replay_ratio`.

The learner's end (learner/replay_ratio) decides, and tells each buffer. A buffer that has not heard of it in this life
takes as many rows as a learner needs to begin, so that there is something to draw, whatever it lost.
"""

from __future__ import annotations

import math

import numpy as np

from kaimesh.config import App
from kaimesh.config.check import preload_samples
from kaimesh.contract.arrays import Batch
from kaimesh.contract.columns import POSITIONS
from kaimesh.contract.errors import SampleError
from kaimesh.process.meter import Meter

_TAKEN = "positions_inserted"


class Pace:
    """Counts what a buffer takes, and says whether it may take more now.

    Counter positions_inserted, where rows say how many they have (POSITIONS); else `inserted` is the count.
    """

    def __init__(self, app: App, meter: Meter) -> None:
        self._meter = meter
        self._rows = 0  # of this life
        self._most: float | None = None  # positions, over all lives
        self._first_rows = float(preload_samples(app)) if app.replay_ratio else math.inf  # of this life

    @property
    def positions(self) -> int:
        """Taken in all lives."""
        counters = self._meter.counters
        return int(counters.get(_TAKEN, counters.get("inserted", 0)))

    @property
    def holds(self) -> bool:
        """Whether it is to take none now."""
        return self._rows >= self._first_rows if self._most is None else self.positions >= self._most

    def took(self, batch: Batch, positions: int) -> None:
        """It took these rows, of so many positions."""
        self._rows += len(batch)
        if POSITIONS in batch.columns:
            self._meter.count(_TAKEN, positions)

    def tell(self, most: float | None) -> int:
        """From now on it takes rows until it has taken `most` positions in all lives; None: until it has taken, in this
        life, as many rows as a learner needs to begin.

        Returns how many positions it has taken; this count outlives a kill.
        """
        self._most = most
        self._meter.keep()
        return self.positions


def positions_of(batch: Batch) -> int:
    """How many positions the rows are. Raises SampleError: a row has none."""
    if POSITIONS not in batch.columns:
        return len(batch)
    column = batch.columns[POSITIONS]
    if len(column) and column.min() < 1:
        raise SampleError(
            f"{POSITIONS} of row {int(np.argmin(column))} is {column.min()}; a row has at least one position, and "
            f"replay_ratio counts them. The frame of {len(batch)} samples was refused; correct the column."
        )
    return int(column.sum(dtype=np.int64))
