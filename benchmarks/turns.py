"""Work that goes on in turns with other work, and is stopped in between: both meet the same noise of the machine."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import psutil

from benchmarks.probe import MOST_COUNTS, STEADY
from benchmarks.report import ROOT

_START_S = 60.0
_WARM_UP_S = 0.5


class Side:
    """One checkout's work, stopped except in its turns. processes: all of it, once it is at work.

    Raises RuntimeError: it ended, or counted nothing within a minute.
    """

    def __init__(self, what: str, checkout: Path, environment: dict[str, str]) -> None:
        self._units = STEADY[what].units
        self._folder = tempfile.TemporaryDirectory()
        counts = Path(self._folder.name) / "counts"
        counts.write_bytes(bytes(8 * MOST_COUNTS))
        self._counts = np.memmap(counts, np.int64, "r")
        command = [sys.executable, str(ROOT / "benchmarks" / "probe.py"), what, str(counts)]
        self._probe = subprocess.Popen(
            command, cwd=checkout, env=environment, stdout=subprocess.DEVNULL, start_new_session=True
        )
        self.processes: list[psutil.Process] = []

    def start(self) -> None:
        """Waits until all of it is at work, and stops it."""
        deadline = time.monotonic() + _START_S
        while not self._counts.any():
            if self._probe.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self._probe.args}: no work within {_START_S:.0f} s")
            time.sleep(0.1)
        time.sleep(_WARM_UP_S)
        os.killpg(self._probe.pid, signal.SIGSTOP)
        probe = psutil.Process(self._probe.pid)
        self.processes = [probe, *probe.children(recursive=True)]

    def turn(self, seconds: float) -> float:
        """Works for so long; CPU us per unit, all its processes summed."""
        cpu_s, count = self._cpu_s(), int(self._counts.sum())
        os.killpg(self._probe.pid, signal.SIGCONT)
        time.sleep(seconds)
        os.killpg(self._probe.pid, signal.SIGSTOP)
        done = int(self._counts.sum()) - count
        if not done:
            raise RuntimeError(f"{self._probe.args}: nothing was done in {seconds} s")
        return (self._cpu_s() - cpu_s) / (done * self._units) * 1e6

    def _cpu_s(self) -> float:
        """CPU seconds, finer than those in /proc. The clock's id is built as Linux does it (MAKE_PROCESS_CPUCLOCK)."""
        return sum(time.clock_gettime(~process.pid << 3 | 2) for process in self.processes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(ProcessLookupError):  # all of it ended by itself
            os.killpg(self._probe.pid, signal.SIGKILL)
        self._probe.wait()
        self._folder.cleanup()
