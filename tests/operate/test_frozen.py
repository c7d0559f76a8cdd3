"""Processes that do not run at all, found from outside. Real ones, real signals; the looks' clock is the test's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kaimesh.operate.cluster import places, serve
from kaimesh.operate.frozen import Frozen
from kaimesh.process.documents import read_json
from tests.forks import LIGHT, Fork
from tests.harness import ROOT, WAIT_S, wait_until

PROGRAM = """
import ctypes, faulthandler, sys, time
from pathlib import Path
from kaimesh.process.meter import Meter
faulthandler.enable(sys.stdout)
meter = Meter("learner_0", Path(sys.argv[1]))
meter.start()
meter.state("working")
def hold_the_lock():
    time.sleep(0.5)  # by then it has published that it works
    ctypes.PyDLL(None).sleep(600)
time.sleep(600) if sys.argv[2] == "works" else hold_the_lock()
"""

Start = Callable[[str], Fork]


class Looks:
    """Looks at one process, with a clock that passes a second with each look."""

    def __init__(self, folder: Path, stopped_s: float = 5.0, quiet_s: float = 20.0) -> None:
        self.now = 0.0
        self.frozen = Frozen(folder, stopped_s, quiet_s, clock=lambda: self.now)
        self.path = folder / "learner_0.json"

    def __call__(self, process: Fork, count: int, seconds: float = 1.0) -> str:
        """The first reason in so many looks, `seconds` apart."""
        for _ in range(count):
            self.now += seconds
            if reason := self.frozen.look("learner_0", process.pid, read_json(self.path)):
                return reason
        return ""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts it, and waits until it has published that it works."""
    made: list[Fork] = []
    (tmp_path / "lives.py").write_text(PROGRAM)

    def begin(how: str) -> Fork:
        path = tmp_path / "learner_0.json"
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        made.append(LIGHT.popen([str(tmp_path / "lives.py"), str(path), how], env=environ))
        wait_until(lambda: read_json(path).get("state") == "working", WAIT_S, "it works")
        return made[-1]

    yield begin
    for process in made:
        process.close()


def stop(process: Fork) -> None:
    process.send_signal(signal.SIGSTOP)
    wait_until(lambda: "T" in _state(process.pid), WAIT_S, "it is stopped")


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_process_that_is_stopped_alone_is_killed_after_its_limit(start: Start, tmp_path: Path) -> None:
    process, look = start("works"), Looks(tmp_path)
    stop(process)
    assert not look(process, 6)
    assert look(process, 1) == "was stopped by a signal (SIGSTOP) for 6 s; it was killed"
    assert process.wait(WAIT_S) == -signal.SIGKILL


def test_after_a_pause_of_everything_each_goes_on(start: Start, tmp_path: Path) -> None:
    """Who looks is stopped, too, so that an hour passes between two of its looks; three times, and once briefly."""
    process, look = start("works"), Looks(tmp_path)
    for pause_s in (3600.0, 86400.0, 8.0):
        look(process, 2)
        stop(process)
        assert not look(process, 1, seconds=pause_s)
        process.send_signal(signal.SIGCONT)
        said = read_json(look.path)["clock"]
        wait_until(lambda said=said: read_json(look.path)["clock"] > said, WAIT_S, "it goes on")
    assert not look(process, 5, seconds=0.1)
    assert process.poll() is None


def test_one_that_holds_pythons_lock_is_ended_and_its_log_says_where(start: Start, tmp_path: Path) -> None:
    process, look = start("holds"), Looks(tmp_path)
    silent_in(look.path)
    assert not look(process, 20 + 5)
    assert "lives, but did not run for 26 s: native code holds Python's lock" in look(process, 2)
    output, _ = process.communicate(WAIT_S)
    assert process.returncode == -signal.SIGABRT
    assert "in hold_the_lock" in output


def silent_in(path: Path) -> None:
    """Waits until it publishes no more."""
    before: list[Any] = [None]

    def quiet() -> bool:
        seen, before[0] = before[0], read_json(path).get("clock")
        return bool(seen == before[0])

    wait_until(quiet, WAIT_S, "nothing is published")


def test_on_a_disk_that_takes_nothing_nobody_is_blamed_for_silence(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, look = start("holds"), Looks(tmp_path)
    silent_in(look.path)
    with monkeypatch.context() as full:
        full.setattr("kaimesh.process.disk.probe", lambda _folder: "the disk is full")
        assert not look(process, 100)
    assert not look(process, 5), "it has time to publish once there is room"
    assert "lives, but did not run" in look(process, 30)


def test_who_publishes_nothing_is_left_alone_unless_it_is_stopped(tmp_path: Path) -> None:
    """A role of one's own may not publish a status at all."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    look = Looks(tmp_path)
    try:
        assert not look(process, 100)  # type: ignore[arg-type]
        process.send_signal(signal.SIGSTOP)
        wait_until(lambda: "T" in _state(process.pid), WAIT_S, "it is stopped")
        assert "was stopped by a signal" in look(process, 10)  # type: ignore[arg-type]
    finally:
        process.kill()
        process.wait()


def test_in_a_container_its_first_process_ends_one_that_is_stopped_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The engine then starts the container again."""
    program, path = tmp_path / "lives.py", tmp_path / "run" / "status" / "learner_0.json"
    program.write_text(PROGRAM)
    path.parent.mkdir(parents=True)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for place in ("RUNS", "CHILD", "GENERATION"):
        monkeypatch.setattr(places, place, tmp_path if place == "RUNS" else tmp_path / place)
    monkeypatch.setattr(serve, "command", lambda _role, _replica: [sys.executable, str(program), str(path), "works"])
    monkeypatch.setattr(Frozen, "by", lambda _app, folder: Frozen(folder, 0.5, 60.0))

    def stop_it() -> None:
        wait_until(lambda: read_json(path).get("state") == "working", WAIT_S, "it works")
        os.kill(int(read_json(places.CHILD)["pid"]), signal.SIGSTOP)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    thread = threading.Thread(target=stop_it)
    thread.start()
    try:
        assert serve.Container("learner", 0).run() == 128 + signal.SIGKILL
    finally:
        thread.join()
        for number, handler in before.items():
            signal.signal(number, handler)
    assert "learner_0 was stopped by a signal (SIGSTOP) for 1 s; it was killed" in capsys.readouterr().out
