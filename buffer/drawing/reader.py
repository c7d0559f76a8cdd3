"""What the learner trains on: batches drawn from the buffers, decoded in a thread, one or two ahead.

Only buffer/drawing/source, queue_source, probe and priorities know Reverb.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kaimesh.buffer.drawing.assemble import Assembler, Completer, InOrder, Mixed
from kaimesh.buffer.drawing.control import Control, RemoteControl
from kaimesh.buffer.drawing.priorities import PriorityWriter
from kaimesh.buffer.drawing.queue_source import QueueSource
from kaimesh.buffer.drawing.source import Drawn, ReplaySource, Source
from kaimesh.buffer.drawing.total import Total
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
_HELD_BACK_S = 0.2  # when nothing came for so long, rows that wait for others go out
_HOLD_S = 1.0  # how long `drop_all` waits for draws under way
_END_S = 0.5  # how long `close` waits for threads, and for the buffers' last counts
_LARGE_BATCH_BYTES = 1 << 26
_ABOUT = ((KEY, ArraySpec("<u8", ())), (PROBABILITY, ArraySpec("<f8", ())), (SERVER, ArraySpec("<i8", ())))


class Reader:
    """Draws from all buffers in turn.

    addrs: Reverb's ports; ingest_addrs: the ingest ports of the same servers. controls: instead of both, buffers of this process.
    completer: from the samples' specs to what fills a part of each batch, if anything does.
    A queue's rows come every one once, and in the order of their insertion where there is one buffer; a replay table's rows come
    as if drawn one by one (see buffer/drawing/assemble). Drawing begins with the first `next_batch`.
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
        logger: logging.Logger | None = None,
    ) -> None:
        self._addrs, self._ingest_addrs, self._token = list(addrs), list(ingest_addrs), token
        self._batch_size, self._table = batch_size, table
        self._app, self._meter, self._completer = config.app, meter, completer
        self._on_policy = config.app.algorithm_on_policy_or_off_policy == "on-policy"
        self._log = logger or logging.getLogger("reader")
        self._local = controls is not None
        self._controls: list[Control] = (
            list(controls) if controls is not None else [RemoteControl(a, token, meter.name) for a in ingest_addrs]
        )
        self._totals = [Total() for _ in self._controls]
        self._drawn = [Total() for _ in self._controls]
        self._missing_items = 0  # for the batch under way
        self._given = 0  # rows that `next_batch` returned
        self._padding = 0  # rows that drawn items could have held and did not
        self._dropped = 0  # rows that were drawn, and dropped by `drop_all`
        self._plan: TablePlan | None = None
        self._specs = Specs({})
        self._changed = threading.Condition()
        self._sources: list[Source] = []
        self._priorities: PriorityWriter | None = None
        self._share: Completer | None = None
        self._ready: deque[Batch] = deque()
        self._ahead = 1
        self._epoch = 0  # of drop_all
        self._error: BaseException | None = None
        self._closed = False
        self._thread: threading.Thread | None = None

    def spaces(self, stop: threading.Event) -> Spaces:
        """What the environments look like; waits until the first aisrv has said so. Raises Stopped."""
        while True:
            for control in self._controls:
                try:
                    spaces = control.describe()["spaces"]
                except PeerError as error:
                    self._meter.state("waiting", f"buffer: {error}")
                    continue
                if spaces is not None:
                    return Spaces.from_json(spaces)
                self._meter.state("waiting", "the first aisrv, which tells what its environments look like")
            if stop.wait(_POLL_S):
                raise Stopped

    def next_batch(self, timeout_s: float) -> Batch | None:
        """`batch_size` rows (on-policy: up to so many) as a Batch whose arrays are the caller's own, or None if none came in time.

        Raises PeerError: no buffer answers. Whatever went wrong in the reader's thread.
        """
        deadline = time.monotonic() + timeout_s
        while self._thread is None:
            described = [data for _, data in self._ask() if data["specs"] is not None]
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
                self._given += len(batch) - int(np.count_nonzero(batch.columns.get(REPLAYED, 0)))
                return batch
        silent = [
            f"{source.address} does not answer since {source.silent_s:.0f} s"
            for source in self._sources
            if source.silent_s
        ]
        if len(silent) == len(self._sources):
            raise PeerError("; ".join(silent))
        return None

    def inserted(self) -> int:
        """Rows ever inserted, over all buffers and their restarts. Raises PeerError: no buffer answers."""
        for total, data in self._ask():
            total.now(data.get("inserted", 0))
        return sum(total.sum for total in self._totals)

    def size(self) -> int:
        """Rows in the tables now. Raises PeerError: no buffer answers."""
        return sum(data.get("size", 0) for _, data in self._ask())

    def drop_all(self) -> int:
        """Empties the tables and what was drawn ahead; returns how many rows that were. Those that come meanwhile are dropped too.

        Raises PeerError: a buffer does not answer.
        """
        try:
            held = [source.hold(_HOLD_S) for source in self._sources]
            with self._changed:
                self._epoch += 1
                self._ready.clear()
                for source in self._sources:
                    source.clear()
                self._changed.notify_all()
            left = sum(int(data.get("size", 0)) for _, data in self._ask())
            ahead = self._ahead_rows() if all(held) else 0
            self._dropped += ahead
            for control in self._controls:
                control.drop()
            return left + ahead
        finally:
            for source in self._sources:
                source.release()

    def prioritise(self, batch: Batch, priorities: np.ndarray) -> None:
        """Gives the samples of a batch of `next_batch` new priorities `[B]`, soon; of a table, or a replay share, that draws by them."""
        if self._share is not None:
            self._share.prioritise(batch, priorities)
        if self._priorities is not None:
            self._priorities.write(batch.columns[SERVER], batch.columns[KEY], priorities)

    def close(self) -> None:
        """Ends the threads and connections, within two seconds. A queue's rows that were drawn and not given out are counted:
        nobody has them now.
        """
        self._closed = True
        if self._priorities is not None:
            self._priorities.close()
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
        for control in self._controls:
            if isinstance(control, RemoteControl):
                control.close()

    def _start(self, data: dict[str, Any]) -> None:
        """Begins to draw, now that the first samples were declared."""
        self._specs, self._plan = Specs.from_json(data["specs"]), (plan := plan_of(data["plan"]))
        if plan.kind != self._table.kind:
            raise MeshError(
                f"the buffer holds a {plan.kind}, the learner's agent wants a {self._table.kind}: the two were started with "
                "different algorithms. Stop all and start again."
            )
        if self._local:
            self._addrs = [f"127.0.0.1:{control.describe()['port']}" for control in self._controls]
        keep_freed_memory()
        queue = plan.kind == "queue"
        large = self._batch_size * self._specs.row_bytes > _LARGE_BATCH_BYTES
        self._ahead = 1 if queue or large else 2  # what waits here grows stale, or large
        self._share = self._completer(self._specs)
        # With less than two batches in a chunk, a batch is made when the one before was taken: see ReplayShare.
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
            "steps": plan.steps,
            "step_bytes": plan.step_bytes,
            "chunk_items": chunk_items,
            "in_flight_items": plan.in_flight_items,
            "changed": self._changed,
            "logger": self._log,
        }
        if plan.kind != "queue":
            return ReplaySource(address, **common, depth=2, about=plan.prioritised)
        news = (
            self._controls[index]
            if self._local
            else RemoteControl(self._ingest_addrs[index], self._token, self._meter.name)
        )
        return QueueSource(address, **common, news=news, missing=lambda: self._missing_items)

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
            turn = epoch = 0
            while not self._closed:
                with self._changed:
                    turn, drawn = self._wait_for_items(turn)
                    if epoch != self._epoch:
                        epoch = self._epoch
                        assembler.clear()
                batches = self._decode(assembler, drawn, turn)
                with self._changed:
                    if epoch == self._epoch:
                        self._ready.extend(batches)
                        self._changed.notify_all()
        except Exception as error:  # handed to the caller of next_batch, which raises it
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _wait_for_items(self, turn: int) -> tuple[int, Drawn | None]:
        """The next chunk, from the servers in turn, skipping those that have none; None when nothing comes. `_changed` is held."""
        waited_until = time.monotonic() + _HELD_BACK_S
        while not self._closed:
            if len(self._ready) >= self._ahead:
                self._changed.wait(_POLL_S)
                waited_until = time.monotonic() + _HELD_BACK_S
                continue
            for step in range(1, len(self._sources) + 1):
                index = (turn + step) % len(self._sources)
                if (drawn := self._sources[index].take()) is not None:
                    self._missing_items -= len(drawn.pieces)  # of a queue, one each; _decode counts anew
                    return index, drawn
            left_s = waited_until - time.monotonic()
            if left_s <= 0:
                break
            self._changed.wait(left_s)
        return turn, None

    def _decode(self, assembler: Assembler, drawn: Drawn | None, server: int) -> list[Batch]:
        if drawn is None:
            rest = assembler.rest()
            return [] if rest is None else [stacking.restored(rest)]
        assert self._plan is not None
        rows_per_item = self._plan.rows_per_item
        items = drawn.items[:, : item_bytes(self._specs, rows_per_item)]
        columns, counts = view_items(items, self._specs, rows_per_item), row_counts(items, rows_per_item)
        if drawn.about:
            about = {**drawn.about, SERVER: np.full(len(items), server)}
            columns |= {name: column[:, None] for name, column in about.items()}  # [I, 1]
        self._padding += len(items) * rows_per_item - int(counts.sum())
        batches = assembler.feed(columns, counts)
        self._missing_items = -(-assembler.missing // rows_per_item)
        return [stacking.restored(batch) for batch in batches]

    def _ahead_rows(self) -> int:
        """Rows of a queue that were drawn and not given out, by Reverb's own count, for part of them is inside its client."""
        if self._table.kind != "queue":
            return 0
        return max(0, sum(drawn.since for drawn in self._drawn) - self._padding - self._given - self._dropped)

    def _count_unfinished(self) -> None:
        if self._table.kind != "queue":
            return
        for control in self._controls:
            if isinstance(control, RemoteControl):
                control.answer_s = _END_S / len(self._controls)
        try:
            self._ask()
        except PeerError as error:
            self._log.warning("how many samples were drawn and not learned from is not known: %s", error)
            return
        if (rows := self._ahead_rows()) > 0:
            self._meter.count("samples_unfinished", rows)
            self._log.info("%d samples were drawn for batches that the end came before (samples_unfinished)", rows)

    def _ask(self) -> list[tuple[Total, dict[str, Any]]]:
        """What each buffer that answers says. Raises PeerError: none does."""
        answers, errors = [], []
        for total, drawn, control in zip(self._totals, self._drawn, self._controls, strict=True):
            try:
                data = control.describe()
            except PeerError as error:
                errors.append(error)
                continue
            drawn.now(data.get("sampled", 0))
            answers.append((total, data))
        if not answers:
            raise errors[0]
        return answers
