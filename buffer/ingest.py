"""Rows in, Reverb items out: the core of the buffer, with no socket. The ingest port and train_test.py both drive it.

The Reverb server starts with the first `declare`, because only then is it known how large an item is.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from kaimesh.buffer import declared, tables
from kaimesh.buffer.checkpoint import Checkpoints, Manifest
from kaimesh.buffer.items import OpenItem, Progress
from kaimesh.buffer.store import Store
from kaimesh.buffer.tables import TablePlan
from kaimesh.config.keys import App
from kaimesh.contract.agent import TableSpec
from kaimesh.contract.arrays import Batch, Specs, pack_rows
from kaimesh.contract.columns import PRIORITY
from kaimesh.contract.errors import MeshError, SampleError
from kaimesh.contract.finite import first_not_finite
from kaimesh.contract.spaces import Spaces
from kaimesh.process.meter import Meter

LINGER_S = {"queue": 0.1, "replay": 2.0}  # how long rows wait for others to share an item with, unseen by the learner


class Ingest:
    """One buffer's table. One thread calls it; only `checkpoint` may run beside, in another.

    port: Reverb's; None picks a free one. checkpoints: where they are kept; None: nowhere.
    `accepted` counts the rows taken since the start; when `stored` has reached it, all of them are safe.
    Raises ConfigError: a table that could never deliver a batch.
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
        tables.plan(table, Specs({}), app)  # contradictions show now, not when the first sample comes
        self._table, self._app, self._port, self._checkpoints, self._clock = table, app, port, checkpoints, clock
        self._meter = meter or Meter("ingest")
        self._log = logger or logging.getLogger("buffer")
        self._inserting = self._meter.phase("insert")
        self.specs: Specs | None = None
        self.spaces: Spaces | None = None
        self.accepted = 0
        self.inserted = 0  # rows ever, over restarts
        self._store: Store | None = None
        self._open = OpenItem(Specs({}), 1)
        self._open_since = 0.0
        self._drawn = 0
        self._news = threading.Condition()
        self._progress = Progress(0)
        self.on_items: Callable[[], None] | None = None  # called when `progress` changed, from inside insert and flush

    @property
    def progress(self) -> Progress:
        """How many items went into this table so far: where that changed, there is something to draw."""
        return self._progress

    @property
    def plan(self) -> TablePlan | None:
        """The table, or None before the first declare."""
        return None if self._store is None else self._store.plan

    @property
    def port(self) -> int:
        """Reverb's port. Raises MeshError: nothing was declared yet."""
        if self._store is None:
            raise MeshError("Reverb's port is not open: no writer has declared its samples yet")
        return self._store.port

    @property
    def stored(self) -> int:
        """Rows that are safe, in the order they were accepted: Reverb has confirmed them, or they stand in the item that is being
        filled, which goes into the same process's Reverb in a moment and before every stop.
        """
        if self._store is None:
            return 0
        return self._store.stored + (self._open.rows if self._store.settled else 0)

    @property
    def pending(self) -> int:
        """Rows that were accepted and are not safe."""
        return self.accepted - self.stored

    @property
    def blocked(self) -> bool:
        """Whether the table takes no more for now: the learner is slower."""
        return self._store is not None and self._store.blocked

    @property
    def settled(self) -> bool:
        """Whether nothing is under way but the rows of the item that is being filled."""
        return self._store is None or self._store.settled

    def restore(self) -> bool:
        """Starts from the newest whole checkpoint, if there is one; True if it did."""
        if self._checkpoints is None:
            return False
        for manifest, folder in self._checkpoints.candidates():
            if self._restore_from(self._checkpoints, manifest, folder):
                return True
        self._checkpoints.clear_own()
        return False

    def announce(self, spaces: Spaces | None) -> None:
        """What the environments look like, which a learner needs for its first model, before there is any sample."""
        self.spaces = self.spaces or spaces

    def declare(self, specs: Specs, spaces: Spaces | None) -> None:
        """The first call creates the table for rows of `specs`; later ones must say the same. Raises SampleError."""
        if self.specs is None:
            plan = tables.plan(self._table, specs, self._app)
            declared.check(specs, plan)
            self._start(plan, specs, spaces)
        elif specs != self.specs:
            raise SampleError(
                f"this buffer holds samples of {_words(self.specs)}; {_words(specs)} cannot join them. Give every sample of the "
                "run the same fields, shapes and dtypes; after a change of the agent, start a new run."
            )
        self.announce(spaces)

    def insert(self, batch: Batch, item: memoryview | None = None) -> int:
        """Takes rows whose columns match the declared specs; returns `accepted`. Never waits for room in the table.

        item: the bytes of a single row, where the caller has them in one piece; spares a copy of a large row.
        Raises SampleError, and takes none: a value that is not finite; it would poison the training.
        """
        assert self._store is not None
        assert self.specs is not None
        refuse_not_finite(batch)
        with self._inserting:
            if self._store.plan.rows_per_item > 1:
                self._fill(batch)
            else:
                self._append(pack_rows(batch, self.specs) if item is None else [np.frombuffer(item, np.uint8)], batch)
        self.accepted += len(batch)
        self.inserted += len(batch)
        self._meter.count("inserted", len(batch))
        return self.accepted

    def flush(self, timeout_s: float, *, partial: bool = True, more: bool = False) -> bool:
        """Waits until Reverb has confirmed what it was given; False if the table takes no more for now (try again).

        partial: also the item that is not full; otherwise that one waits until its rows have lingered long enough.
        more: more is coming at once, so some of the newest items may stay under way.
        """
        if self._store is None:
            return True
        if self._open.rows and (partial or self._clock() - self._open_since >= LINGER_S[self._table.kind]):
            self._close_item()
        return self._store.flush(timeout_s, self._store.keep_items if more else 0)

    def await_items(self, known: int, enough: int, left: bool, timeout_s: float) -> Progress:
        """For a reader in another thread of this process: see buffer/drawing/control. It is told of each item."""
        del enough  # whoever writes here stores all that there is before anything else goes on
        with self._news:
            self._news.wait_for(lambda: left or self._progress.given != known, timeout_s)
            return self.counted() if left else self._progress

    def counted(self) -> Progress:
        """`progress` with its `left`."""
        left = 0 if self._store is None else self._store.left(self._progress.given)
        return self._progress._replace(left=left)

    def describe(self) -> dict[str, Any]:
        """What a reader needs, as JSON: spaces (None before an aisrv announced them), and from the first declare on the specs,
        the plan, rows ever, now, and drawn since the start.
        """
        spaces = None if self.spaces is None else self.spaces._asdict()
        if self._store is None or self.specs is None:
            return {"specs": None, "spaces": spaces}
        info = self._store.info()
        return {
            "specs": self.specs.to_json(),
            "spaces": spaces,
            "plan": self._store.plan._asdict(),
            "port": self._store.port,
            "inserted": self.inserted,
            "size": self._store.size(info),
            "sampled": self._store.drawn(info),
        }

    def drop(self) -> None:
        """Empties the table, with the item that is being filled and those that wait for room; their rows count as stored."""
        if self._store is None:
            return
        if self._open.rows:
            self._close_item()
        self._store.reset()

    def publish(self) -> None:
        """Gauges and counters of the table, for the meter; a queue's `inserted` are `sampled`, or in `size`, or in `pending`."""
        if self._store is None:
            return
        plan = self._store.plan
        info = self._store.info()
        drawn = self._store.drawn(info)
        self._meter.count("sampled", max(0, drawn - self._drawn))
        self._drawn = drawn
        self._meter.gauge("size", self._store.size(info))
        self._meter.gauge("pending", self.pending)
        self._meter.gauge("capacity", plan.capacity_items * plan.rows_per_item)
        self._meter.gauge("sample_bytes", plan.item_bytes / plan.rows_per_item)

    def checkpoint(self) -> Path | None:
        """Saves the table; returns where, or None where there is nothing to save or no place for it. Takes a while."""
        if self._checkpoints is None or self._store is None or self.specs is None:
            return None
        inserted, before = self.inserted, self._store.info().current_size
        saved = self._store.checkpoint()
        info = self._store.info()
        spaces = None if self.spaces is None else self.spaces._asdict()
        least = min(before, info.current_size)
        manifest = Manifest(self.specs.to_json(), spaces, tables.configuration(info), inserted, least, [])
        return self._checkpoints.keep(saved, manifest)

    def close(self) -> None:
        """Stops Reverb; what it held is gone unless it was checkpointed."""
        if self._store is not None:
            self._store.close()
        self._store = self.specs = self.spaces = None

    def _start(self, plan: TablePlan, specs: Specs, spaces: Spaces | None) -> None:
        own = None if self._checkpoints is None else self._checkpoints.own
        self._store = Store(plan, port=self._port, checkpoints=own, before_wait=self._announce_items)
        self.specs, self.spaces = specs, spaces or self.spaces
        self._open = OpenItem(specs, plan.rows_per_item)
        self.accepted = self._drawn = 0
        self._progress = Progress(0)
        self._log.info(
            "table %r: a %s of up to %d items of %d rows, %d bytes each; %s, from %d items on", plan.name, plan.kind,
            plan.capacity_items, plan.rows_per_item, plan.item_bytes, plan.limiter, plan.min_items,
        )  # fmt: skip
        for warning in plan.warnings:
            self._log.warning("%s", warning)

    def _restore_from(self, checkpoints: Checkpoints, manifest: Manifest, folder: Path) -> bool:
        try:
            specs = Specs.from_json(manifest.specs)
            spaces = None if manifest.spaces is None else Spaces.from_json(manifest.spaces)
        except SampleError as error:
            self._log.error("checkpoint %s is damaged (%s); trying the one before", folder, error)
            return False
        plan = tables.plan(self._table, specs, self._app)
        wanted = tables.configuration(tables.build(plan).info)
        if difference := _difference(manifest.configuration, wanted):
            self._log.error(
                "%s was saved with another table (%s). Reverb would keep that table whatever the keys say, so it is NOT restored and "
                "this buffer starts empty. Set the keys back and start again to get it back, before newer checkpoints replace it.", folder, difference,
            )  # fmt: skip
            return False
        try:
            checkpoints.lay_out(folder)
            self._start(plan, specs, spaces)
            assert self._store is not None
            info = self._store.info()
            difference = _difference(tables.configuration(info), wanted)
            if info.current_size < manifest.items or difference:
                raise MeshError(
                    f"{info.current_size} of {manifest.items} items came back; {difference or 'the rest is damaged'}"
                )
        except (RuntimeError, ValueError, OSError, MeshError) as error:
            self._log.error("%s cannot be restored (%s); trying the one before", folder, error)
            self.close()
            return False
        self.inserted = manifest.inserted
        self._log.info(
            "restored %d items from %s; %d samples inserted so far", info.current_size, folder, self.inserted
        )
        if plan.kind == "queue":  # used once: restored a second time, the same samples would be trained on again
            checkpoints.forget()
        return True

    def _append(self, items: Iterable[np.ndarray], batch: Batch) -> None:
        """The rows of `batch`, an item each."""
        assert self._store is not None
        if not self._store.plan.prioritised or PRIORITY not in batch.columns:
            for item in items:
                self._store.append(item, 1)
            return
        priorities = batch.columns[PRIORITY]
        if not (priorities > 0).all():
            raise SampleError(
                f"{PRIORITY} of row {int(np.argmin(priorities))} is {priorities.min():g}; Reverb would never draw it. The frame of "
                f"{len(batch)} samples was refused; priorities must be above 0."
            )
        for item, priority in zip(items, priorities.tolist(), strict=True):
            self._store.append(item, 1, priority)

    def _fill(self, batch: Batch) -> None:
        done = 0
        while done < len(batch):
            if self._open.rows == 0:
                self._open_since = self._clock()
            done += self._open.fill(batch.columns, done)
            if self._open.full:
                self._close_item()

    def _announce_items(self) -> None:
        """Readers hear of all that was given; what finds no room gets into the table when they draw."""
        assert self._store is not None
        if self._store.given == self._progress.given:
            return
        with self._news:
            self._progress = Progress(self._store.given)
            self._news.notify_all()
        if self.on_items is not None:
            self.on_items()

    def _close_item(self) -> None:
        assert self._store is not None
        rows = self._open.rows
        self._store.append(self._open.finish(), rows)


def refuse_not_finite(batch: Batch) -> None:
    """Raises SampleError where a float column holds NaN or infinity."""
    if (found := first_not_finite(batch.columns)) is None:
        return
    name, row, wrong = found
    raise SampleError(
        f"field {name!r} of row {row} holds {wrong}; the frame of {len(batch)} samples was refused, nothing is trained on it. "
        "Look at what makes this field: the reward, the observation, or the network's outputs."
    )


def _words(specs: Specs) -> str:
    return ", ".join(f"{name} {spec.dtype}{list(spec.shape)}" for name, spec in specs)


def _difference(found: dict[str, str], wanted: dict[str, str]) -> str:
    return "; ".join(
        f"{key} {found.get(key)} instead of {value}" for key, value in wanted.items() if found.get(key) != value
    )
