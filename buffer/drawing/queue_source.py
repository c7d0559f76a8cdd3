"""The source of a queue, from which every item can be drawn once. A queue has one reader.

A draw from Reverb that waits can lose items: those of a draw that times out are gone, and if a reader is killed while
its draw waits, the next items still go to that draw. So no draw here ever waits: it asks for exactly the items that are
in the table, gets them at once, and ends. Whether there are items, the source asks the buffer's ingest port:

    ingest port   await_items ........ items came    await_items ........ items came
    Reverb                                   draw                                draw
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

import numpy as np
from reverb import pybind
from reverb.cc import schema_pb2

from kaimesh.buffer.drawing.control import Control, RemoteControl
from kaimesh.buffer.drawing.probe import Probe
from kaimesh.buffer.drawing.source import RETRY_S, Drawn
from kaimesh.buffer.items import Progress
from kaimesh.contract.errors import MeshError, PeerError, Stopped

_MOST_BYTES = 1 << 26  # of one draw: `hold` has to wait for its end
_MOST_ITEMS = 1024
_WAIT_S = 1.0  # the longest wait for items at the ingest port
_LATE_S = 0.03  # items that waited this long for others of their chunk are taken without them
_DOUBTFUL_S = 0.1  # after a slower draw the undrawn items are counted anew: another reader may have drawn meanwhile
_INFO_S = 2
_REVERB_RAISES = (RuntimeError, ValueError, IndexError, StopIteration)  # one for each sort of gRPC status
_INFO_FIELDS = pybind.Sampler.NUM_INFO_TENSORS


class QueueSource:
    """Draws items from the queue `name` at `address`, in order, and keeps at most two chunks until they are taken.

    An item has pieces * piece_bytes bytes. control: the ingest port of the same buffer; nobody else uses this object.
    missing: returns how many items the reader's current batch still needs; so many are drawn without waiting for a
    whole chunk. changed: the reader's condition, notified when items came.

    If the server dies during a draw, Reverb's client retries for ever, and the draw gets its remaining items from the
    server that is started next on the same port. Items that came before can be taken meanwhile.
    """

    def __init__(
        self,
        address: str,
        *,
        name: str,
        pieces: int,
        piece_bytes: int,
        chunk_items: int,
        in_flight_items: int,
        control: Control,
        missing: Callable[[], int],
        changed: threading.Condition,
        logger: logging.Logger,
    ) -> None:
        self.address, self._name, self._changed, self._log, self._control = address, name, changed, logger, control
        self._chunk, self._in_flight, self._missing = chunk_items, in_flight_items, missing
        self._most = max(chunk_items, min(_MOST_ITEMS, _MOST_BYTES // (pieces * piece_bytes)))
        self._items: deque[np.ndarray] = deque()  # [1, nbytes] each
        self._came_at = 0.0
        self._drawing = self._held = self._closed = False
        self._holds = 0  # calls of hold and release; each makes what was known of the table out of date
        self._said = ""
        self._probe = Probe(address, logger)
        self._thread = threading.Thread(target=self._run, name=f"draw {address}", daemon=True)
        self._thread.start()

    @property
    def silent_s(self) -> float:
        """See Source."""
        return self._probe.silent_s

    def take(self) -> Drawn | None:
        """The oldest items, up to a chunk of them; fewer only if no draw is under way, or it brings nothing."""
        count = min(len(self._items), self._chunk)
        if not count:
            return None
        if count < self._chunk and self._drawing and time.monotonic() - self._came_at < _LATE_S:
            return None
        self._changed.notify_all()
        return Drawn([self._items.popleft() for _ in range(count)], {})

    def clear(self) -> None:
        """See Source."""
        self._items.clear()
        self._changed.notify_all()

    def hold(self, timeout_s: float) -> bool:
        """See Source. Needed before a table is emptied: a draw that had counted its items would wait in Reverb."""
        with self._changed:
            self._held = True
            self._holds += 1
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not self._drawing, timeout_s)

    def release(self) -> None:
        """See Source."""
        with self._changed:
            self._held = False
            self._holds += 1  # an answer that came during the hold may be from before the table was emptied
            self._changed.notify_all()

    def end(self) -> None:
        """See Source."""
        self._closed = True
        self._probe.close()
        if isinstance(self._control, RemoteControl):
            self._control.end()
        with self._changed:
            self._changed.notify_all()

    def join(self, timeout_s: float) -> None:
        """See Source."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        client = pybind.Client(self.address)
        known: int | None = None  # of the items ever given, so many were all drawn; None: how many is not certain
        while not self._closed:
            holds = self._holds
            try:
                progress = self._control.await_items(known or 0, self._enough(), known is None, _WAIT_S)
            except Stopped:
                break
            except MeshError as error:  # Reverb may have items all the same
                self._say(error)
                self._rest(RETRY_S)
                known, progress = None, Progress(-1, self._size(client))
            there = progress.undrawn if known is None else progress.given - known
            started = time.monotonic()
            count = self._draw_all(client, there, holds)
            # When nothing came for a second (given == known), the undrawn items are counted anew, to be safe.
            sure = count == there and self._holds == holds and progress.given not in (-1, known)
            sure = sure and time.monotonic() - started < _DOUBTFUL_S
            known = progress.given if sure else None
        if isinstance(self._control, RemoteControl):
            self._control.close()

    def _say(self, error: MeshError) -> None:
        """Logs an error once; a PeerError not at all: that nobody answers is logged by the probe."""
        if not isinstance(error, PeerError) and str(error) != self._said:
            self._said = str(error)
            self._log.warning("%s", error)

    def _draw_all(self, client: pybind.Client, there: int, holds: int) -> int:
        count = 0
        try:
            while count < there and (came := self._draw(client, min(there - count, self._most), holds)):
                count += came
        except _REVERB_RAISES as error:
            self._log.warning(
                "%s: drawing samples failed (%s); trying again", self.address, str(error).partition("\n")[0]
            )
            self._rest(RETRY_S)
        return count

    def _enough(self) -> int:
        """The number of items to wait for: those that complete the reader's current batch, at most a chunk."""
        with self._changed:  # between taking items and counting them as not missing
            missing = self._missing() - len(self._items)
        return min(missing, self._chunk) if missing > 0 else self._chunk

    def _rest(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed, seconds)

    def _draw(self, client: pybind.Client, count: int, holds: int) -> int:
        """Draws `count` items, which must be in the table; returns how many came. Raises RuntimeError."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not (self._held or self._full()))
            if self._closed or self._holds != holds:  # the table may have been emptied since they were counted
                return 0
            self._drawing = True
        done = 0
        try:
            sampler = client.NewSampler(self._name, count, min(count, self._in_flight))
            while done < count and self._keep(sampler.GetNextTrajectory()[_INFO_FIELDS].reshape(1, -1)):
                done += 1
            return done
        finally:
            with self._changed:
                self._drawing = False
                self._changed.notify_all()

    def _size(self, client: pybind.Client) -> int:
        """Items in the table, asked of Reverb itself; 0 also if Reverb does not answer."""
        try:
            tables = map(schema_pb2.TableInfo.FromString, client.ServerInfo(_INFO_S))
        except RuntimeError:  # the probe logs it
            return 0
        return next((table.current_size for table in tables if table.name == self._name), 0)

    def _keep(self, item: np.ndarray) -> bool:
        """Adds one drawn item and waits until there is room for another; False after `end`."""
        with self._changed:
            self._items.append(item)
            self._came_at = time.monotonic()
            if len(self._items) >= self._chunk:
                self._changed.notify_all()
            self._changed.wait_for(lambda: self._closed or self._held or not self._full())
            return not self._closed

    def _full(self) -> bool:
        return len(self._items) >= 2 * self._chunk
