"""A table of a Reverb server, and the writer that fills it from the same process."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import islice, repeat
from pathlib import Path
from typing import Any

import numpy as np
import reverb
from reverb import pybind

from kaimesh.buffer import declared, tables
from kaimesh.buffer.books import Places
from kaimesh.buffer.tables import TablePlan
from kaimesh.contract.arrays import Batch
from kaimesh.contract.columns import PRIORITY
from kaimesh.process.malloc import keep_freed_memory

_KEEP_ITEMS = 16  # while more come, this many items may stay unconfirmed, so that writer and server need not wait
_MOST_PENDING = 40  # unconfirmed items; from 50 on Reverb logs a warning for each
_PENDING_BYTES = 1 << 26
_THROTTLE_S = 0.005
_CLOSE_S = 0.02
_PROBE_S = 0.001
_EMPTY_S = 5.0
_INFO_S = 10
_MOST_SAVES = 8


class Store:
    """Starts Reverb on `port` (None: a free one) and restores what is in `checkpoints`, Reverb's own folder.

    more: other tables of the same server. on: the store of a server that has the table `plan` among these, in place of
    starting one.
    given: items handed to Reverb. stored: rows of the items that it has confirmed. blocked: the table takes no more
    now.
    keep_items: how many items may stay unconfirmed in a `flush` while more rows are coming.
    restored: rows of each item in `checkpoints`, in order; else these count as full.
    before_wait: called before each wait for Reverb; it should tell readers of the given items, whose draws make room.
    """

    def __init__(
        self,
        plan: TablePlan,
        *,
        before_wait: Callable[[], None],
        port: int | None = None,
        checkpoints: Path | None = None,
        restored: Sequence[int] = (),
        more: Sequence[TablePlan] = (),
        on: Store | None = None,
    ) -> None:
        keep_freed_memory()
        self.plan, self._before_wait, self._queue = plan, before_wait, plan.kind == "queue"
        self.stored = self.given = 0
        self.blocked = self._crowded = False
        self._guest = on is not None
        self._server: reverb.Server = _server([plan, *more], port, checkpoints) if on is None else on._server
        self.port: int = self._server.port
        self._client = reverb.Client(f"127.0.0.1:{self.port}")
        # The C++ writer that Reverb's Python writer calls; the latter doubles the cost of an item. Each piece of an
        # item becomes one of Reverb's chunks.
        options = pybind.ConstantChunkerOptions(1, plan.pieces)
        self._writer = pybind.Client(f"127.0.0.1:{self.port}").NewTrajectoryWriter(options, False)
        self._pending: deque[int] = deque()  # rows of each item that Reverb has not confirmed
        self._last_piece = np.zeros(plan.piece_bytes, np.uint8)
        fit = _PENDING_BYTES // plan.item_bytes
        self.keep_items = max(1, min(_KEEP_ITEMS, fit // 2))
        self._most_pending = max(2, min(_MOST_PENDING, fit))
        self._row_counts: deque[int] = deque(maxlen=plan.capacity_items)  # of a replay table's newest items
        info = self.info()
        self._drawn_before = 0
        self._drawn_before = self._drawn_items(info)  # a restored table's count includes the draws before it was saved
        self._surplus = int(info.current_size)  # restored items, less given ones that `reset` dropped
        counts = list(restored) if len(restored) == self._surplus else [plan.rows_per_item] * self._surplus
        self._undrawn = deque(counts)  # of a queue: rows of each item that is in the table or waits for it, in order
        self._newest = self._undrawn if self._queue else self._row_counts
        self._came = sum(counts)  # rows of this life, restored ones too
        self._popped = self._drawn_rows = self._dropped = 0

    @property
    def settled(self) -> bool:
        """Whether Reverb has confirmed all items."""
        return not self._pending

    def append(self, item: np.ndarray, rows: int, priority: float = 1.0) -> None:
        """Copies one item, uint8 `[item_bytes]`, to Reverb; waits a moment if too many are unconfirmed."""
        plan, writer, size = self.plan, self._writer, self.plan.piece_bytes
        if len(item) == size:
            pieces = writer.Append([item])
        else:
            pieces = [writer.Append([item[start : start + size]])[0] for start in range(0, len(item) - size + 1, size)]
            if rest := len(item) - size * len(pieces):
                self._last_piece[:rest] = item[-rest:]
                pieces += writer.Append([self._last_piece])
        writer.CreateItem(plan.name, priority, [pieces], [False])
        self.given += 1
        self._pending.append(rows)
        self._came += rows
        self._newest.append(rows)
        if len(self._pending) >= self._most_pending and not (self.blocked or self._crowded):
            self._before_wait()
            self._crowded = not self._confirmed(self.keep_items, _THROTTLE_S)  # if True, no more waits until flush()

    def append_each(self, items: Iterable[np.ndarray], batch: Batch) -> None:
        """Writes each row of `batch` as an item of its own, with its PRIORITY. Raises SampleError: one is not above 0.

        items: the bytes of each.
        """
        given = self.plan.prioritised and PRIORITY in batch.columns
        for item, priority in zip(items, declared.priorities(batch) if given else repeat(1.0), strict=False):
            self.append(item, 1, priority)

    def flush(self, timeout_s: float, keep_items: int = 0) -> bool:
        """Waits until all but the newest `keep_items` items are confirmed; False, and `blocked`, if it takes longer."""
        self._before_wait()
        self.blocked, self._crowded = not self._confirmed(keep_items, timeout_s), False
        if not self.blocked:
            return True
        # A search for the number of unconfirmed items, which is above `low` and at most `high`.
        low, high = keep_items, len(self._pending)
        if high - low > 1 and not self._confirmed(high - 1, _PROBE_S):  # the usual case: none was confirmed
            return False
        high = len(self._pending)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._confirmed(middle, _PROBE_S) else (middle, high)
        return False

    def _confirmed(self, keep_items: int, timeout_s: float) -> bool:
        try:
            self._writer.Flush(keep_items, max(1, int(timeout_s * 1000)))
        except RuntimeError as error:
            if "Timeout exceeded" not in str(error):
                raise
            return False
        while len(self._pending) > keep_items:
            self.stored += self._pending.popleft()
        return True

    def info(self) -> Any:
        """Reverb's TableInfo of the table, asked of the server.

        After a timeout it is asked again: Reverb runs in this process, and while that was stopped (SIGSTOP, a paused
        container) it could not answer.
        """
        try:
            tables = self._client.server_info(timeout=_INFO_S)
        except reverb.errors.DeadlineExceededError:
            tables = self._client.server_info(timeout=_INFO_S)
        return tables[self.plan.name]

    def places(self, info: Any) -> Places:
        """Where the rows of this life were at the time of `info`. One thread may call it at a time."""
        if not self._queue:
            size, waiting, full = self.size(info), sum(self._pending), self._full(info)
            return Places(self._came, self.drawn(info), size, waiting, self._dropped, full)
        for _ in range(min(self._drawn_items(info) - self._popped, len(self._undrawn))):
            self._popped += 1
            self._drawn_rows += self._undrawn.popleft()
        waiting = sum(islice(reversed(self._undrawn), max(0, len(self._undrawn) - info.current_size)))
        size = self._came - self._drawn_rows - self._dropped - waiting
        return Places(self._came, self._drawn_rows, size, waiting, self._dropped)

    def came_back(self, rows: int) -> None:
        """Corrects how many rows were restored: a partly filled item of a replay table had counted as full."""
        if not self._queue:
            self._came = rows

    def held(self, info: Any) -> list[int]:
        """The rows of each item of a queue that was in the table at the time of `info`, in order; [] of another one."""
        self.places(info)
        return list(islice(self._undrawn, info.current_size))

    def size(self, info: Any) -> int:
        """Rows in a replay table at the time of `info`; an estimate from the rows of the newest items.

        If the table is full or takes no more, partly filled items count as full: no more will come.
        """
        items: int = info.current_size
        known = len(self._row_counts)
        if not known or self._full(info):
            return items * self.plan.rows_per_item
        return round(items * sum(self._row_counts) / known)

    def _full(self, info: Any) -> bool:
        """Whether a replay table is full or takes no more now."""
        return bool(self.blocked or info.current_size >= self.plan.capacity_items)

    def drawn(self, info: Any) -> int:
        """Rows drawn from a replay table since the start; Reverb counts the items."""
        return self._drawn_items(info) * self.plan.rows_per_draw

    def undrawn(self, given: int) -> int:
        """How many of a queue's first `given` items are still to be drawn; those that wait for room count too."""
        return max(0, given + self._surplus - self._drawn_items(self.info()))

    def _drawn_items(self, info: Any) -> int:
        return int(info.rate_limiter_info.sample_stats.completed) - self._drawn_before

    def reset(self) -> None:
        """Empties the table and drops the items that wait for room.

        Reverb's count of drawn items restarts at 0 with this; `drawn` goes on.
        """
        places = self.places(info := self.info())
        drawn = self._drawn_items(info)
        self._dropped += places.size + places.pending
        self._undrawn.clear()
        self._client.reset(self.plan.name)
        deadline = time.monotonic() + _EMPTY_S
        while not self._confirmed(0, _PROBE_S) and time.monotonic() < deadline:
            self._client.reset(self.plan.name)
        self.blocked = not self.settled
        self._client.reset(self.plan.name)
        self._drawn_before = 0
        self._drawn_before = self._drawn_items(self.info()) - drawn
        self._surplus = drawn - self.given

    def checkpoint(self) -> Path:
        """Saves the table and returns the folder. Takes seconds per gigabyte, so call it in a thread of its own.

        A queue is saved again if items were drawn meanwhile: otherwise they would be drawn again after a restore.
        """
        for _ in range(_MOST_SAVES):
            drawn = self._drawn_items(self.info())
            saved = Path(self._client.checkpoint())
            if self.plan.kind != "queue" or self._drawn_items(self.info()) == drawn:
                break
        return saved

    def close(self) -> None:
        """Stops Reverb, if it has started it. A full table is emptied first: the writer's destructor waits until its
        items have room.
        """
        if not self.flush(_CLOSE_S):
            self.reset()
        del self._writer, self._client
        if not self._guest:
            self._server.stop()


def _server(plans: Sequence[TablePlan], port: int | None, checkpoints: Path | None) -> reverb.Server:
    checkpointer = None if checkpoints is None else reverb.checkpointers.DefaultCheckpointer(str(checkpoints))
    return reverb.Server([tables.build(plan) for plan in plans], port=port, checkpointer=checkpointer)
