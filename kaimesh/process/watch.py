"""Ends a program that runs many threads in one process, such as train_test.py, when none of them progresses any more.

The processes of a mesh use kaimesh/process/watchdog instead: each has one main loop, and supervisord restarts it.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable

from kaimesh.config import App
from kaimesh.contract.errors import EXIT_WATCHDOG, Stopped
from kaimesh.process.meter import Meter
from kaimesh.process.stacks import debugged, places, stacks
from kaimesh.process.turn import Turn
from kaimesh.process.watchdog import Limits, Taken

_TICK_S = 0.5
_IDLE = 0.1  # of a core; a process that uses less is waiting, a compilation uses more
_MANY_STEPS = 3000  # without a sample; a workflow should have sent some at the end of an episode
_SWALLOWED_S = 10.0  # of one Stopped after another; a workflow that lets it pass has ended long before
_PATIENCE = 5  # times the limit, for a process that is busy or still being built


class Watch:
    """Ends the process with EXIT_WATCHDOG after `limits.silent_s` without progress, and prints where each thread is.

    progress: returns a value that changes with every step of the work. words: which thread waits for which, a line
    each.
    status: a line that is printed every `report_s`. workflow: its name. A workflow that catches one Stopped after
    another, and so would never end, is ended by this, too.
    The limit is five times as long while the process uses the CPU (a first compilation takes long), and until `built`
    is set. A thread inside a call of the agent or the environment has `limits.user_s`, with a warning at half of it.
    Time in a debugger does not count, nor time in which the whole process was stopped.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        progress: Callable[[], object],
        words: Callable[[], list[str]],
        status: Callable[[], str],
        report_s: float,
        workflow: str = "",
    ) -> None:
        self.built = False
        self._workflow = workflow
        self._limits, self._progress, self._words = limits, progress, words
        self._status, self._report_s = status, report_s
        self._taken = Taken(_TICK_S)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    @classmethod
    def over(cls, meter: Meter, turn: Turn, app: App, workflow: str) -> Watch:
        """A watch over the counters of a process: env steps, predictions, samples, learns. app: the keys."""

        def status() -> str:
            state = meter.snapshot()
            names = ("env_steps", "inserted", "learner_steps")
            counts = ", ".join(f"{state['counters'].get(name, 0):,.0f} {name}" for name in names)
            told = f"{meter.name}: {counts}; {state['state']} {state['blocked_on']}".rstrip()
            unheard = state["counters"].get("env_steps", 0) > _MANY_STEPS and not state["counters"].get("inserted")
            return told + ("; no sample came yet: does the workflow call agent.learn?" if unheard else "")

        def progress() -> object:
            return meter.snapshot()["counters"]

        limits, report_s = Limits.of(app), app.report_seconds
        return cls(limits, progress=progress, words=turn.words, status=status, report_s=report_s, workflow=workflow)

    def start(self) -> None:
        """From now on."""
        self._thread.start()

    def stop(self) -> None:
        """No longer."""
        self._stop.set()

    def _run(self) -> None:
        value, used, idle, silent, told = self._progress(), time.process_time(), 0.0, 0.0, 0.0
        stops, swallowed = Stopped.raised, 0.0
        while not self._stop.wait(_TICK_S):
            before, value = value, self._progress()
            busy_s, used = time.process_time() - used, time.process_time()
            stops_before, stops = stops, Stopped.raised
            swallowed = swallowed + _TICK_S if stops > stops_before else 0.0
            if value != before or debugged(stacks()):
                idle = silent = 0.0
                self._taken.forget()
            if swallowed > _SWALLOWED_S and not debugged(stacks()):
                self._end(
                    f"the workflow {self._workflow} goes on after the stop: it has caught Stopped {stops:,} times, by "
                    "`except:` or `except BaseException`, and would never end; ending it. Catch Exception instead."
                )
            told += _TICK_S
            silent += _TICK_S
            if self._is_in_a_call():
                idle = silent = 0.0
            idle += _TICK_S * (busy_s < _IDLE * _TICK_S)
            if (idle > self._limits.silent_s and self.built) or silent > _PATIENCE * self._limits.silent_s:
                self._end(
                    f"no progress for {silent:.0f} s ({self._status()}); ending. To allow more: --set "
                    "watchdog_seconds=N; to switch it off: --no-watchdog."
                )
            if told >= self._report_s:
                told = 0.0
                with contextlib.suppress(OSError, ValueError):  # an environment may have closed it
                    print(self._status(), file=sys.stderr, flush=True)

    def _is_in_a_call(self) -> bool:
        """Whether a thread is inside a call of the agent or the environment. Ends the process if one takes too long."""
        found = [(call, taken_s) for call, taken_s in self._taken.tick() if not call.lasting]
        for call, taken_s in found:
            if taken_s > self._limits.user_s:
                self._end(
                    f"no progress for {taken_s:.0f} s in {call.where} ({self._status()}); ending. To allow more: --set "
                    "user_code_seconds=N; to switch it off: --no-watchdog."
                )
            if warning := self._taken.warning(call, call.where, taken_s, self._limits):
                with contextlib.suppress(OSError, ValueError):
                    print(f"watchdog: {warning}", file=sys.stderr, flush=True)
        return bool(found)

    def _end(self, why: str) -> None:
        lines = [
            f"watchdog: {why}",
            *self._words(),
            *(f"{name} is at {place}" for name, place in places(stacks())),
            "The stacks of all threads:",
        ]
        try:
            print("\n".join(lines), file=sys.stderr, flush=True)
            faulthandler.dump_traceback(sys.stderr, all_threads=True)
        finally:
            os._exit(EXIT_WATCHDOG)
