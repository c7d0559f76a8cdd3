"""The watchdog's ticks: whose limit is over, and what is said before. No time passes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from kaimesh.contract import calls
from kaimesh.contract.agent import user_code
from kaimesh.contract.calls import Call, OurCode
from kaimesh.process.meter import Meter
from kaimesh.process.turn import Turn
from kaimesh.process.watchdog import Limits, Watchdog
from tests.harness import WAIT_S, wait_until


class Bench:
    """A watchdog with limits of 5 and 20 s, over a process that works."""

    def __init__(self) -> None:
        self.meter = Meter("learner_0")
        self.meter.state("working")
        self.cpu_s = 0.0
        log = logging.getLogger("watchdog of a test")
        self.dog = Watchdog(self.meter, threading.Event(), log, Limits(5.0, 20.0), lambda: self.cpu_s)

    def work(self, share: float) -> None:
        """The process uses that share of a core for a second."""
        self.cpu_s += share

    def tick(self, count: int, each: Callable[[], object] = lambda: None) -> str:
        """Why the process was to end, after at most so many seconds; "": it was not. each: done in each second."""
        for _ in range(count):
            each()
            if reason := self.dog.tick():
                return reason
        return ""


@pytest.fixture
def bench() -> Iterator[Bench]:
    yield Bench()
    assert not [call for call in calls.running() if call.thread == threading.get_ident()]


def test_a_silent_main_loop_is_found_and_one_that_beats_is_not(bench: Bench) -> None:
    assert not bench.tick(50, bench.meter.beat)
    assert bench.tick(7) == "its main loop was silent for 5 s"


@pytest.mark.parametrize(("share", "minutes"), [(0.0, 1), (0.01, 1), (0.05, 5), (1.0, 5)])
def test_a_start_on_a_busy_machine_has_five_minutes_and_one_that_waits_has_one(
    bench: Bench, share: float, minutes: int
) -> None:
    bench.meter.state("starting")
    assert not bench.tick(60 * minutes - 2, lambda: bench.work(share))
    assert bench.tick(5, lambda: bench.work(share)).startswith("its start took longer than 60 s")


def test_a_process_that_works_has_no_more_time_for_being_busy(bench: Bench) -> None:
    assert bench.tick(7, lambda: bench.work(1.0)) == "its main loop was silent for 5 s"


@pytest.mark.parametrize("where", ["learner: Agent.learn", "actor: Agent.predict", "learner: Agent.save_model"])
def test_a_call_has_its_own_limit_and_is_named_at_half_of_it_once(
    bench: Bench, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    with user_code(where):
        assert not bench.tick(11)
        assert not caplog.records
        assert not bench.tick(8)
        assert len(caplog.records) == 1
        assert caplog.messages[0].startswith(f"{where} has not returned for 11 s")
        assert "after 20 s this process is ended. Raise user_code_seconds" in caplog.messages[0]
        assert bench.tick(4) == f"{where} took longer than 20 s; raise user_code_seconds if it needs that long"


def test_each_call_begins_anew_and_a_workflow_that_calls_others_goes_on_for_ever(bench: Bench) -> None:
    def step() -> None:
        with user_code("the environment: step"):
            pass

    def slow_steps() -> None:
        for _ in range(10):
            step()
            assert not bench.tick(15)

    with user_code("aisrv: workflow in slot 0", lasting=True):
        slow_steps()
        assert bench.tick(25).startswith("aisrv: workflow in slot 0 took longer than 20 s")


def test_who_waits_for_others_inside_a_workflow_is_heard_of_through_its_state(bench: Bench) -> None:
    with user_code("aisrv: workflow in slot 0", lasting=True):
        assert not bench.tick(100, lambda: bench.meter.state("waiting", "actor: none answers"))


def test_the_meshs_own_code_that_a_workflow_called_has_the_shorter_limit(bench: Bench) -> None:
    with user_code("aisrv: workflow", lasting=True), OurCode():
        assert bench.tick(7) == "its main loop was silent for 5 s"


def test_a_call_in_one_thread_is_found_while_the_others_go_on(bench: Bench) -> None:
    inside, leave = threading.Event(), threading.Event()

    def hang() -> None:
        with Call("the environment: step"):
            inside.set()
            leave.wait(WAIT_S)

    thread = threading.Thread(target=hang)
    thread.start()
    assert inside.wait(WAIT_S)
    try:
        assert bench.tick(25, bench.meter.beat).startswith("the environment: step took longer than 20 s")
    finally:
        leave.set()
        thread.join()


def test_who_waits_for_its_turn_is_not_blamed_for_the_other_threads_call(bench: Bench) -> None:
    turn, waiting, leave = Turn(), threading.Event(), threading.Event()

    def wait() -> None:
        with user_code("aisrv: workflow in slot 1", lasting=True):
            waiting.set()
            with turn("predict"):
                leave.wait(WAIT_S)

    with turn("learn"):
        thread = threading.Thread(target=wait)
        thread.start()
        assert waiting.wait(WAIT_S)
        wait_until(lambda: len(turn.words()) == 2, WAIT_S, "it waits")
        wait_until(lambda: thread.ident not in [call.thread for call in calls.running()], WAIT_S, "it is in no call")
        assert not bench.tick(50, bench.meter.beat)
    leave.set()
    thread.join()


def test_while_it_starts_the_key_of_the_start_holds_for_calls_too(bench: Bench) -> None:
    bench.meter.state("starting", "building environment 3 of 8")
    bench.dog.be_patient(30.0, "env_build_seconds")
    with Call("the environment: its constructor"):
        reason = bench.tick(40)
    assert reason.startswith("building environment 3 of 8 (the environment: its constructor) took longer than 30 s")
    assert "raise env_build_seconds" in reason


def test_the_longer_of_both_keys_holds_for_the_users_code() -> None:
    from kaimesh.config import App

    assert Limits.of(App(watchdog_seconds=1000, user_code_seconds=5))[:2] == (1000, 1000)
    assert Limits.of(App(watchdog_seconds=5, user_code_seconds=50))[:2] == (5, 50)


def test_calls_leave_no_trace_when_they_raise() -> None:
    with ExitStack() as stack:
        stack.enter_context(Call("outer"))
        with pytest.raises(Exception, match="inner raised ValueError"), user_code("inner"):
            raise ValueError("x")
        assert [call.where for call in calls.running() if call.thread == threading.get_ident()] == ["outer"]
