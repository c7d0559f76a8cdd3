"""Ends a process whose main loop hangs, or which does not end in time after it was told to."""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import threading

from kaimesh.contract.errors import EXIT_WATCHDOG
from kaimesh.process.meter import Meter

_GIL_GRACE_S = 5.0  # supervisord kills 10 s after the limit
_START_S = 60.0  # libraries are imported then: seconds, and much more on a busy machine


class Watchdog:
    """A thread that ends the process when its main loop has not called `meter.beat` or `meter.state` for `limit_s`.

    Library code that holds the GIL stops this thread too. So faulthandler's timer, which runs in C and which this
    thread restarts each second, ends the process a few seconds later in that case.

    limit_s: for the time between two such calls, and for the time from `stop` to the end of the process. While the
    process starts it has at least a minute.
    """

    def __init__(self, meter: Meter, stop: threading.Event, logger: logging.Logger, limit_s: float) -> None:
        self._meter, self._stop, self._log, self._limit_s = meter, stop, logger, limit_s
        self._patience_s, self._key = _START_S, "watchdog_seconds"

    def start(self) -> None:
        """From now on."""
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def be_patient(self, seconds: float, key: str) -> None:
        """Allows `seconds` without a beat while the meter's state is "starting".

        key: the configuration's key for that limit.
        """
        self._patience_s, self._key = seconds, key
        self._put_off()  # the code that runs next may hold the GIL

    def _patient(self) -> bool:
        return self._patience_s > self._limit_s and self._meter.is_starting

    def _allowed_s(self) -> float:
        return self._patience_s if self._patient() else self._limit_s

    def _put_off(self) -> None:
        faulthandler.dump_traceback_later(self._allowed_s() + _GIL_GRACE_S, exit=True, file=sys.stdout)

    def _watch(self) -> None:
        reason = ""
        while not self._stop.wait(1.0):
            self._put_off()
            if self._meter.silent_s() > self._allowed_s():
                reason = self._silence()
                break
        else:
            threading.Event().wait(self._limit_s)  # a clean end may take that long, no longer
            reason = f"it had not ended {self._limit_s:.0f} s after it was told to"
        self._meter.info["exit_code"] = EXIT_WATCHDOG
        self._meter.state("failed", reason)
        self._log.error("watchdog: %s; ending the process. Every thread was here:", reason)
        faulthandler.dump_traceback(file=sys.stdout)
        sys.stdout.flush()
        self._meter.publish()
        os._exit(EXIT_WATCHDOG)

    def _silence(self) -> str:
        if not self._patient():
            return f"its main loop was silent for {self._limit_s:.0f} s"
        doing = self._meter.blocked_on or "its start"
        return f"{doing} took longer than {self._patience_s:.0f} s; raise {self._key} if it needs that long"
