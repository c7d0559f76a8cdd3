"""A Reverb queue as the learner sees it: every item comes once, so a draw must neither time out nor be left waiting.

Reverb forgets the items of a draw that times out, and gives the next items to a draw whose reader was killed while it waited.
So a draw asks for exactly the items that are in the table at that moment, has them at once, and is over:
while the table is empty, nobody waits in Reverb, but for a word of the buffer's ingest port. A queue has one reader.
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

_MOST_BYTES = 1 << 26  # of one draw, which `hold` lets come to its end
_MOST_ITEMS = 1024
_WAIT_S = 1.0  # then it looks for itself whether there is something
_LATE_S = 0.03  # items of a draw that is stuck do not wait longer for a chunk's others
_DOUBTFUL_S = 0.1  # after a draw that took longer, what is left is asked for: another reader's may have been in between
_INFO_S = 2
_REVERB_RAISES = (RuntimeError, ValueError, IndexError, StopIteration)  # one for each sort of gRPC status
_INFO_FIELDS = pybind.Sampler.NUM_INFO_TENSORS


class QueueSource:
    """Draws items of steps * step_bytes from the queue `name` at `address`, in order, and keeps at most two chunks until they are taken.

    news: its own link to the buffer's ingest port. missing: items that the reader's batch under way lacks; when they are there they
    are drawn at once. changed: the reader's condition, notified when items came.

    A server that dies in the middle of a draw leaves it waiting inside Reverb's client, which tries again for ever; the rest of its items
    then comes from the server that is started on the same port. What came before is taken without it.
    """

    def __init__(
        self,
        address: str,
        *,
        name: str,
        steps: int,
        step_bytes: int,
        chunk_items: int,
        in_flight_items: int,
        news: Control,
        missing: Callable[[], int],
        changed: threading.Condition,
        logger: logging.Logger,
    ) -> None:
        self.address, self._name, self._changed, self._log, self._news = address, name, changed, logger, news
        self._chunk, self._in_flight, self._missing = chunk_items, in_flight_items, missing
        self._most = max(chunk_items, min(_MOST_ITEMS, _MOST_BYTES // (steps * step_bytes)))
        self._items: deque[np.ndarray] = deque()  # [1, nbytes] each
        self._came_at = 0.0
        self._drawing = self._held = self._closed = False
        self._holds = 0  # what was known of the table before one of them holds no longer
        self._said = ""
        self._probe = Probe(address, logger)
        self._thread = threading.Thread(target=self._run, name=f"draw {address}", daemon=True)
        self._thread.start()

    @property
    def silent_s(self) -> float:
        """See Source."""
        return self._probe.silent_s

    def take(self) -> Drawn | None:
        """Up to a chunk of the oldest items; fewer only where a draw is over, or stuck."""
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
        """See Source. A table that is emptied between a look at it and the draw would leave the draw waiting."""
        with self._changed:
            self._held = True
            self._holds += 1
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not self._drawing, timeout_s)

    def release(self) -> None:
        """See Source."""
        with self._changed:
            self._held = False
            self._holds += 1  # what was asked while it was held may be from before the table was emptied
            self._changed.notify_all()

    def end(self) -> None:
        """See Source."""
        self._closed = True
        self._probe.close()
        if isinstance(self._news, RemoteControl):
            self._news.end()
        with self._changed:
            self._changed.notify_all()

    def join(self, timeout_s: float) -> None:
        """See Source."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        client = pybind.Client(self.address)
        known: int | None = None  # items that went in, of which none is left to be drawn; None: not sure
        while not self._closed:
            holds = self._holds
            try:
                progress = self._news.await_items(known or 0, self._enough(), known is None, _WAIT_S)
            except Stopped:
                break
            except MeshError as error:  # Reverb may have something all the same
                self._say(error)
                self._rest(RETRY_S)
                known, progress = None, Progress(-1, self._size(client))
            there = progress.left if known is None else progress.given - known
            started = time.monotonic()
            count = self._draw_all(client, there, holds)
            # Once a second, when nothing came, it asks what is left instead of counting on.
            sure = count == there and self._holds == holds and progress.given not in (-1, known)
            sure = sure and time.monotonic() - started < _DOUBTFUL_S
            known = progress.given if sure else None
        if isinstance(self._news, RemoteControl):
            self._news.close()

    def _say(self, error: MeshError) -> None:
        """Once, unless it is that nobody answers, which the probe says."""
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
        """For how many items to wait: those that make the batch under way whole, at most a chunk."""
        with self._changed:  # what is taken counts neither twice nor not at all
            missing = self._missing() - len(self._items)
        return min(missing, self._chunk) if missing > 0 else self._chunk

    def _rest(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed, seconds)

    def _draw(self, client: pybind.Client, count: int, holds: int) -> int:
        """Draws `count` items that are there; returns how many. Raises RuntimeError."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not (self._held or self._full()))
            if self._closed or self._holds != holds:  # they may be there no more
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
        """Items in the table, without the ingest port's word; 0 as well while the server does not answer."""
        try:
            tables = map(schema_pb2.TableInfo.FromString, client.ServerInfo(_INFO_S))
        except RuntimeError:  # the probe says so
            return 0
        return next((table.current_size for table in tables if table.name == self._name), 0)

    def _keep(self, item: np.ndarray) -> bool:
        """Takes in one item and waits for room for the next; False after the end."""
        with self._changed:
            self._items.append(item)
            self._came_at = time.monotonic()
            if len(self._items) >= self._chunk:
                self._changed.notify_all()
            self._changed.wait_for(lambda: self._closed or self._held or not self._full())
            return not self._closed

    def _full(self) -> bool:
        return len(self._items) >= 2 * self._chunk
