"""Readers that wait until there is something to draw, so that they never ask Reverb for what is not there.

A draw that waits inside Reverb can neither be ended nor lose its reader without taking an item along (buffer/drawing/queue_source).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from kaimesh.buffer.items import Progress
from kaimesh.contract.errors import SampleError
from kaimesh.contract.untrusted import clean
from kaimesh.wire.connection import Connection

LATE_S = 0.03  # when nothing came for so long, items that are fewer than a reader wants at once are told of
LONGEST_S = 1.0  # then a reader is answered although nothing came, which tells it that this process lives


class _Reader(NamedTuple):
    connection: Connection
    tag: int
    known: int
    enough: int
    left: bool
    since: float

    def due(self, progress: Progress, late: bool, now: float) -> bool:
        more = progress.given - self.known
        return (
            more < 0 or more >= max(1, self.enough) or (late and more > 0) or self.left or now - self.since >= LONGEST_S
        )


class Waiting:
    """The readers that asked, each with the count of items that it knows of. clock: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._readers: list[_Reader] = []
        self._given, self._came_at = 0, 0.0  # items that went in so far, and when the last did

    def add(self, connection: Connection, tag: int, request: dict[str, Any]) -> None:
        """One more; its earlier request, if there is one, is forgotten. Raises SampleError: not what buffer/drawing/control says."""
        known, enough, left = (request.get(name) for name in ("known", "enough", "left"))
        if type(known) is not int or type(enough) is not int or type(left) is not bool:
            raise SampleError(
                f"a wait wants whole numbers `known` and `enough` and a truth value `left`, not {clean(repr((known, enough, left)), 80)}; "
                "it was not done. Use this version's learner."
            )
        self._readers = [reader for reader in self._readers if reader.connection is not connection]
        self._readers.append(_Reader(connection, tag, known, enough, left, self._clock()))

    def most_s(self, idle_s: float) -> float:
        """How long nobody needs an answer, at most `idle_s`."""
        if all(reader.known == self._given for reader in self._readers):
            return idle_s
        return max(0.0, min(idle_s, self._came_at + LATE_S - self._clock()))

    def due(self, progress: Progress, *, counted: bool = True) -> list[tuple[Connection, int, bool]]:
        """Whom to answer now, their tags, and whether they ask for `left`; who does is left waiting where it cannot be `counted`."""
        now = self._clock()
        if progress.given != self._given:
            self._given, self._came_at = progress.given, now
        if not self._readers:
            return []
        late = now - self._came_at >= LATE_S
        here = [reader for reader in self._readers if not reader.connection.closed]
        due = [reader for reader in here if (counted or not reader.left) and reader.due(progress, late, now)]
        self._readers = [reader for reader in here if reader not in due]
        return [(reader.connection, reader.tag, reader.left) for reader in due]
