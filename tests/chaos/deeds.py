"""What is done to the mesh: kills in pairs, pauses, a full disk, a clock that jumps."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from tests.clock import Clock
from tests.harness import ROOT, WAIT_S, Mesh, wait_until

WATCHDOG_S = 10  # of the mesh's processes
PROCESSES = ("aisrv_0", "actor_0", "buffer_0", "learner_0", "model_pool_0", "keeper_0")
DISK_BYTES = 256 << 20
_FULL_S = 4.0
_JUMPS_S = (3600.0, -7200.0, 1e6, 5.0)


class ChaosMesh(Mesh):
    """A mesh with a clock of its own, on a disk of its own where one can be mounted."""

    def __init__(self, folder: Path) -> None:
        self.disk = folder / "disk"
        super().__init__(self.disk / "runs")
        self.environ: dict[str, str] = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.clock = Clock(folder / "clock", self.environ)

    def _environment(self) -> dict[str, str]:
        return {**super()._environment(), **self.environ, "runs_dir": str(self.runs)}

    def processes(self, *names: str) -> list[psutil.Process]:
        """Those of these names, as their status files have them; none is missing."""
        return [psutil.Process(self.of(name)["pid"]) for name in names]

    def everything(self) -> list[psutil.Process]:
        """All processes of its run, supervisord too."""
        words = ((process, process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))
        return [process for process, line in words if any(str(self.runs) in word for word in line)]


class Deed(NamedTuple):
    """What is done, in words for the round's line, and how."""

    words: str
    do: Callable[[ChaosMesh], Any]


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[str]:
    """Mounts a disk of a few megabytes at `folder`; gives "", or why that cannot be done here."""
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        trouble = done.stderr.strip()
    except FileNotFoundError as error:
        trouble = str(error)
    try:
        yield trouble
    finally:
        if not trouble:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def schedule(rounds: int, seed: int, with_disk: bool) -> list[Deed]:
    """So many deeds: every pair is killed once before any is twice, and every second deed is something else."""
    rng = random.Random(seed)
    kills = [Deed(f"kill {_short(one)}, {_short(two)}", _killing(one, two)) for one, two in _pairs()]
    others = [Deed(f"pause {_short(name)} {_pause_s()} s", _pausing(name)) for name in PROCESSES]
    others += [Deed(f"pause all {_pause_s()} s", _pause_all)] * 3
    others += [Deed(f"clock {ahead_s:+,.0f} s", _jumping(ahead_s)) for ahead_s in _JUMPS_S]
    others += [Deed(f"disk full {_FULL_S:g} s", _fill_disk)] * 3 if with_disk else []
    rng.shuffle(kills)
    rng.shuffle(others)
    both = zip(itertools.cycle(kills), itertools.cycle(others), strict=False)
    return list(itertools.islice(itertools.chain.from_iterable(both), rounds))


def _pairs() -> Iterator[tuple[str, str]]:
    return itertools.combinations(PROCESSES, 2)


def _short(name: str) -> str:
    return name.removesuffix("_0")


def _pause_s() -> int:
    return WATCHDOG_S + 2


def _killing(*names: str) -> Callable[[ChaosMesh], None]:
    def do(mesh: ChaosMesh) -> None:
        found = mesh.processes(*names)
        for process in found:
            process.kill()
        pids = {process.pid for process in found}
        mesh.until(lambda: not pids & {mesh.of(name).get("pid") for name in names}, f"{names} are started again")

    return do


def _pausing(*names: str) -> Callable[[ChaosMesh], None]:
    return lambda mesh: _pause(mesh.processes(*names))


def _pause_all(mesh: ChaosMesh) -> None:
    _pause(mesh.everything())


def _pause(processes: list[psutil.Process]) -> None:
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        _pass(_pause_s())
    finally:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):  # one that is stopped alone is ended by the keeper
                process.send_signal(signal.SIGCONT)


def _jumping(ahead_s: float) -> Callable[[ChaosMesh], None]:
    return lambda mesh: mesh.clock.set(ahead_s)


def _fill_disk(mesh: ChaosMesh) -> None:
    ballast = mesh.disk / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12):
                with contextlib.suppress(OSError):
                    while file.write(b"x" * size):
                        pass
        _pass(_FULL_S)
    finally:
        ballast.unlink()


def _pass(seconds: float) -> None:
    until = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > until, WAIT_S, "the time is over")
