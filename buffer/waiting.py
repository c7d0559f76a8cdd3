"""The readers that wait at the ingest port until there are items, so that they draw from Reverb only what is there.

They do not wait in Reverb, because a waiting draw cannot be ended, and takes an item with it if its reader dies
(buffer/drawing/queue_source).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from kaimesh.buffer.items import Progress
from kaimesh.contract.errors import SampleError
from kaimesh.contract.untrusted import clean
from kaimesh.wire.connection import Connection

LATE_S = 0.03  # when nothing came for so long, a reader is also told of fewer items than it wants
LONGEST_S = 1.0  # after this time a reader is answered in any case, which shows it that this process is alive


class _Reader(NamedTuple):
    """A waiting request; known, enough, count_undrawn: see `await_items` in buffer/drawing/control."""

    connection: Connection
    tag: int
    known: int
    enough: int
    count_undrawn: bool
    since: float

    def due(self, progress: Progress, late: bool, now: float) -> bool:
        more = progress.given - self.known
        return (
            more < 0
            or more >= max(1, self.enough)
            or (late and more > 0)
            or self.count_undrawn
            or now - self.since >= LONGEST_S
        )


class Waiting:
    """The waiting readers, each with the number of items that it knows of. clock: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._readers: list[_Reader] = []
        self._given, self._came_at = 0, 0.0  # items given to Reverb so far, and when the last was

    def add(self, connection: Connection, tag: int, request: dict[str, Any]) -> None:
        """Adds a reader's request, in place of its earlier one. Raises SampleError: the request is malformed."""
        known, enough, count_undrawn = (request.get(name) for name in ("known", "enough", "count_undrawn"))
        if type(known) is not int or type(enough) is not int or type(count_undrawn) is not bool:
            raise SampleError(
                "a wait wants whole numbers `known` and `enough` and a truth value `count_undrawn`, not "
                f"{clean(repr((known, enough, count_undrawn)), 80)}; it was not done. Use this version's learner."
            )
        self._readers = [reader for reader in self._readers if reader.connection is not connection]
        self._readers.append(_Reader(connection, tag, known, enough, count_undrawn, self._clock()))

    def most_s(self, idle_s: float) -> float:
        """How long no answer is due if nothing new comes, at most `idle_s`."""
        if all(reader.known == self._given for reader in self._readers):
            return idle_s
        return max(0.0, min(idle_s, self._came_at + LATE_S - self._clock()))

    def due(self, progress: Progress, *, counted: bool = True) -> list[tuple[Connection, int, bool]]:
        """Removes and returns the readers to answer now: connection, tag, and whether to count the undrawn items.

        counted: whether they can be counted now; if not, readers that ask for it stay.
        """
        now = self._clock()
        if progress.given != self._given:
            self._given, self._came_at = progress.given, now
        if not self._readers:
            return []
        late = now - self._came_at >= LATE_S
        here = [reader for reader in self._readers if not reader.connection.closed]
        due = [reader for reader in here if (counted or not reader.count_undrawn) and reader.due(progress, late, now)]
        self._readers = [reader for reader in here if reader not in due]
        return [(reader.connection, reader.tag, reader.count_undrawn) for reader in due]
