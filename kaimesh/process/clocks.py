"""Time between processes that does not change when somebody sets the machine's clock, or NTP does.

Within a process, time is measured with `time.monotonic`. All processes of a machine share that clock until it is
started anew. So a file says with a `stamp` when it was written, and `age_s` tells any other process of the machine how
long ago that was. Wall time is for people, and between machines.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from kaimesh.contract.json_text import number

_BOOT = Path("/proc/sys/kernel/random/boot_id")
Clock = Callable[[], float]


@cache
def boot() -> str:
    """Names this start of the machine: readings of its monotonic clock are comparable within it. "": not known."""
    try:
        return _BOOT.read_text().strip()
    except OSError:  # not Linux
        return ""


def stamp(now: float | None = None, clock: Clock = time.monotonic) -> dict[str, Any]:
    """The present moment, for a file: `time`, in wall time s (or `now`), `clock`, monotonic s, and `boot`."""
    return {"time": time.time() if now is None else now, "clock": clock(), "boot": boot()}


def age_s(stamped: Mapping[str, Any], now: float, clock: Clock = time.monotonic) -> float:
    """How many seconds ago `stamped` was written; inf where it does not say.

    now: wall time, s. It counts only where the file has no reading of this machine's monotonic clock since its start.
    """
    reading, written = number(stamped.get("clock")), number(stamped.get("time"))
    if reading is not None and stamped.get("boot") == boot():
        return max(0.0, clock() - reading)
    return math.inf if written is None else max(0.0, now - written)


def read_on(stamped: Mapping[str, Any], now: float, clock: Clock = time.monotonic) -> float:
    """What the clock that wrote `time` into `stamped` shows now. now: wall time, s, as of `age_s`."""
    written = number(stamped.get("time"))
    return now if written is None else written + age_s(stamped, now, clock)


class SteadyClock:
    """Wall time without jumps: what the machine's clock would show, had nobody set it since `since` was written.

    since: a stamp that this clock or an earlier one of the same file wrote; {}: it begins now.
    """

    def __init__(
        self, since: Mapping[str, Any] | None = None, wall: Clock = time.time, clock: Clock = time.monotonic
    ) -> None:
        self._clock = clock
        self._ahead = read_on(since or {}, wall(), clock) - clock()

    def __call__(self) -> float:
        """The present moment, s."""
        return self._ahead + self._clock()

    def stamp(self) -> dict[str, Any]:
        """It, for a file."""
        return stamp(self(), self._clock)
