"""Readers that wait until there is something to draw, so that they never ask Reverb for what is not there.

A draw that waits inside Reverb can neither be ended nor lose its reader without taking an item along (learner/queue_source).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from kaimesh.errors import SampleError
from kaimesh.items import Progress
from kaimesh.untrusted import clean
from kaimesh.wire.connection import Connection

LATE_S = 0.03  # items that are fewer than a reader wants at once wait so long for others
LONGEST_S = 1.0  # then a reader is answered although nothing came, which tells it that this process lives


class _Reader(NamedTuple):
    connection: Connection
    tag: int
    known: int
    enough: int
    size: bool
    since: float

    def due(self, progress: Progress, late: bool, now: float) -> bool:
        more = progress.given - self.known
        return (
            more < 0
            or more >= max(1, self.enough)
            or (late and more > 0)
            or (self.size and progress.given == progress.confirmed)
            or now - self.since >= LONGEST_S
        )


class Waiting:
    """The readers that asked, each with the count of items that it knows of. clock: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._readers: list[_Reader] = []
        self._news_since: float | None = None  # since when there is something that a reader was not told of

    def add(self, connection: Connection, tag: int, request: dict[str, Any]) -> None:
        """One more; its earlier request, if there is one, is forgotten. Raises SampleError: not what learner/control says."""
        known, enough, size = (request.get(name) for name in ("known", "enough", "size"))
        if type(known) is not int or type(enough) is not int or type(size) is not bool:
            raise SampleError(
                f"a wait wants whole numbers `known` and `enough` and a truth value `size`, not {clean(repr((known, enough, size)), 80)}; "
                "it was not done. Use this version's learner."
            )
        self._readers = [reader for reader in self._readers if reader.connection is not connection]
        self._readers.append(_Reader(connection, tag, known, enough, size, self._clock()))

    def most_s(self, idle_s: float) -> float:
        """How long nobody needs an answer, at most `idle_s`."""
        if self._news_since is None or not self._readers:
            return idle_s
        return max(0.0, min(idle_s, self._news_since + LATE_S - self._clock()))

    def due(self, progress: Progress) -> list[tuple[Connection, int, bool]]:
        """Whom to answer now, their tags, and whether they ask for the size."""
        if not self._readers:
            return []
        now = self._clock()
        told = all(reader.known == progress.given for reader in self._readers)
        self._news_since = None if told else self._news_since or now
        late = self._news_since is not None and now - self._news_since >= LATE_S
        here = [reader for reader in self._readers if not reader.connection.closed]
        due = [reader for reader in here if reader.due(progress, late, now)]
        self._readers = [reader for reader in here if reader not in due]
        return [(reader.connection, reader.tag, reader.size) for reader in due]
