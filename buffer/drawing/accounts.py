"""The learner's side of the books: what it drew from each queue, over all its lives (docs/architecture.md).

    the buffers' sampled = samples_learned - samples_replayed + samples_stale + samples_unfinished + lost_in_kill

after a stop; before it, what the learner has in hand is missing on the right.
"""

from __future__ import annotations

from kaimesh.process.meter import LOST, Meter

_DRAWN = "samples_drawn_{}"  # from the buffer of that index; as far as they are booked, those on their way too


class Accounts:
    """The counters of `meter` that say what became of the rows drawn from `buffers` queues.

    Books at once, as `lost_in_kill`, what a former life had drawn and was killed with.
    """

    def __init__(self, meter: Meter, buffers: int) -> None:
        self._meter = meter
        self._names = [_DRAWN.format(index) for index in range(buffers)]
        self._heard = [False] * buffers
        came = sum(map(self._count, self._names))
        used = self._count("samples_learned") - self._count("samples_replayed")
        used += sum(map(self._count, ("samples_stale", "samples_unfinished", LOST)))
        if came > used:
            meter.count(LOST, came - used)
        elif used > came:  # a run that was begun before these counters were there
            meter.count(self._names[0], used - came)

    def drawn(self, index: int) -> int:
        """Rows that came from that buffer."""
        return self._count(self._names[index])

    def came(self, index: int, rows: int) -> None:
        """Counts rows that came from it."""
        self._meter.count(self._names[index], rows)

    def heard(self, index: int, sampled: int) -> None:
        """That buffer's own count. At the first answer, nothing is on its way: what did not come died with the life
        before.
        """
        if not self._heard[index]:
            self._heard[index] = True
            if missing := self.settle(index, sampled):
                self._meter.count(LOST, missing)
            self._meter.keep()

    def settle(self, index: int, sampled: int) -> int:
        """Counts the rows that are missing at `sampled` as drawn, and returns how many: the caller books them."""
        missing = max(0, sampled - self.drawn(index))
        if missing:
            self._meter.count(self._names[index], missing)
        return missing

    def _count(self, name: str) -> int:
        return int(self._meter.counters.get(name, 0))
