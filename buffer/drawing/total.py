"""A counter of a server that may begin anew."""

from __future__ import annotations


class Total:
    """`sum` goes on when the server that counts begins anew; `since` is what it grew by after the first look at it."""

    def __init__(self) -> None:
        self.sum = self.since = self._last = 0
        self._seen = False

    def now(self, value: int) -> None:
        """The server's counter is `value`."""
        grown = value - self._last if value >= self._last else value
        self.sum += grown
        self.since += grown if self._seen else 0
        self._last, self._seen = value, True
