"""The books of one buffer: where each row that it ever took is now, over all lives of the process.

After every `enter`, for a queue (rows are drawn once) and for a replay table (rows make room for newer ones):

    queue    inserted = sampled + dropped + lost_in_kill + size + pending
    replay   inserted = evicted + dropped + lost_in_kill + size + pending

size and pending are gauges, the rest are counters of the meter, which keeps them beyond a kill. `sampled` counts draws
in a replay table too, but is in no sum there: a row is drawn any number of times.
"""

from __future__ import annotations

from typing import NamedTuple

from kaimesh.process.meter import LOST, Meter


class Places(NamedTuple):
    """Rows of one life: came (restored ones too), drawn, in the table, waiting for it; dropped since it began.

    full: no more rows can come now, so that `size` counts partly filled items of a replay table as full.
    """

    came: int
    drawn: int
    size: int
    pending: int
    dropped: int
    full: bool = False


class Books:
    """Enters in `meter` where the rows of a table are.

    queue: whether drawn rows leave the table. capacity: rows that it holds at most. prefix: of the names in `meter`.
    filled: the size for those who wait until there is enough: once no more rows can come, partly filled items of a
    replay table count as full.
    """

    def __init__(self, meter: Meter, *, queue: bool, capacity: int, prefix: str = "") -> None:
        self._meter, self._queue, self._capacity, self._prefix = meter, queue, capacity, prefix
        self._gone = "sampled" if queue else "evicted"
        self._before = Places(0, 0, 0, 0, 0)
        self._evicted = 0  # of this life
        self.filled = 0

    def count(self, name: str) -> int:
        """One of the counters."""
        return int(self._meter.counters.get(self._prefix + name, 0))

    def _add(self, name: str, amount: int) -> None:
        self._meter.count(self._prefix + name, amount)

    def former_life(self, restored: int) -> tuple[int, int]:
        """Books what the life before held and this one has not, as `lost_in_kill`.

        restored: rows that came back, at most. Returns how many of them these books know, and how many are lost.
        """
        if not self.count("inserted"):  # the first life, or the run's files are new and its checkpoint is not
            return restored, 0
        held = self.count("inserted") - self.count(self._gone) - self.count("dropped") - self.count(LOST)
        if not self._queue and held > self._capacity:  # removed in the last moments, which nobody counted any more
            self._add("evicted", held - self._capacity)
            held = self._capacity
        restored = min(restored, max(0, held))
        lost = held - restored
        if lost > 0:
            self._add(LOST, lost)
            self._meter.keep()
        return restored, lost

    def enter(self, now: Places) -> None:
        """Brings counters and gauges to `now`."""
        before, self._before = self._before, now
        size = min(now.size, now.came - now.dropped)  # in a replay table an estimate
        self.filled = now.size if now.full else size
        pending = now.pending
        if not self._queue:
            pending = min(pending, now.came - now.dropped - size)
            evicted = now.came - now.dropped - size - pending
            self._add("evicted", evicted - self._evicted)
            self._evicted = evicted
        self._add("sampled", now.drawn - before.drawn)
        if now.dropped != before.dropped:
            self._add("dropped", now.dropped - before.dropped)
        self._meter.gauge(f"{self._prefix}size", size)
        self._meter.gauge(f"{self._prefix}pending", pending)

    def heard(self, drawn: int) -> None:
        """A queue's learner says that it got `drawn` rows from this buffer, in all lives.

        Those that the last one had no time to count are not lost.
        """
        known = drawn - self.count("sampled")
        if self._queue and known > 0 and (found := min(known, self.count(LOST))) > 0:
            self._add(LOST, -found)
            self._add("sampled", found)
