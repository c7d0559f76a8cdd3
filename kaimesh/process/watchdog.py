"""Ends a process whose main loop hangs, whose user's code does not return, or which does not end after it was told to.

Time is counted in ticks of this thread, one a second, and never read from a clock: a process that was stopped for an
hour (SIGSTOP, `docker pause`, a laptop's sleep) finds one more tick when it goes on, and nobody's limit is over. A
thread does not tick while native code holds Python's lock. Therefore a process that does not run at all is found from
outside (operate/frozen): by the keeper, and in a container by the process that started it, which count their own ticks
in the same way. faulthandler's timer, which runs in C, would end a process as soon as it goes on after a pause.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from kaimesh.config import App
from kaimesh.contract import calls
from kaimesh.contract.calls import Running
from kaimesh.contract.errors import EXIT_WATCHDOG
from kaimesh.process.meter import Meter
from kaimesh.process.stacks import place_of, stacks

TICK_S = 1.0
_START_S = 60.0  # libraries are imported then, which takes seconds
_IDLE = 0.02  # of a core; a process that uses less while it starts is waiting
_PATIENCE = 5  # times the limit, for one that uses more: it imports or compiles on a busy machine, and would again


class Limits(NamedTuple):
    """What a process may take, seconds.

    silent_s: its main loop, between two calls of `meter.beat` or `meter.state`; and its end. user_s: one call of the
    user's code; never less than silent_s. silent_key, user_key: the keys that set them.
    """

    silent_s: float
    user_s: float
    silent_key: str = "watchdog_seconds"
    user_key: str = "user_code_seconds"

    @classmethod
    def of(cls, app: App) -> Limits:
        """The limits that the keys set."""
        return cls(app.watchdog_seconds, max(app.watchdog_seconds, app.user_code_seconds))


class Taken:
    """For how long each thread has been in its call without progress, counted in ticks of `tick_s`."""

    def __init__(self, tick_s: float) -> None:
        self._tick_s = tick_s
        self._seen: dict[int, tuple[int, float]] = {}  # by thread: its count of changes, seconds since it changed
        self._warned: set[tuple[int, int]] = set()

    def tick(self) -> list[tuple[Running, float]]:
        """A tick has passed. Returns each thread's call, and for how long it has taken, s."""
        before, self._seen = self._seen, {}
        found = []
        for call in calls.running():
            changes, taken_s = before.get(call.thread, (-1, 0.0))
            taken_s = taken_s + self._tick_s if changes == call.changes else 0.0
            self._seen[call.thread] = (call.changes, taken_s)
            found.append((call, taken_s))
        return found

    def forget(self) -> None:
        """Counts anew for all threads."""
        self._seen.clear()

    def warning(self, call: Running, name: str, taken_s: float, limits: Limits) -> str:
        """What to say of a call that has taken more than half of its limit; "" where it was said already."""
        if taken_s <= limits.user_s / 2 or (call.thread, call.changes) in self._warned:
            return ""
        self._warned = {known for known in self._warned if known[0] != call.thread} | {(call.thread, call.changes)}
        place = place_of(stacks().get(call.thread, []))
        at = f", now at {place}" if place else ""
        return (
            f"{name} has not returned for {taken_s:.0f} s{at}; after {limits.user_s:.0f} s this process is ended. "
            f"Raise {limits.user_key} if it needs that long"
        )


class Watchdog:
    """A thread that ends the process with EXIT_WATCHDOG when one of `limits` is over, and logs where each thread is.

    Nobody's main loop has to be heard of while it is inside the user's code (kaimesh.contract.calls), for a learn may
    take long. But such a call has a limit of its own; at half of it, a warning names it. While the process starts it
    has at least a minute for everything, and five while it uses the CPU.

    cpu_s: the CPU time that the process has used, s.
    """

    def __init__(
        self,
        meter: Meter,
        stop: threading.Event,
        logger: logging.Logger,
        limits: Limits,
        cpu_s: Callable[[], float] = time.process_time,
    ) -> None:
        self._meter, self._stop, self._log, self._limits, self._cpu_s = meter, stop, logger, limits, cpu_s
        self._used_s = cpu_s()
        self._patience = limits._replace(silent_s=max(_START_S, limits.silent_s), user_s=max(_START_S, limits.user_s))
        self._beat, self._silent_s = meter.last_beat, 0.0
        self._taken = Taken(TICK_S)

    def start(self) -> None:
        """From now on."""
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def be_patient(self, seconds: float, key: str) -> None:
        """Allows `seconds` without a beat, and for a call, while the meter's state is "starting".

        key: the configuration's key for that limit.
        """
        most_s = max(seconds, self._limits.silent_s)
        self._patience = Limits(most_s, most_s, key, key)

    def tick(self) -> str:
        """A second has passed. Returns why the process is to end, or ""."""
        limits = self._patience if self._meter.is_starting else self._limits
        beat, used_s = self._meter.last_beat, self._cpu_s()
        works = self._meter.is_starting and used_s - self._used_s > _IDLE * TICK_S
        self._silent_s = self._silent_s + TICK_S / (_PATIENCE if works else 1) if beat == self._beat else 0.0
        self._beat, self._used_s = beat, used_s
        running = self._taken.tick()
        for call, taken_s in running:
            name = self._named(call)
            if taken_s > limits.user_s:
                return f"{name} took longer than {limits.user_s:.0f} s; raise {limits.user_key} if it needs that long"
            if warning := self._taken.warning(call, name, taken_s, limits):
                self._log.warning("%s", warning)
        if running or self._silent_s <= limits.silent_s:
            return ""
        return self._silence(limits)

    def _named(self, call: Running) -> str:
        doing = self._meter.blocked_on if self._meter.is_starting else ""
        return f"{doing} ({call.where})" if doing else call.where

    def _silence(self, limits: Limits) -> str:
        if not self._meter.is_starting:
            return f"its main loop was silent for {limits.silent_s:.0f} s"
        doing = self._meter.blocked_on or "its start"
        return f"{doing} took longer than {limits.silent_s:.0f} s; raise {limits.silent_key} if it needs that long"

    def _watch(self) -> None:
        while not self._stop.wait(TICK_S):
            if reason := self.tick():
                break
        else:
            left_s = self._limits.silent_s  # a clean end may take that long, no longer
            while left_s > 0:
                threading.Event().wait(min(TICK_S, left_s))
                left_s -= TICK_S
            reason = f"it had not ended {self._limits.silent_s:.0f} s after it was told to"
        self._meter.info["exit_code"] = EXIT_WATCHDOG
        self._meter.state("failed", reason)
        self._log.error("watchdog: %s; ending the process. Every thread was here:", reason)
        faulthandler.dump_traceback(file=sys.stdout)
        sys.stdout.flush()
        self._meter.publish()
        os._exit(EXIT_WATCHDOG)
