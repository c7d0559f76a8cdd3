"""Holds `replay_ratio`: positions learned from per position stored, however many a row holds and a learn uses.

Reverb's own limiter counts items and cannot be changed once its table is made. This one counts positions at both ends:

    I, I_0    positions that the buffers ever took; at the first learn
    L         positions that the learner learned from
    credit    ratio x (I - I_0) - L

    learner   begins a learn only while credit > 0; a learn may overdraw it
    buffers   take rows only while credit < slack; they are told how many positions that are (buffer/pace)

The slack is above 0, so one side may always go on, whatever the sizes: neither waits for the other for ever. Where a
learn may begin and there is nothing to draw, because a buffer lost what it held, it takes some rows anyway. A side's
last step may go beyond its bound, and the next ones are fewer, so errors do not add up. L and I_0 are kept over kills
and restarts of the learner, as each buffer keeps its own count.
"""

from __future__ import annotations

import logging
import math
from typing import Protocol

from kaimesh.process.meter import Meter

SLACK_LEARNS = 16  # the slack, in learns: so many the learner may make while nothing comes
_TELL = 0.25  # of the slack: the buffers are told anew after so many positions
LEARNED, BEFORE = "positions_learned", "positions_before_learning"


class Buffers(Protocol):
    """What is used of buffer/drawing/reader."""

    def pace(self, more: float | None) -> int:
        """Tells each buffer how many positions it may take beyond those that it had by its last answer; None: as many
        rows as there must be before a first learn.

        Returns how many all have ever taken. Raises PeerError: none answers.
        """
        ...


class ReplayRatio:
    """Decides whether a learn may begin, and tells the buffers how many positions they may take.

    learn: positions of a learn, until the first one has told. Counters: positions_learned, positions_before_learning;
    gauge: replay_ratio, as it is now.
    """

    def __init__(
        self, ratio: float, buffers: Buffers, *, learn: int, meter: Meter, logger: logging.Logger | None = None
    ) -> None:
        self._ratio, self._buffers, self._meter = ratio, buffers, meter
        self._log = logger or logging.getLogger("learner")
        self._inserted = 0  # I, by the buffers' last answers
        self._slack = float(SLACK_LEARNS * max(1, learn))
        self._untold = math.inf  # positions learned from since the buffers were told
        self._open = False  # whether there are too few rows for a batch

    def open(self) -> None:
        """Until the next learn, or `close`: there are too few rows for a batch, as after a kill of a buffer, and each
        buffer may take what a first learn needs. Raises PeerError.
        """
        self._open, self._untold = True, math.inf
        self._inserted = self._buffers.pace(None)

    def close(self) -> None:
        """Ends `open`."""
        self._open = False

    def blocked_on(self) -> str:
        """What the next learn waits for; "": it may begin. Raises PeerError."""
        if self._open:
            return ""
        if self.credit <= 0 or self._untold >= _TELL * self._slack:
            self._tell()
        if self.credit > 0:
            return ""
        return f"buffer: {-self.credit / self._ratio + 1:,.0f} more new positions (replay_ratio)"

    def learned(self, positions: int) -> None:
        """A learn has used so many positions."""
        if BEFORE not in self._meter.counters:
            self._meter.count(BEFORE, self._inserted)
        self._meter.count(LEARNED, positions)
        self._open = False
        self._slack = float(SLACK_LEARNS * max(1, positions))
        self._untold += positions
        if (came := self._inserted - self._before) > 0:
            self._meter.gauge("replay_ratio", self._learned / came)

    @property
    def credit(self) -> float:
        """The positions that may be learned from now, by the buffers' last answers."""
        return self._ratio * (self._inserted - self._before) - self._learned

    @property
    def _learned(self) -> float:
        return self._meter.counters.get(LEARNED, 0)

    @property
    def _before(self) -> float:
        return self._meter.counters.get(BEFORE, self._inserted)

    def _tell(self) -> None:
        """Asks the buffers how many positions they have taken, and tells them how many more they may."""
        if math.isinf(self._untold):  # of this life's first call; what it is told is not known before
            self._inserted = self._buffers.pace(None)
            self._check()
        if BEFORE not in self._meter.counters:
            self._meter.count(BEFORE, self._inserted)
        self._inserted = self._buffers.pace(max(0.0, (self._slack - self.credit) / self._ratio))
        self._untold = 0.0

    def _check(self) -> None:
        """Begins to count anew where the buffers have lost their counts, with the files of an earlier life."""
        if BEFORE in self._meter.counters and self._inserted < self._before:
            self._log.warning(
                "the buffers count %d positions, fewer than the %d before the first learn: their counts are lost, "
                "and replay_ratio is held from here on", self._inserted, self._before,
            )  # fmt: skip
            self._meter.count(BEFORE, self._inserted - self._learned / self._ratio - self._before)
