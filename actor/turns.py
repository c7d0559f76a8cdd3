"""Whose turn it is: the requests of play, or those that ask about stored samples again (reanalyse).

Play asks in bursts: a client that has got its answers steps its environments, and asks anew. Reanalyse always asks. So
that neither starves the other, reanalyse owns a share s of the rows that are searched while play asks too:

    credit    grows by s / (1 - s) for each row of play, and falls by one for each of reanalyse
    its turn  there is credit for its oldest request; or the actor has waited for play as long as a search of reanalyse
              takes, so that play loses no more time to it than it has left unused

What nobody asks for is not saved up: without requests of reanalyse, credit does not grow beyond one request.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from kaimesh.wire.connection import Connection
from kaimesh.wire.frame import Header

MOST_WAITING = 4  # requests of one client; while it has so many here, nothing more is read from it


class Waiting(NamedTuple):
    """A request that waits for its turn; its payload is a copy."""

    connection: Connection
    header: Header
    payload: bytes


class Turns:
    """The requests of reanalyse, and when the oldest of them may be searched.

    share: of the rows, above 0 and below 1. most_rows: of one search. clock: seconds, monotonic.
    """

    def __init__(self, share: float, most_rows: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._gain, self._most_rows, self._clock = share / (1 - share), most_rows, clock
        self._waiting: deque[Waiting] = deque()
        self._credit = 0.0  # rows
        self._played_at = clock()  # when the last rows of play were answered
        self._search_s = 0.0  # how long the last search of reanalyse took

    def __bool__(self) -> bool:
        """Whether there are requests."""
        return bool(self._waiting)

    def add(self, connection: Connection, header: Header, payload: memoryview | bytes) -> bool:
        """Appends a request. Returns whether its client may send more."""
        self._waiting.append(Waiting(connection, header, bytes(payload)))
        return sum(waiting.connection is connection for waiting in self._waiting) < MOST_WAITING

    def leave(self, connection: Connection) -> None:
        """Drops what a client has asked for."""
        self._waiting = deque(waiting for waiting in self._waiting if waiting.connection is not connection)

    def played(self, rows: int) -> None:
        """So many rows of play were answered just now."""
        self._played_at = self._clock()
        self._credit += self._gain * rows
        if not self._waiting:
            self._credit = min(self._credit, self._most_rows)

    @property
    def owed(self) -> bool:
        """Whether reanalyse has its turn although play asks."""
        return bool(self._waiting) and self._credit >= self._waiting[0].header.rows

    @property
    def idle_s(self) -> float:
        """How long it is until reanalyse has its turn if play asks for nothing meanwhile, s; 0: it has it now."""
        return 0.0 if self.owed else max(0.0, self._search_s - (self._clock() - self._played_at))

    def serve(self, search: Callable[[Connection, Header, bytes], None], playing: bool) -> None:
        """Calls `search` for each request that has its turn. playing: whether requests of play wait for theirs."""
        while self.owed:
            self._search(search)
        if self._waiting and not playing and self.idle_s == 0:
            self._search(search)

    def _search(self, search: Callable[[Connection, Header, bytes], None]) -> None:
        waiting = self._waiting.popleft()
        self._credit = max(0.0, self._credit - waiting.header.rows)
        began = self._clock()
        search(*waiting)
        self._search_s = self._clock() - began
