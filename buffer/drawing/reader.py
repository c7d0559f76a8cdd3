"""The learner's side of the buffer: draws items, decodes them in a thread, and keeps one or two batches ready.

Of this package only source, queue_source, probe and priorities import Reverb.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kaimesh.buffer.drawing.accounts import Accounts
from kaimesh.buffer.drawing.assemble import Assembler, Completer, InOrder, Mixed
from kaimesh.buffer.drawing.control import Control, Controls, RemoteControl
from kaimesh.buffer.drawing.priorities import PriorityWriter
from kaimesh.buffer.drawing.queue_source import QueueSource
from kaimesh.buffer.drawing.source import Drawn, ReplaySource, Source
from kaimesh.buffer.items import item_bytes, row_counts, view_items
from kaimesh.buffer.tables import TablePlan, plan_of
from kaimesh.config import Config
from kaimesh.config.check import fresh_samples
from kaimesh.contract import stacking
from kaimesh.contract.agent import TableSpec
from kaimesh.contract.arrays import ArraySpec, Batch, Specs
from kaimesh.contract.columns import KEY, PROBABILITY, REPLAYED, SERVER
from kaimesh.contract.errors import MeshError, PeerError, Stopped
from kaimesh.contract.spaces import Spaces
from kaimesh.process.malloc import keep_freed_memory
from kaimesh.process.meter import Meter

_POLL_S = 0.5
_UNDECLARED_POLL_S = 0.02
_HELD_BACK_S = 0.2  # when nothing came for so long, rows that wait for a whole batch may be handed out
_HOLD_S = 1.0  # how long `drop_all` waits for draws to end
_END_S = 0.5  # how long `close` waits for threads, and for the buffers' last counts
_LARGE_BATCH_BYTES = 1 << 26
_ABOUT = ((KEY, ArraySpec("<u8", ())), (PROBABILITY, ArraySpec("<f8", ())), (SERVER, ArraySpec("<i8", ())))


class Reader:
    """Draws from all buffers in turn. Drawing begins with the first `next_batch`.

    addrs: Reverb's ports; ingest_addrs: the ingest ports of the same servers. controls: instead of both, buffers of
    this process. completer: called with the samples' specs; returns what fills a part of each batch (replay_share), or
    None. copies: the same, with the plan of the second tables too, where there are such. restored: makes what
    `next_batch` returns of each batch as it is stored.

    Each row of a queue is returned once, and in the order of insertion if there is only one buffer. The rows of a
    replay table are returned as if each had been drawn on its own (buffer/drawing/assemble).
    """

    def __init__(
        self,
        addrs: Sequence[str],
        ingest_addrs: Sequence[str],
        token: str,
        *,
        batch_size: int,
        table: TableSpec,
        config: Config,
        meter: Meter,
        controls: Sequence[Control] | None = None,
        completer: Callable[[Specs], Completer | None] = lambda specs: None,
        copies: Callable[[Specs, TablePlan], Completer] | None = None,
        restored: Callable[[Batch], Batch] = stacking.restored,
        logger: logging.Logger | None = None,
    ) -> None:
        self._addrs, self._ingest_addrs, self._token = list(addrs), list(ingest_addrs), token
        self._batch_size, self._table = batch_size, table
        self._app, self._meter, self._completer, self._copies = config.app, meter, completer, copies
        self._on_policy = config.app.algorithm_on_policy_or_off_policy == "on-policy"
        self._log = logger or logging.getLogger("reader")
        self._local, self._restored = controls is not None, restored
        remote = [RemoteControl(address, token, meter.name) for address in ingest_addrs] if controls is None else []
        each = remote if controls is None else controls
        self._accounts = Accounts(meter, len(each)) if table.kind == "queue" and each else None
        self._controls = Controls(each, self._accounts)
        self._missing_items = 0  # that the batch being filled still needs
        self._returned = 0  # rows that `next_batch` returned
        self._dropped = 0  # rows that were drawn, and then dropped by `drop_all`
        self._plan: TablePlan | None = None
        self._specs = Specs({})
        self._changed = threading.Condition()
        self._sources: list[Source] = []
        self._priorities: PriorityWriter | None = None
        self._share: Completer | None = None
        self._ready, self._ahead = deque[Batch](), 1
        self._drops = 0  # calls of drop_all
        self._error: BaseException | None = None
        self._closed = False
        self._thread: threading.Thread | None = None

    def spaces(self, stop: threading.Event) -> Spaces:
        """The environments' observations and actions; waits until the first aisrv has told a buffer. Raises Stopped."""
        while True:
            for control in self._controls.each:
                try:
                    spaces = control.describe()["spaces"]
                except PeerError as error:
                    self._meter.state("waiting", f"buffer: {error}")
                    continue
                if spaces is not None:
                    return Spaces.from_json(spaces)
                self._meter.state("waiting", "the first aisrv, which describes its environments")
            if stop.wait(_POLL_S):
                raise Stopped

    def next_batch(self, timeout_s: float) -> Batch | None:
        """`batch_size` rows (on-policy: up to that many), or None if they did not come in time.

        The arrays of the Batch are the caller's own. Raises PeerError: no buffer answers; and whatever the reader's
        thread raised.
        """
        deadline = time.monotonic() + timeout_s
        while self._thread is None:
            described = [data for data in self._controls.describe() if data["specs"] is not None]
            if described:
                self._start(described[0])
                break
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return None
            time.sleep(min(left_s, _UNDECLARED_POLL_S))
        with self._changed:
            while not self._ready:
                if self._error is not None:
                    raise self._error
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    break
                self._changed.wait(min(left_s, _POLL_S))
            else:
                self._changed.notify_all()
                batch = self._ready.popleft()
                self._returned += len(batch) - int(np.count_nonzero(batch.columns.get(REPLAYED, 0)))
                return batch
        silent = [
            f"{source.address} does not answer since {source.silent_s:.0f} s, so no samples come; see the buffer's log"
            for source in self._sources
            if source.silent_s
        ]
        if len(silent) == len(self._sources):
            raise PeerError("; ".join(silent))
        return None

    def inserted(self) -> int:
        """Rows ever inserted, over all buffers and their restarts. Raises PeerError: no buffer answers."""
        self._controls.describe()
        return self._controls.inserted

    def size(self) -> int:
        """Rows in the tables now. Raises PeerError: no buffer answers."""
        return sum(int(data.get("size", 0)) for data in self._controls.describe())

    def pace(self, more: float | None) -> int:
        """See Controls.pace: how many positions the buffers may take, and have taken."""
        return self._controls.pace(more)

    def drop_all(self) -> int:
        """Drops all rows in the tables and all that were drawn and not returned, also those that arrive meanwhile.

        Returns how many rows it had drawn; each buffer counts those of its table (`dropped`). Raises PeerError: a
        buffer does not answer.
        """
        try:
            held = [source.hold(_HOLD_S) for source in self._sources]
            with self._changed:
                self._drops += 1
                self._ready.clear()
                for source in self._sources:
                    source.clear()
                self._changed.notify_all()
            self._controls.describe()
            ahead = self._ahead_rows() if all(held) else 0
            self._dropped += ahead
            self._controls.drop()
            return ahead
        finally:
            for source in self._sources:
                source.release()

    def prioritise(self, batch: Batch, priorities: np.ndarray) -> None:
        """Sets new priorities `[B]` for the rows of a batch of `next_batch`, in the background.

        They go to the table and to the replay share, as far as these draw by priorities.
        """
        if self._share is not None:
            self._share.prioritise(batch, priorities)
        if self._priorities is not None:
            self._priorities.write(batch.columns[SERVER], batch.columns[KEY], priorities)

    def close(self) -> None:
        """Ends the threads and connections, within two seconds.

        A queue's rows that were drawn and never returned are lost; they are counted (samples_unfinished).
        """
        self._closed = True
        if self._priorities is not None:
            self._priorities.close()
        if self._share is not None:
            self._share.end()
        for source in self._sources:
            source.end()
        with self._changed:
            self._changed.notify_all()
        deadline = time.monotonic() + _END_S
        for source in self._sources:
            source.join(max(0.0, deadline - time.monotonic()))
        if self._thread is not None:
            self._thread.join(_END_S)
            self._count_unfinished()
        self._controls.close()

    def _start(self, data: dict[str, Any]) -> None:
        """Begins to draw. data: the answer of a buffer for which samples were declared."""
        self._specs, self._plan = Specs.from_json(data["specs"]), (plan := plan_of(data["plan"]))
        if plan.kind != self._table.kind:
            raise MeshError(
                f"the buffer holds a {plan.kind}, the learner's agent wants a {self._table.kind}: the two were started "
                "with different algorithms, so nothing can be learned. Stop all and start again."
            )
        if self._local:
            self._addrs = [f"127.0.0.1:{control.describe()['port']}" for control in self._controls.each]
        keep_freed_memory()
        queue = plan.kind == "queue"
        large = self._batch_size * self._specs.row_bytes > _LARGE_BATCH_BYTES
        self._ahead = 1 if queue or large else 2  # rows of a queue grow old while they wait; large ones take memory
        self._share = self._completer(self._specs)
        if self._copies is not None and data.get("copies") is not None:
            self._share = self._copies(self._specs, plan_of(data["copies"]))
        # ReplayShare wants a batch to be begun only when the one before was taken, so a chunk must not fill two.
        most_items = fresh_samples(self._app) if self._share else plan.chunk_items
        chunk = min(plan.chunk_items, most_items)
        self._sources = [self._source(index, address, plan, chunk) for index, address in enumerate(self._addrs)]
        if plan.prioritised and plan.sampler.endswith("Prioritized"):
            self._priorities = PriorityWriter(self._addrs, plan.name, self._meter, self._log)
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)
        self._thread.start()

    def _source(self, index: int, address: str, plan: TablePlan, chunk_items: int) -> Source:
        common: dict[str, Any] = {
            "name": plan.name,
            "pieces": plan.pieces,
            "piece_bytes": plan.piece_bytes,
            "chunk_items": chunk_items,
            "in_flight_items": plan.in_flight_items,
            "changed": self._changed,
            "logger": self._log,
        }
        if plan.kind != "queue":
            return ReplaySource(address, **common, depth=2, about=plan.prioritised)
        control = (
            self._controls.each[index]
            if self._local
            else RemoteControl(self._ingest_addrs[index], self._token, self._meter.name)
        )
        return QueueSource(address, **common, control=control, missing=lambda: self._missing_items)

    def _assembler(self) -> Assembler:
        assert self._plan is not None
        if not self._plan.pool_rows:
            about = _ABOUT if self._plan.prioritised else ()
            specs = Specs([*self._specs, *about])
            return InOrder(specs, self._batch_size, partial=self._on_policy, share=self._share)
        plan, seed = self._plan, self._app.random_seed
        return Mixed(self._specs, self._batch_size, plan.rows_per_draw, plan.pool_rows, seed)

    def _run(self) -> None:
        try:
            assembler = self._assembler()
            turn = drops = 0
            while not self._closed:
                with self._changed:
                    turn, drawn = self._wait_for_items(turn)
                    if drops != self._drops:
                        drops = self._drops
                        assembler.clear()
                batches = self._decode(assembler, drawn, turn)
                with self._changed:
                    if drops == self._drops:
                        self._ready.extend(batches)
                        self._changed.notify_all()
        except Exception as error:  # next_batch raises it in its caller's thread
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _wait_for_items(self, turn: int) -> tuple[int, Drawn | None]:
        """The index of the next server after `turn` that has items, and its chunk; `turn` and None if none has any.

        The caller holds `_changed`.
        """
        waited_until = time.monotonic() + _HELD_BACK_S
        while not self._closed:
            if len(self._ready) >= self._ahead:
                self._changed.wait(_POLL_S)
                waited_until = time.monotonic() + _HELD_BACK_S
                continue
            for step in range(1, len(self._sources) + 1):
                index = (turn + step) % len(self._sources)
                if (drawn := self._sources[index].take()) is not None:
                    self._missing_items -= len(drawn.arrays)  # a queue's arrays hold one item each; _decode counts anew
                    return index, drawn
            left_s = waited_until - time.monotonic()
            if left_s <= 0:
                break
            self._changed.wait(left_s)
        return turn, None

    def _decode(self, assembler: Assembler, drawn: Drawn | None, server: int) -> list[Batch]:
        if drawn is None:
            rest = assembler.rest()
            return [] if rest is None else [self._restored(rest)]
        assert self._plan is not None
        rows_per_item = self._plan.rows_per_item
        items = drawn.items[:, : item_bytes(self._specs, rows_per_item)]
        columns, counts = view_items(items, self._specs, rows_per_item), row_counts(items, rows_per_item)
        if drawn.about:
            about = {**drawn.about, SERVER: np.full(len(items), server)}
            columns |= {name: column[:, None] for name, column in about.items()}  # [I, 1]
        if self._accounts is not None:
            self._accounts.came(server, int(counts.sum()))
        batches = assembler.feed(columns, counts)
        self._missing_items = -(-assembler.missing // rows_per_item)
        return [self._restored(batch) for batch in batches]

    def _ahead_rows(self) -> int:
        """Rows of a queue that were drawn and not returned. Reverb's count is used: some may be inside its client."""
        if self._table.kind != "queue":
            return 0
        return max(0, self._controls.drawn - self._returned - self._dropped)

    def _count_unfinished(self) -> None:
        if self._table.kind != "queue":
            return
        self._controls.limit_wait(_END_S)
        try:
            self._controls.describe()
        except PeerError as error:
            self._log.warning("how many samples were drawn and not learned from is not known: %s", error)
            return
        if (rows := self._ahead_rows()) > 0:
            self._meter.count("samples_unfinished", rows)
            self._controls.settle()
            self._log.info("%d samples were drawn for batches that never became whole (samples_unfinished)", rows)
