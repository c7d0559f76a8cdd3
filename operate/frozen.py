"""Finds a process that does not run at all, from outside: its own watchdog is a thread, which does not run either.

Either a signal stopped it (SIGSTOP), or native code holds Python's lock, so that not even its status is published. Who
looks counts its own looks. If it was stopped itself meanwhile, with the machine or with all of its processes, it looks
once more afterwards, and by then the others have gone on.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from kaimesh.config import App
from kaimesh.process import disk
from kaimesh.process.watchdog import Limits

_LOOK_S = 1.0  # a look counts for the time since the one before, and for no more than this
_GRACE_S = 5.0  # for a process whose disk has just got room to publish; then to write down its stacks


class _Seen(NamedTuple):
    """What is known of a process.

    said: when it published its status, by its clock. looked: when it was looked at last, by ours. quiet_s: for how long
    it has not run. told: it was told to end.
    """

    pid: int
    said: float | None
    looked: float
    quiet_s: float = 0.0
    told: bool = False


class Frozen:
    """Watches any number of processes. Call `look` for each, once a second or more often.

    folder: where they publish; while its disk takes nothing, nobody is to blame for silence. stopped_s, quiet_s: how
    long a process may be stopped by a signal, and how long one that runs may publish nothing.
    """

    def __init__(
        self, folder: Path, stopped_s: float, quiet_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder, self._stopped_s, self._quiet_s, self._clock = folder, stopped_s, quiet_s, clock
        self._seen: dict[str, _Seen] = {}

    @classmethod
    def by(cls, app: App, folder: Path) -> Frozen:
        """As the keys say. One that publishes nothing may be inside the user's code, or build an environment."""
        limits = Limits.of(app)
        return cls(folder, limits.silent_s, max(limits.user_s, app.env_build_seconds))

    def look(self, name: str, pid: int, status: Mapping[str, Any]) -> str:
        """Ends the process if it has not run for too long; then returns why, else "".

        status: what it published last; one of another pid does not count. A stopped process is killed. Another one is
        told to end by SIGABRT, on which it writes down where each of its threads is, and is killed if it does not.
        """
        now, stopped = self._clock(), _is_stopped(pid)
        said = status.get("clock") if status.get("pid") == pid else None
        seen = self._seen.get(name)
        if seen is None or seen.pid != pid or (not stopped and (said is None or said != seen.said)):
            self._seen[name] = _Seen(pid, said, now)
            return ""
        quiet_s = seen.quiet_s + min(_LOOK_S, now - seen.looked)
        self._seen[name] = seen = seen._replace(said=said, looked=now, quiet_s=quiet_s)
        return self._end_stopped(seen) if stopped else self._end_quiet(name, seen)

    def _end_stopped(self, seen: _Seen) -> str:
        if seen.quiet_s <= self._stopped_s:
            return ""
        _send(seen.pid, signal.SIGKILL)  # it takes no other signal
        return f"was stopped by a signal (SIGSTOP) for {seen.quiet_s:.0f} s; it was killed"

    def _end_quiet(self, name: str, seen: _Seen) -> str:
        over_s = seen.quiet_s - self._quiet_s
        if over_s > 0 and disk.probe(self._folder):
            self._seen[name] = seen._replace(quiet_s=0.0)
        elif over_s > 2 * _GRACE_S:
            _send(seen.pid, signal.SIGKILL)
        elif over_s > _GRACE_S and not seen.told:
            self._seen[name] = seen._replace(told=True)
            _send(seen.pid, signal.SIGABRT)
            return (
                f"lives, but did not run for {seen.quiet_s:.0f} s: native code holds Python's lock; it was ended, and "
                "its log says where it was"
            )
        return ""


def _is_stopped(pid: int) -> bool:
    """By a signal, and not by a debugger."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    except psutil.Error:
        return False


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
