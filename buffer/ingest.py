"""The core of the buffer, without a socket: takes rows, packs them into items and writes these to Reverb.

The ingest port and train_test.py both use it. The Reverb server starts with the first `declare`, because only then the
size of an item is known.

How a row is counted on its way. Time goes from left to right; `K` rows make an item:

    insert()          the item is full,      Reverb confirms      the learner
      |               or LINGER_S is over    the item             draws it
      |                     |                     |                   |
      |--- in open item ----|--- unconfirmed -----|---- in table -----|
      ^                     ^                     ^                   ^
      accepted, inserted    Progress.given        stored              sampled
      |---------------- pending ------------------|------ size -------|

accepted: rows taken since the table was started. inserted: the same, going on over restarts and kills (buffer/books).
Progress.given: items given to Reverb, which readers may now ask for. stored: accepted rows that are safe.
pending: accepted - stored. sampled, size: rows drawn and rows in the table, by Reverb's own counts. While nothing is
unconfirmed, the rows in the open item count as stored, for they are in this process and are written before every stop.
While the table is full (`blocked`), unconfirmed items wait for the learner.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kaimesh.buffer import declared, tables
from kaimesh.buffer.books import Books
from kaimesh.buffer.checkpoint import Checkpoints, Manifest
from kaimesh.buffer.copies import Copies
from kaimesh.buffer.fitting import fitting
from kaimesh.buffer.items import OpenItem, Progress
from kaimesh.buffer.pace import Pace, positions_of
from kaimesh.buffer.store import Store
from kaimesh.buffer.tables import TablePlan
from kaimesh.config.keys import App
from kaimesh.contract.agent import TableSpec
from kaimesh.contract.arrays import Batch, Specs, pack_rows
from kaimesh.contract.errors import MeshError
from kaimesh.contract.spaces import Spaces
from kaimesh.process import memory
from kaimesh.process.meter import Meter

LINGER_S = {"queue": 0.1, "replay": 2.0}  # how long rows wait in an open item for others; the learner cannot draw them


class Ingest:
    """One buffer's table. One thread calls it; only `checkpoint` may run in another one at the same time.

    port: Reverb's; None: a free one. checkpoints: where they are kept; None: nowhere.
    on_items: called when `progress` changed, from inside `insert` and `flush`.
    Raises ConfigError: the table could never deliver a batch.
    """

    def __init__(
        self,
        table: TableSpec,
        app: App,
        *,
        port: int | None = None,
        checkpoints: Checkpoints | None = None,
        meter: Meter | None = None,
        logger: logging.Logger | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        plan = tables.plan(table, Specs({}), app)  # raises for contradictions now, not when the first sample comes
        self._table, self._app, self._port, self._checkpoints, self._clock = table, app, port, checkpoints, clock
        self._meter = meter or Meter("ingest")
        capacity = plan.capacity_items * plan.rows_per_item
        self.copies = Copies(table, app, self._meter)
        self.copies.plans(Specs({}))
        self._books = Books(self._meter, queue=table.kind == "queue", capacity=capacity)
        self._log = logger or logging.getLogger("buffer")
        self._inserting = self._meter.phase("insert")
        self.specs: Specs | None = None
        self.spaces: Spaces | None = None
        self.accepted = 0
        self._booking = threading.Lock()  # a reader in this process asks from a thread of its own
        self.inserted = self._books.count("inserted")
        self._pace = Pace(app, self._meter)
        self._store: Store | None = None
        self._open = OpenItem(Specs({}), 1)
        self._open_since = 0.0
        self._changed = threading.Condition()
        self._progress = Progress(0)
        self.on_items: Callable[[], None] | None = None

    @property
    def progress(self) -> Progress:
        """How many items were given to Reverb; when that changes, there is something to draw."""
        return self._progress

    @property
    def plan(self) -> TablePlan | None:
        """The table; None before the first declare."""
        return None if self._store is None else self._store.plan

    @property
    def port(self) -> int:
        """Reverb's port. Raises MeshError: nothing was declared yet."""
        if self._store is None:
            raise MeshError(
                "Reverb's port is not open: no writer has declared its samples yet, so nothing can be drawn. Ask again "
                "after `declare`."
            )
        return self._store.port

    @property
    def stored(self) -> int:
        """Accepted rows that are safe; the oldest ones, for rows become safe in order."""
        if self._store is None:
            return 0
        return self._store.stored + (self._open.rows if self._store.settled else 0)

    @property
    def pending(self) -> int:
        """Rows that were accepted and are not safe yet."""
        return self.accepted - self.stored

    @property
    def blocked(self) -> bool:
        """Whether the table takes no more now, because the learner draws more slowly than rows come."""
        return self._store is not None and self._store.blocked

    @property
    def held_back(self) -> bool:
        """Whether `replay_ratio` wants no more rows now; `insert` would take them."""
        return self._pace.holds

    def pace(self, most: float | None) -> int:
        """See Pace.tell."""
        return self._pace.tell(most)

    @property
    def settled(self) -> bool:
        """Whether Reverb has confirmed all items; the open one is not counted."""
        return (self._store is None or self._store.settled) and self.copies.settled

    def restore(self) -> bool:
        """Starts from the newest intact checkpoint, if there is one; returns whether it did."""
        if self._checkpoints is not None:
            for manifest, folder in self._checkpoints.candidates():
                if self._restore_from(self._checkpoints, manifest, folder):
                    break
            else:
                self._checkpoints.clear_own()
        store = self._store
        known, lost = self._books.former_life(0 if store is None else store.places(store.info()).size)
        if store is not None:
            store.came_back(known)
        if lost:
            self._log.warning("%d samples that the former life of this buffer held are lost (lost_in_kill)", lost)
        if lost := self.copies.restored():
            self._log.warning("%d fresh copies that it held are lost, too, and are made again", lost)
        return store is not None

    def announce(self, spaces: Spaces | None) -> None:
        """Keeps a description of the environments. A learner needs it for its first model, before there are samples."""
        self.spaces = self.spaces or spaces

    def declare(self, specs: Specs, spaces: Spaces | None) -> None:
        """Says that the rows to come are of `specs`; the first call starts Reverb with a table for them.

        Raises SampleError: such rows cannot be stored, or others were declared before.
        """
        if self.specs is None:
            plan = tables.plan(self._table, specs, self._app)
            shared = declared.together(self._app)
            declared.check(specs, plan, memory.limit_bytes(), shared, self.copies.plans(specs))
            self._start(plan, specs, spaces)
        else:
            declared.check_same(specs, self.specs)
        self.announce(spaces)

    def insert(self, batch: Batch, item: memoryview | None = None) -> int:
        """Takes rows whose columns match the declared specs; returns `accepted`. Never waits for room in the table.

        item: the bytes of a single row if the caller has them in one piece; saves a copy of a large row.
        Raises SampleError, and takes no row: a value would spoil the training.
        """
        assert self._store is not None
        assert self.specs is not None
        declared.refuse_not_finite(batch)
        positions = positions_of(batch)
        with self._inserting:
            if self._store.plan.rows_per_item > 1:
                self._fill(batch)
            else:
                items = pack_rows(batch, self.specs) if item is None else [np.frombuffer(item, np.uint8)]
                self._store.append_each(items, batch)
        self.accepted += len(batch)
        self.inserted += len(batch)
        self._meter.count("inserted", len(batch))
        self._pace.took(batch, positions)
        return self.accepted

    def flush(self, timeout_s: float, *, partial: bool = True, more: bool = False) -> bool:
        """Waits until Reverb has confirmed its items; False if the table takes no more now (call again).

        partial: also writes the open item, though it is not full; otherwise that waits for LINGER_S.
        more: more rows are coming at once, so some of the newest items may stay unconfirmed.
        """
        if self._store is None:
            return True
        self.copies.flush(timeout_s)
        if self._open.rows and (partial or self._clock() - self._open_since >= LINGER_S[self._table.kind]):
            self._close_item()
        return self._store.flush(timeout_s, self._store.keep_items if more else 0)

    def await_items(self, known: int, enough: int, count_undrawn: bool, timeout_s: float) -> Progress:
        """For a reader in another thread of this process: see buffer/drawing/control. Returns for each new item."""
        del enough  # a writer in this process flushes all its rows at once
        with self._changed:
            self._changed.wait_for(lambda: count_undrawn or self._progress.given != known, timeout_s)
            return self.with_undrawn() if count_undrawn else self._progress

    def with_undrawn(self) -> Progress:
        """`progress` with the number of items that are still to be drawn."""
        undrawn = 0 if self._store is None else self._store.undrawn(self._progress.given)
        return self._progress._replace(undrawn=undrawn)

    def describe(self, drawn: int = 0) -> dict[str, Any]:
        """What a reader needs, as JSON: `spaces` (None before `announce`), `specs` (None before `declare`), the rows
        inserted and sampled so far; after `declare` also the plan, Reverb's port, the rows in the table (size), the
        second table's plan (copies; None: there is none), and whether that wants no more now (enough_copies).
        drawn: how many rows of this buffer the learner got, over all lives of both.
        """
        spaces = None if self.spaces is None else self.spaces.to_json()
        self.publish(drawn)
        counts = {"inserted": self.inserted, "sampled": self._books.count("sampled")}
        if self._store is None or self.specs is None:
            return {"specs": None, "spaces": spaces, **counts}
        return {
            "specs": self.specs.to_json(),
            "spaces": spaces,
            "plan": self._store.plan._asdict(),
            "copies": self.copies.plan and self.copies.plan._asdict(),
            "enough_copies": self.copies.enough,
            "port": self._store.port,
            **counts,
            "size": self._books.filled,
        }

    def drop(self) -> None:
        """Empties the table and drops the open item and those that wait for room; their rows count as stored."""
        if self._store is None:
            return
        if self._open.rows:
            self._close_item()
        self._store.reset()
        self.publish()

    def publish(self, drawn: int = 0) -> None:
        """Updates the meter: where each row is (buffer/books). drawn: see describe."""
        with self._booking:
            if self._store is not None:
                places, opened = self._store.places(self._store.info()), self._open.rows
                self._books.enter(places._replace(came=places.came + opened, pending=places.pending + opened))
            self._books.heard(drawn)
            self.copies.publish()
        self._meter.keep()

    def checkpoint(self) -> Path | None:
        """Saves the table and returns the folder; None if there is no table, or none is wanted. May take minutes."""
        if self._checkpoints is None or self._store is None or self.specs is None:
            return None
        inserted, before = self.inserted, self._store.info().current_size
        copies = self.copies.saved()
        saved = self._store.checkpoint()
        info = self._store.info()
        spaces = None if self.spaces is None else self.spaces.to_json()
        least = min(before, info.current_size)
        rows = self._store.held(info) if self._table.kind == "queue" else []
        kinds, wanted = self.specs.to_json(), tables.configuration(info)
        return self._checkpoints.keep(saved, Manifest(kinds, spaces, wanted, inserted, least, [], rows, "", *copies))

    def close(self) -> None:
        """Stops Reverb; rows that are in no checkpoint are gone."""
        self.copies.close()
        if self._store is not None:
            self._store.close()
        self._store = self.specs = self.spaces = None

    def _start(self, plan: TablePlan, specs: Specs, spaces: Spaces | None, restored: Sequence[int] = ()) -> None:
        own = None if self._checkpoints is None else self._checkpoints.own
        copies, tell = self.copies.plans(specs), self._announce_items
        self._store = Store(plan, before_wait=tell, port=self._port, checkpoints=own, restored=restored, more=copies)
        self.copies.open(copies, specs, self._store)
        self.specs, self.spaces = specs, spaces or self.spaces
        self._open = OpenItem(specs, plan.rows_per_item)
        self._meter.gauge("capacity", plan.capacity_items * plan.rows_per_item)
        self._meter.gauge("sample_bytes", plan.item_bytes / plan.rows_per_item)
        self.accepted = 0
        self._progress = Progress(0)
        declared.tell(plan, copies, memory.limit_bytes(), declared.together(self._app), self._log)

    def _restore_from(self, checkpoints: Checkpoints, manifest: Manifest, folder: Path) -> bool:
        if (fits := fitting(manifest, folder, self._table, self._app, self._log)) is None:
            return False
        try:
            checkpoints.lay_out(folder)
            self.copies.needed |= manifest.copies is not None
            self._start(fits.plan, fits.specs, fits.spaces, manifest.rows)
            assert self._store is not None
            info = self._store.info()
            fits.check(manifest, [info, *self.copies.infos()])
        except (RuntimeError, ValueError, OSError, MeshError) as error:
            self._log.error("%s cannot be restored (%s); trying the one before", folder, error)
            self.close()
            return False
        self.inserted = max(self.inserted, manifest.inserted)
        self._log.info(
            "restored %d items from %s; %d samples inserted so far", info.current_size, folder, self.inserted
        )
        if fits.plan.kind == "queue":  # a queue's samples are used once, so they must not be restored a second time
            checkpoints.forget()
        return True

    def _fill(self, batch: Batch) -> None:
        done = 0
        while done < len(batch):
            if self._open.rows == 0:
                self._open_since = self._clock()
            done += self._open.fill(batch.columns, done)
            if self._open.full:
                self._close_item()

    def _announce_items(self) -> None:
        """Tells readers how many items were given; those without room get into the table when the readers draw."""
        assert self._store is not None
        if self._store.given == self._progress.given:
            return
        with self._changed:
            self._progress = Progress(self._store.given)
            self._changed.notify_all()
        if self.on_items is not None:
            self.on_items()

    def _close_item(self) -> None:
        assert self._store is not None
        rows = self._open.rows
        self._store.append(self._open.finish(), rows)
