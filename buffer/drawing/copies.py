"""The share of each batch that is drawn from the buffers' second tables: fresh copies, which reanalyse has made.

While these tables hold too few for a whole batch, batches are drawn from the first tables alone, so training begins,
and goes on, without any copy.

Shape legend: B rows in a batch, C of them copies once there are enough; I items drawn together.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence

import numpy as np

from kaimesh.buffer.drawing.priorities import PriorityWriter
from kaimesh.buffer.drawing.source import Drawn, ReplaySource
from kaimesh.buffer.items import item_bytes, view_items
from kaimesh.buffer.tables import TablePlan
from kaimesh.contract.arrays import Batch, Columns, Specs
from kaimesh.contract.columns import KEY, SERVER
from kaimesh.process.meter import Meter

_LATE_S = 1.0  # how long a batch waits for copies that have come until now


class Copies:
    """Fills each batch up with C copies, see assemble.Completer. plan: of the tables at `addrs`.

    Counter samples_reanalysed: copies in batches. One thread calls `wanted` and `complete`; another may call
    `prioritise`.
    """

    def __init__(
        self,
        specs: Specs,
        plan: TablePlan,
        *,
        addrs: Sequence[str],
        batch_size: int,
        count: int,
        meter: Meter,
        logger: logging.Logger,
    ) -> None:
        self._specs, self._batch_size, self._count = specs, batch_size, count
        self._first = len(addrs)  # SERVER of the copies' first table; those of samples are below
        self._about, self._meter, self._log = plan.prioritised, meter, logger
        self._changed = threading.Condition()
        self._rows: deque[Columns] = deque()  # chunks of rows that were drawn and are in no batch yet, [I, ...] each
        self._held = 0  # how many rows that are
        self._flows: bool | None = None  # whether there were enough for the last batch; None: not yet
        self._turn = 0
        self._sources = [
            ReplaySource(
                address,
                name=plan.name,
                pieces=plan.pieces,
                piece_bytes=plan.piece_bytes,
                chunk_items=min(plan.chunk_items, count),
                in_flight_items=min(plan.in_flight_items, 2 * count),
                depth=2,
                about=plan.prioritised,
                changed=self._changed,
                logger=logger,
            )
            for address in addrs
        ]
        prioritised = plan.prioritised and plan.sampler.endswith("Prioritized")
        self._priorities = PriorityWriter(addrs, plan.name, meter, logger) if prioritised else None

    @property
    def columns(self) -> Specs:
        """The columns that it adds to those of the samples: none."""
        return Specs({})

    @property
    def wanted(self) -> int:
        """B - C; B while there are too few copies. Waits for them, a second, if there were enough until now."""
        enough = self._gather()
        if enough and not self._flows:
            self._log.info("of each batch of %d samples, %d are fresh copies now", self._batch_size, self._count)
        elif not enough and self._flows is not False:
            self._log.info("there are too few fresh copies; batches are samples of play alone until there are more")
        self._flows = enough
        return self._batch_size - (self._count if enough else 0)

    def complete(self, batch: Columns, fresh: int) -> None:
        """Fills a batch `[B, ...]` with copies after its first `fresh` rows."""
        while fresh < self._batch_size:
            chunk = self._rows[0]
            size = len(next(iter(chunk.values())))
            count = min(self._batch_size - fresh, size)
            for name, column in batch.items():
                column[fresh : fresh + count] = chunk[name][:count]
            if count == size:
                self._rows.popleft()
            else:
                self._rows[0] = {name: column[count:] for name, column in chunk.items()}
            self._held -= count
            fresh += count
            self._meter.count("samples_reanalysed", count)

    def prioritise(self, batch: Batch, priorities: np.ndarray) -> None:
        """Sends the new priorities `[B]` of the copies in a batch to their tables."""
        if self._priorities is not None:
            columns = batch.columns
            self._priorities.write(columns[SERVER] - self._first, columns[KEY], priorities)

    def end(self) -> None:
        """See Completer."""
        for source in self._sources:
            source.end()
        if self._priorities is not None:
            self._priorities.close()

    def _gather(self) -> bool:
        """Takes what was drawn, until there is enough for a batch; whether there is."""
        deadline = time.monotonic() + (_LATE_S if self._flows else 0.0)
        with self._changed:
            while self._held < self._count:
                if (drawn := self._take()) is not None:
                    self._rows.append(drawn)
                    self._held += len(next(iter(drawn.values())))
                elif (left_s := deadline - time.monotonic()) <= 0:
                    break
                else:
                    self._changed.wait(left_s)
        return self._held >= self._count

    def _take(self) -> Columns | None:
        """Rows `[I, ...]` of the next table in turn that has some."""
        for _ in self._sources:
            self._turn = (self._turn + 1) % len(self._sources)
            if (drawn := self._sources[self._turn].take()) is not None:
                return self._decoded(drawn)
        return None

    def _decoded(self, drawn: Drawn) -> Columns:
        items = drawn.items[:, : item_bytes(self._specs, 1)]
        rows = {name: column[:, 0] for name, column in view_items(items, self._specs, 1).items()}
        if not self._about:
            return rows
        return {**rows, **drawn.about, SERVER: np.full(len(items), self._first + self._turn)}
