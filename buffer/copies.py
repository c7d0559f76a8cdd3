"""The second table of a buffer: fresh copies of samples, which reanalyse has made.

Its items are laid out as those of the first table, in the same Reverb server, and are saved with them. No learner and
no play waits for it: a copy that has no room takes the place of the oldest one. Copies are not samples of play:
`inserted`, `replay_ratio` and all that waits for samples count those of the first table alone. The books of the copies
(buffer/books) have the same names behind FRESH.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kaimesh.buffer import declared, tables
from kaimesh.buffer.books import Books
from kaimesh.buffer.pace import positions_of
from kaimesh.buffer.store import Store
from kaimesh.buffer.tables import TablePlan
from kaimesh.config.check import copies_kept
from kaimesh.config.keys import App
from kaimesh.contract.agent import TableSpec
from kaimesh.contract.arrays import Batch, Specs, pack_rows
from kaimesh.process.meter import FRESH, Meter


class Copies:
    """Takes fresh copies; one thread calls it.

    needed: whether there is such a table: reanalyse is on, or was on earlier in this run. specs: None before `open`.
    enough: whether more copies came than were drawn and the table holds, by the last `publish`. More draws than copies
    are not saved up: after them, too, reanalyse waits for a learner that has stopped to draw.
    """

    def __init__(self, table: TableSpec, app: App, meter: Meter) -> None:
        self._table, self._app, self._meter = table, app, meter
        self.needed = bool(app.reanalyse_count or meter.counters.get(f"{FRESH}inserted"))
        self._books = Books(meter, queue=False, capacity=copies_kept(app), prefix=FRESH)
        self._store: Store | None = None
        self.specs: Specs | None = None
        self.accepted = 0
        self.enough = False
        self._ahead, self._before = 0, (0, 0)  # copies that came beyond those drawn; how many came, and were drawn

    @property
    def plan(self) -> TablePlan | None:
        """The table; None before `open`."""
        return None if self._store is None else self._store.plan

    @property
    def stored(self) -> int:
        """Accepted copies that are safe."""
        return 0 if self._store is None else self._store.stored

    @property
    def settled(self) -> bool:
        """Whether Reverb has confirmed all copies."""
        return self._store is None or self._store.settled

    @property
    def blocked(self) -> bool:
        """Whether Reverb confirms none now."""
        return self._store is not None and self._store.blocked

    def plans(self, specs: Specs) -> list[TablePlan]:
        """The table for copies of rows of `specs`; none if it is not needed. Raises ConfigError: as plan_of_copies."""
        return [tables.plan_of_copies(self._table, specs, self._app)] if self.needed else []

    def open(self, plans: Sequence[TablePlan], specs: Specs, beside: Store) -> None:
        """Begins to take copies, into a table of the server of `beside`, by `plans`."""
        for plan in plans:
            self._store = Store(plan, on=beside, before_wait=lambda: None)
            self.specs, self.accepted = specs, 0
            self._ahead, self._before = 0, (0, 0)
            self._meter.gauge(f"{FRESH}capacity", plan.capacity_items)

    def insert(self, batch: Batch, item: memoryview | None = None) -> int:
        """See Ingest.insert; returns how many copies it has taken in this life."""
        assert self._store is not None
        assert self.specs is not None
        declared.refuse_not_finite(batch)
        positions_of(batch)  # each row has one, as a sample of play
        self._store.append_each(
            pack_rows(batch, self.specs) if item is None else [np.frombuffer(item, np.uint8)], batch
        )
        self.accepted += len(batch)
        self._meter.count(f"{FRESH}inserted", len(batch))
        return self.accepted

    def flush(self, timeout_s: float) -> None:
        """Waits until Reverb has confirmed all copies, but no longer than this."""
        if self._store is not None and not self._store.settled:
            self._store.flush(timeout_s)

    def restored(self) -> int:
        """At the start of a life: books what the one before held and this one has not; returns how many that are."""
        store = self._store
        known, lost = self._books.former_life(0 if store is None else store.places(store.info()).size)
        if store is not None:
            store.came_back(known)
        return lost

    def publish(self) -> None:
        """Updates the meter."""
        if self._store is not None:
            self._books.enter(places := self._store.places(self._store.info()))
            (came, drawn), self._before = self._before, (places.came, places.drawn)
            self._ahead = max(0, self._ahead + places.came - came - (places.drawn - drawn))
            self.enough = self._ahead > self._store.plan.capacity_items

    def infos(self) -> list[Any]:
        """Reverb's TableInfo, if the table is open."""
        return [] if self._store is None else [self._store.info()]

    def saved(self) -> tuple[()] | tuple[dict[str, str], int]:
        """For a checkpoint: the table's configuration, and how many items it has now; (): it is not open."""
        for info in self.infos():
            return tables.configuration(info), int(info.current_size)
        return ()

    def close(self) -> None:
        """Before the first table's store is closed."""
        if self._store is not None:
            self._store.close()
        self._store = self.specs = None
