"""What keeps a program of many threads in one process from stopping without a word: turns that fail for all, and a watch."""

from __future__ import annotations

import faulthandler
import os
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from kaimesh.errors import EXIT_WATCHDOG, Stopped
from kaimesh.metrics import Meter

_TICK_S = 0.5
_IDLE = 0.1  # of a core: a process that uses less waits; a compilation uses more
_PATIENCE = 5  # limits that a process may be busy, or under construction, without progress
_DEBUGGERS = frozenset(["bdb", "pdb", "code", "pydevd", "_pydevd_bundle", "debugpy", "IPython", "ipdb", "pudb"])
_LIBRARIES = (sysconfig.get_paths()["stdlib"], "site-packages", "dist-packages", "<")


class Turn:
    """Whose turn it is to use what only one thread may use. Once a turn has failed, all later ones end with Stopped, from its error.

    For an agent in one process: after an error inside of it nobody can know what its library still holds. TensorFlow, for one, keeps a
    tf.function's lock when an argument does not fit its signature, and the next thread would wait for ever.
    """

    def __init__(self) -> None:
        self.failure: BaseException | None = None
        self._lock = threading.RLock()
        self._has: tuple[str, str, float] | None = None  # thread, what it does, since when
        self._waiting: dict[str, str] = {}

    @contextmanager
    def __call__(self, what: str, harmless: bool = False) -> Iterator[None]:
        """Waits for the turn. Raises Stopped: an earlier turn failed, whose error is the cause; `harmless` ones leave no such mark."""
        if not self._lock.acquire(blocking=False):
            name = threading.current_thread().name
            self._waiting[name] = what
            self._lock.acquire()
            del self._waiting[name]
        before, self._has = self._has, (threading.current_thread().name, what, time.monotonic())
        try:
            if self.failure is not None:
                raise Stopped from self.failure  # the error itself, raised here too, would show this thread's lines as its own
            yield
        except Stopped:
            raise
        except BaseException as error:
            self.failure = self.failure if harmless else error
            raise
        finally:
            self._has = before
            self._lock.release()

    def words(self) -> list[str]:
        """Who has it, and who waits for it."""
        has = self._has
        if has is None:
            return []
        found = [f"{has[0]} has had its turn for {time.monotonic() - has[2]:.0f} s: {has[1]}"]
        return found + [f"{name} waits for {has[0]} to end that, then: {what}" for name, what in self._waiting.items()]


class Watch:
    """Ends the process with EXIT_WATCHDOG when nothing has moved for `limit_s`, and says where each thread is.

    progress: a value that changes whenever something moves. words: what waits for what, as the program itself knows it.
    What uses the processor may take five times as long (a first compilation), and so may all until `built` is set. Time in
    a debugger does not count, nor does time in which the whole process was stopped. status: one line every `report_s`.
    """

    def __init__(
        self,
        limit_s: float,
        *,
        progress: Callable[[], object],
        words: Callable[[], list[str]],
        status: Callable[[], str],
        report_s: float,
    ) -> None:
        self.built = False
        self._limit_s, self._progress, self._words = limit_s, progress, words
        self._status, self._report_s = status, report_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    @classmethod
    def over(cls, meter: Meter, turn: Turn, limit_s: float, report_s: float) -> Watch:
        """A watch over the counters of a process: env steps, predictions, samples, learns."""

        def status() -> str:
            state = meter.snapshot()
            names = ("env_steps", "inserted", "learner_steps")
            counts = ", ".join(f"{state['counters'].get(name, 0):,.0f} {name}" for name in names)
            return f"{meter.name}: {counts}; {state['state']} {state['blocked_on']}".rstrip()

        def progress() -> object:
            return meter.snapshot()["counters"]

        return cls(limit_s, progress=progress, words=turn.words, status=status, report_s=report_s)

    def start(self) -> None:
        """From now on."""
        self._thread.start()

    def stop(self) -> None:
        """No longer."""
        self._stop.set()

    def _run(self) -> None:
        value, used, idle, silent, told = self._progress(), time.process_time(), 0.0, 0.0, 0.0
        while not self._stop.wait(_TICK_S):
            before, value = value, self._progress()
            busy_s, used = time.process_time() - used, time.process_time()
            if value != before or debugged():
                idle = silent = 0.0
            silent += _TICK_S
            idle += _TICK_S * (busy_s < _IDLE * _TICK_S)
            told += _TICK_S
            if (idle > self._limit_s and self.built) or silent > _PATIENCE * self._limit_s:
                self._end(silent)
            if told >= self._report_s:
                told = 0.0
                print(self._status(), file=sys.stderr, flush=True)

    def _end(self, silent_s: float) -> None:
        lines = [
            f"watchdog: nothing has moved for {silent_s:.0f} s ({self._status()}); ending. A longer time: --set watchdog_seconds=N; "
            "none: --no-watchdog.",
            *self._words(),
            *(f"{name} is at {place}" for name, place in places()),
            "The stacks of all threads:",
        ]
        print("\n".join(lines), file=sys.stderr, flush=True)
        faulthandler.dump_traceback(sys.stderr, all_threads=True)
        sys.stderr.flush()
        os._exit(EXIT_WATCHDOG)


def debugged() -> bool:
    """Whether a debugger holds a thread of this process, or traces the process."""
    if sys.gettrace() is not None or threading.gettrace() is not None:
        return True
    for frame in sys._current_frames().values():
        at: FrameType | None = frame
        while at is not None:
            if at.f_trace is not None or str(at.f_globals.get("__name__", "")).partition(".")[0] in _DEBUGGERS:
                return True
            at = at.f_back
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return False
    return "TracerPid:\t0\n" not in status and "TracerPid:" in status


def places() -> Iterator[tuple[str, str]]:
    """Where each thread is: the innermost line that is no library's, and what it called there."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        if ident == threading.get_ident():
            continue
        own: FrameType | None = frame
        while own is not None and any(part in own.f_code.co_filename for part in _LIBRARIES):
            own = own.f_back
        if own is not None:
            inside = "" if own is frame else f", inside {_line(frame)}"
            yield names.get(ident, str(ident)), f"{_line(own)}{inside}"


def _line(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno} ({frame.f_code.co_name})"
