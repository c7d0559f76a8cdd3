"""Meter: totals that outlive a process, rates over an interval, states in words, files that are always whole."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path

import pytest

from kaimesh.process.meter import RECENT_EPISODES, Meter
from tests.harness import WAIT_S, wait_until


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_counters_rates_gauges_and_phases(clock: Clock) -> None:
    meter = Meter("aisrv_0", clock=clock, wall=clock)
    phase = meter.phase("env")
    assert meter.phase("env") is phase
    meter.count("env_steps", 50)
    meter.gauge("size", 3)
    with phase:
        clock.now += 1.0
    clock.now += 1.0
    meter.info["port"] = 80
    snapshot = meter.snapshot()
    assert snapshot["counters"] == {"env_steps": 50}
    assert snapshot["rates"] == {"env_steps": 25.0}
    assert (snapshot["gauges"], snapshot["port"]) == ({"size": 3.0}, 80)
    assert (snapshot["phases"], snapshot["phase_seconds"]) == ({"env": 0.5}, {"env": 1.0})
    clock.now += 5.0
    assert meter.snapshot()["rates"] == {"env_steps": 0.0}


def test_counters_and_episodes_go_on_after_a_restart(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "aisrv_0.json"
    first = Meter("aisrv_0", path, clock=clock, wall=clock)
    assert "previous_state" not in first.snapshot()
    first.count("env_steps", 7)
    first.episode(2.5, 30)
    first.state("working")
    first.publish()
    second = Meter("aisrv_0", path, clock=clock, wall=clock)
    second.count("env_steps", 1)
    snapshot = second.snapshot()
    assert snapshot["counters"] == {"env_steps": 8, "episodes": 1}
    assert snapshot["recent_episodes"] == [(100.0, 2.5, 30)]
    assert (snapshot["state"], snapshot["previous_state"]) == ("starting", "working")


def test_lives_are_counted_also_of_a_process_that_ends_at_once(tmp_path: Path) -> None:
    path = tmp_path / "aisrv_0.json"
    for life in range(3):
        meter = Meter("aisrv_0", path)
        assert meter.life == life
        meter.start()
        assert json.loads(path.read_text())["life_number"] == life, "a process that is killed now was a life"
        meter.stop()
    earlier = json.loads(path.read_text())
    del earlier["life_number"]
    path.write_text(json.dumps(earlier))
    assert Meter("aisrv_0", path).life == 1, "a file of a version that counted none"
    assert Meter("aisrv_1", tmp_path / "none.json", first_life=77).life == 77
    assert Meter("aisrv_1").life == 0


def test_only_the_last_episodes_are_kept(clock: Clock) -> None:
    meter = Meter("aisrv_0", clock=clock, wall=clock)
    for number in range(RECENT_EPISODES + 5):
        meter.episode(number, 1)
    episodes = meter.snapshot()["recent_episodes"]
    assert [episode[1] for episode in episodes] == list(range(5, RECENT_EPISODES + 5))
    assert meter.counters["episodes"] == RECENT_EPISODES + 5


def test_since_is_when_the_waiting_began_not_when_its_numbers_changed(clock: Clock) -> None:
    meter = Meter("learner_0", clock=clock, wall=clock)
    clock.now = 110.0
    meter.state("waiting", "buffer: 1 of 64 samples")
    clock.now = 115.0
    meter.state("waiting", "buffer: 2 of 64 samples")
    snapshot = meter.snapshot()
    assert (snapshot["since"], snapshot["blocked_on"]) == (110.0, "buffer: 2 of 64 samples")
    clock.now = 120.0
    meter.state("working")
    assert meter.snapshot()["since"] == 120.0


def test_silence_is_measured_from_the_last_beat(clock: Clock) -> None:
    meter = Meter("learner_0", clock=clock, wall=clock)
    clock.now += 7.0
    assert meter.silent_s() == 7.0
    meter.beat()
    assert meter.silent_s() == 0.0
    clock.now += 3.0
    meter.state("working")
    assert meter.silent_s() == 0.0


def test_the_report_is_over_its_own_interval(clock: Clock) -> None:
    meter = Meter("learner_0", clock=clock, wall=clock)
    meter.state("waiting", "buffer")
    meter.count("learner_steps", 20)
    clock.now += 10.0
    meter.snapshot()  # the status file's interval is another
    assert meter.report() == "waiting (blocked on buffer) | learner_steps 2/s"


def test_counting_from_many_threads_loses_nothing(clock: Clock) -> None:
    meter = Meter("aisrv_0", clock=clock, wall=clock)

    def work() -> None:
        for _ in range(2000):
            meter.count("env_steps")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert meter.counters["env_steps"] == 16000


def test_leaving_the_start_is_published_at_once_and_a_full_disk_is_survived(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "aisrv_0.json"
    meter = Meter("aisrv_0", path, logger=logging.getLogger("of this test"))
    wake = meter._wake
    monkeypatch.setattr(wake, "wait", lambda _seconds: threading.Event.wait(wake))  # its second is never over
    meter.start()
    meter.state("ready")
    wait_until(lambda: json.loads(path.read_text())["state"] == "ready", WAIT_S, "it is published")

    def full(*_: object, **_named: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("kaimesh.process.documents._write", full)
        wake.set()
        wait_until(lambda: "is full" in caplog.text, WAIT_S, "the fault is logged")
    meter.state("done")
    meter.stop()
    assert json.loads(path.read_text())["state"] == "done"
