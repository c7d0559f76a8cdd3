"""A server under fuzzing, seen from outside: its ports, its life, its memory, what it says of itself."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import psutil

from kaimesh.process.documents import read_json
from tests.forks import HEAVY

THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


class Server:
    """A child process of tests.fuzz.servers. `start` returns at once; `wait` returns when it serves."""

    def __init__(self, what: str, folder: Path) -> None:
        self.what, self.folder = what, folder
        self.ports: list[int] = []
        self.deaths = 0
        folder.mkdir(parents=True, exist_ok=True)
        self.start()

    def start(self) -> None:
        """Starts it, or starts it again where it has died."""
        environment = {**os.environ, **dict.fromkeys(THREADS, "1"), "TF_CPP_MIN_LOG_LEVEL": "3"}
        with (self.folder / "stderr.txt").open("ab") as errors:
            self._process = HEAVY.popen(
                ["-m", "tests.fuzz.servers", self.what, str(self.folder)], env=environment, stderr=errors.fileno()
            )
        self.ports = []

    def wait(self) -> Server:
        """Returns itself once it serves. Fails with its last words where it never does."""
        assert self._process.stdout is not None
        while not self.ports:
            line = self._process.stdout.readline()
            if not line:
                self._process.wait()
                raise AssertionError(f"{self.what} did not start: {self.last_words()}")
            if line.startswith("PORTS"):
                self.ports = [int(word) for word in line.split()[1:]]
        return self

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Of a process that has ended."""
        return self._process.poll()

    def died(self, timeout_s: float) -> bool:
        """Whether it ends within `timeout_s`."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def rss_mb(self) -> float:
        """Resident memory, in 10^6 bytes."""
        return float(psutil.Process(self._process.pid).memory_info().rss) / 1e6

    def counters(self) -> dict[str, Any]:
        """As last published; a second old at most."""
        status = read_json(self.folder / "status" / f"{self.what}_0.json")
        return dict(status.get("counters", {}))

    def published(self) -> float:
        """When `counters` were published (wall time, s)."""
        return float(read_json(self.folder / "status" / f"{self.what}_0.json").get("time", 0.0))

    def last_words(self, lines: int = 4) -> str:
        """The end of what it wrote to stderr."""
        text = (self.folder / "stderr.txt").read_text(errors="replace").strip().splitlines()
        return " | ".join(line.strip()[:200] for line in text[-lines:])

    def tracebacks(self) -> int:
        """How many tracebacks it has written, to stderr and to its log."""
        texts = [path.read_text(errors="replace") for path in self.folder.glob("*.txt")]
        return sum(text.count("Traceback (most recent call last)") for text in texts)

    def kill(self) -> None:
        """Ends it."""
        if self.alive:
            self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
