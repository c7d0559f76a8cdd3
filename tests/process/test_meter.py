"""Meter: totals that outlive a process, rates over an interval, states in words, files that are always whole."""

from __future__ import annotations

import json
import logging
import math
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaimesh.operate.view.totals import last_returns
from kaimesh.process.documents import STATUS, read_json
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


DOINGS = st.lists(st.sampled_from(["enter", "leave", "look", "report"]) | st.floats(0.0, 100.0), max_size=40)


@given(DOINGS)
def test_a_phase_never_has_more_than_all_of_the_time_and_none_of_it_is_lost(doings: list[str | float]) -> None:
    """Also one that takes many intervals, such as a learn of 39 s, and one inside itself."""
    clock = Clock()
    meter = Meter("learner_0", clock=clock, wall=clock)
    phase, depth, inside_s, looked, shared_s = meter.phase("learn"), 0, 0.0, clock.now, 0.0
    for doing in [*doings, "look"]:
        if isinstance(doing, float):
            clock.now += doing
            inside_s += doing if depth else 0.0
        elif doing == "enter":
            phase.__enter__()
            depth += 1
        elif doing == "leave" and depth:
            phase.__exit__()
            depth -= 1
        elif doing == "report":
            shares = [int(word.rstrip("%")) for word in meter.report().split() if word.endswith("%")]
            assert all(share <= 100 for share in shares)
        elif doing == "look":
            seen = meter.snapshot()
            assert 0.0 <= seen["phases"]["learn"] <= 1.0
            shared_s += seen["phases"]["learn"] * (clock.now - looked)
            looked = clock.now
            assert seen["phase_seconds"]["learn"] == pytest.approx(inside_s, abs=1e-6)
    assert shared_s == pytest.approx(inside_s, abs=1e-6)


def test_what_is_not_finite_is_null_in_the_status_and_the_reason_stands_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "aisrv_0.json"
    meter = Meter("aisrv_0", path)
    meter.gauge("user/reward", math.nan)
    meter.gauge("policy_lag", -math.inf)
    meter.episode(math.inf, 30)
    meter.publish()
    said = strict(path.read_text())
    assert said["gauges"] == {"user/reward": None, "policy_lag": None}
    assert said["recent_episodes"][0][1:] == [None, 30]
    reasons = {"gauges.user/reward": "NaN", "gauges.policy_lag": "-Infinity", "recent_episodes[0][1]": "Infinity"}
    assert said["not_finite"] == reasons
    assert read_json(path, STATUS)["gauges"] == {}
    meter = Meter("aisrv_0", path)
    meter.publish()
    assert strict(path.read_text())["recent_episodes"][0][1:] == [None, 30], "an earlier life's"


def strict(text: str) -> Any:
    """JSON as every other reader than Python's takes it."""

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0, -1e9])
def test_a_jump_of_the_wall_clock_changes_no_duration_and_no_order(tmp_path: Path, jump_s: float) -> None:
    clock, wall = Clock(), Clock()
    meters = [Meter(f"aisrv_{i}", tmp_path / f"aisrv_{i}.json", clock=clock, wall=wall) for i in range(2)]

    def pass_s(seconds: float) -> None:
        clock.now += seconds
        wall.now += seconds

    for meter in meters:
        meter.state("waiting", "actor")
    for i in range(RECENT_EPISODES):
        pass_s(0.5)
        meters[0].episode(0.0 if i < RECENT_EPISODES // 2 else 1.0, 1)
    meters[0].publish()  # and it ends
    wall.now += jump_s
    for _ in range(RECENT_EPISODES // 2):
        pass_s(0.5)
        meters[1].episode(2.0, 1)
    meters[0] = Meter("aisrv_0", tmp_path / "aisrv_0.json", clock=clock, wall=wall)
    seen = [meter.snapshot() for meter in meters]
    assert seen[1]["time"] - seen[1]["since"] == pytest.approx(75.0)
    for status in seen:
        del status["clock"]  # a test's clock is not the machine's
    assert sorted(last_returns(seen, wall.now)) == [1.0] * 50 + [2.0] * 50


def test_after_a_pause_the_log_gets_one_line_and_not_one_for_each_interval(
    clock: Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = Meter("aisrv_0", clock=clock, wall=clock, report_s=10.0)
    seconds = iter([5.0, 6.0, 3600.0, 1.0, 1.0, 1.0, 10.0])

    def wait(_timeout: float) -> bool:
        try:
            clock.now += next(seconds)
        except StopIteration:
            meter._stop.set()
        return True

    monkeypatch.setattr(meter._wake, "wait", wait)
    with caplog.at_level(logging.INFO):
        meter._run()
    assert len(caplog.records) == 3


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


def test_the_counters_of_the_books_outlive_a_kill_and_a_damaged_file_counts_as_none(tmp_path: Path) -> None:
    path = tmp_path / "buffer_0.json"
    meter = Meter("buffer_0", path)
    meter.count("inserted", 1000)
    meter.count("env_steps", 5)
    meter.publish()
    meter.count("inserted", 234)
    meter.keep()  # and here it is killed
    assert Meter("buffer_0", path).counters == {"inserted": 1234, "env_steps": 5}
    meter.count("inserted", -1200)
    meter.keep()
    assert Meter("buffer_0", path).counters["inserted"] == 34, "shorter than what was there"
    for damage in (b"", b"{", b"[1]", b'{"inserted": NaN}', b"\xff" * 100):
        path.with_suffix(".kept").write_bytes(damage)
        assert Meter("buffer_0", path).counters["inserted"] == 1000
