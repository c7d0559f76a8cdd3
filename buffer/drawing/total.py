"""Counters of servers that may restart."""

from __future__ import annotations


class Total:
    """A running total of a remote counter that falls back to 0 when its server restarts.

    total: everything counted, over all restarts. since_first: the same without the value of the first `update`. last:
    the newest value.
    """

    def __init__(self) -> None:
        self.total = self.since_first = self.last = 0
        self._seen = False

    def update(self, value: int) -> None:
        """Takes the present `value` of the server's counter."""
        grown = value - self.last if value >= self.last else value
        self.total += grown
        self.since_first += grown if self._seen else 0
        self.last, self._seen = value, True
