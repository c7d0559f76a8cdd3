"""Turns that fail for all, and the watch over a program whose threads may wait for each other."""

from __future__ import annotations

import bdb
import os
import pdb
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import IO

import pytest

from kaimesh.contract.errors import EXIT_WATCHDOG, Stopped
from kaimesh.process.stacks import Place, debugged, places, stacks
from kaimesh.process.turn import Turn
from tests.harness import ROOT, wait_until

PROGRAM = """
import sys, threading, time
from kaimesh.process.turn import Turn
from kaimesh.contract.calls import Call
from kaimesh.process.watch import Watch
from kaimesh.process.watchdog import Limits
moved, turn = [0], Turn()
limits = Limits({limit}, {user})
watch = Watch(limits, progress=lambda: moved[0], words=turn.words, status=lambda: "0 learns", report_s=60)
watch.built = {built}
watch.start()
taken = threading.Event()
def never():
    with turn("predict"):
        taken.set()
        threading.Event().wait()
def other():
    with turn("storing samples"):
        pass
def busy(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(1000))
print("begun", flush=True)
{body}
print("over", flush=True)
"""
BOTH = (
    "for f in (never, other):\n    threading.Thread(target=f, name=f.__name__, daemon=True).start()\n    taken.wait()\n"
)


def program(body: str, limit: float = 1.0, built: bool = True, user: float = 60.0) -> subprocess.Popen[str]:
    """A process under watch."""
    code = PROGRAM.format(body=body, limit=limit, built=built, user=user)
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, text=True, stdin=pipe, stdout=pipe, stderr=pipe)


def test_what_waits_for_what_is_said_and_the_end_is_no_success() -> None:
    _, told = (process := program(BOTH + "threading.Event().wait()")).communicate(timeout=60)
    assert process.returncode == EXIT_WATCHDOG
    assert "watchdog: no progress for" in told
    assert "(0 learns); ending" in told
    assert "never has had its turn for" in told
    assert "other waits for never to end that, then: storing samples" in told
    assert "in wait" in told, "the stacks"
    assert told.count("Thread 0x") >= 3


@pytest.mark.parametrize(
    "body",
    [
        "for _ in range(5):\n    time.sleep(0.4)\n    moved[0] += 1",  # slow, but it moves
        "busy(2)",  # a first compilation
        pytest.param("with Call('Agent.learn'):\n    time.sleep(2.2)", marks=pytest.mark.long),  # it waits for a GPU
    ],
)
def test_what_moves_or_computes_is_left_alone(body: str) -> None:
    said, told = (process := program(body, limit=1.5)).communicate(timeout=60)
    assert (process.returncode, said) == (0, "begun\nover\n"), told


@pytest.mark.long
def test_a_call_of_the_users_code_has_a_limit_of_its_own_with_a_warning_at_half_of_it() -> None:
    body = "with Call('aisrv: workflow', lasting=True), Call('Agent.learn'):\n    threading.Event().wait()"
    _, told = (process := program(body, user=2.0)).communicate(timeout=60)
    assert process.returncode == EXIT_WATCHDOG
    assert re.search(r"watchdog: Agent\.learn has not returned for \d s; after 2 s this process", told)
    assert "watchdog: no progress for 2 s in Agent.learn (0 learns); ending. To allow more: --set user_code" in told


@pytest.mark.long
def test_a_slow_beginning_has_five_times_as_long() -> None:
    process = program("time.sleep(1.5); watch.built = True; threading.Event().wait()", limit=0.5, built=False)
    began = time.monotonic()
    process.communicate(timeout=60)
    assert process.returncode == EXIT_WATCHDOG
    assert time.monotonic() - began > 1.5


@pytest.mark.long
def test_time_at_a_breakpoint_does_not_count() -> None:
    process = program("breakpoint()", limit=0.5)
    assert process.stdin is not None
    read_until(process.stdout, "(Pdb) ")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=1.6)
    said, told = process.communicate("continue\n", timeout=60)
    assert (process.returncode, said.endswith("over\n")) == (0, True), told


@pytest.mark.long
def test_time_in_which_the_process_was_stopped_does_not_count() -> None:
    process = program("time.sleep(0.5)", limit=1.0)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGSTOP)
    wait_until(lambda: state(process.pid) == "T", 10, "it is stopped")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=2)
    process.send_signal(signal.SIGCONT)
    assert process.wait(timeout=60) == 0


def state(pid: int) -> str:
    """One letter, as in /proc."""
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


def read_until(stream: IO[str] | None, text: str) -> None:
    assert stream is not None
    said = ""
    while not said.endswith(text):
        said += (letter := stream.read(1))
        assert letter, f"{said!r} ended before {text!r}"


def test_a_trace_function_is_a_debugger() -> None:
    assert not debugged(stacks()) or sys.gettrace() is not None  # coverage traces too
    seen = []
    threading.settrace(lambda *_: None)
    try:
        seen.append(debugged(stacks()))
    finally:
        threading.settrace(None)  # type: ignore[arg-type]
    assert seen == [True]


@pytest.mark.parametrize(
    ("file", "is_one"),
    [
        (pdb.__file__, True),
        (bdb.__file__, True),
        ("/opt/pycharm/helpers/pydev/pydevd.py", True),
        ("/opt/pycharm/helpers/pydev/_pydevd_bundle/pydevd_frame.py", True),
        ("/x/site-packages/debugpy/server/api.py", True),
        ("/x/site-packages/IPython/core/debugger.py", True),
        ("/home/me/mine/code.py", False),
        ("/home/me/mine/pdb.py", False),
        ("/home/me/my_debugpy/agent.py", False),
        (threading.__file__, False),
    ],
)
def test_whose_lines_are_a_debuggers(file: str, is_one: bool) -> None:
    idle = sys.gettrace() is None
    assert debugged({1: [Place(threading.__file__, 3, "wait"), Place(file, 7, "f")]}) == is_one or not idle


def test_every_other_thread_is_somewhere() -> None:
    release = threading.Event()

    def wait_here() -> None:
        release.wait(20)

    thread = threading.Thread(target=wait_here, name="waits")
    thread.start()
    try:
        wait_until(lambda: thread.ident in stacks(), 10, "it has begun")
        wait_until(lambda: "inside" in dict(places(stacks())).get("waits", ""), 10, "it waits")
        place = dict(places(stacks()))["waits"]
        assert re.match(rf"{re.escape(__file__)}:\d+ \(wait_here\), inside .*threading.py:\d+ \(wait\)", place), place
        assert threading.get_ident() not in stacks()
    finally:
        release.set()
        thread.join()


@pytest.mark.parametrize("stream", ["sys.stderr.close()", "import os; os.close(2)"])
def test_without_a_stream_to_say_it_on_it_ends_all_the_same(stream: str) -> None:
    process = program(f"{stream}; threading.Event().wait()", limit=0.5)
    process.communicate(timeout=60)
    assert process.returncode == EXIT_WATCHDOG


def in_threads(calls: list[Callable[[], None]]) -> list[BaseException | None]:
    """What each of the calls raised, each in a thread of its own."""
    raised: list[BaseException | None] = [None] * len(calls)

    def run(i: int) -> None:
        try:
            calls[i]()
        except BaseException as error:
            raised[i] = error

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive(), "it waits for ever"
    return raised


def a_full_lock() -> None:
    """From here on TensorFlow 2.15 keeps its lock."""
    import tensorflow as tf

    function = tf.function(lambda x: x * 2, input_signature=[tf.TensorSpec([None, 3], tf.float32)])
    function(tf.zeros([1, 3]))
    function(tf.zeros([1, 4]))


@pytest.mark.parametrize("fail", [lambda: int("x"), pytest.param(a_full_lock, marks=pytest.mark.long)])
def test_a_failed_turn_ends_everybody_with_the_first_error_as_the_cause(fail: Callable[[], None]) -> None:
    turn = Turn()

    def predict() -> None:
        with turn("predict"):
            fail()

    raised = in_threads([predict] * 4)
    failures = [error for error in raised if isinstance(error, TypeError | ValueError)]
    assert failures == [turn.failure]
    assert [error.__cause__ for error in raised if isinstance(error, Stopped)] == 3 * failures


@pytest.mark.parametrize(("error", "harmless"), [(Stopped(), False), (KeyError("x"), True)])
def test_what_is_no_failure_of_the_agents_is_its_callers_alone(error: Exception, harmless: bool) -> None:
    turn = Turn()
    with pytest.raises(type(error)), turn("load_model", harmless=harmless):
        raise error
    with turn("predict"), turn("exploit"):  # an agent's method may call another
        assert turn.failure is None


def test_turns_are_taken_one_at_a_time() -> None:
    turn, inside, most = Turn(), [0], [0]

    def take() -> None:
        for _ in range(200):
            with turn("predict"):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                os.sched_yield()
                inside[0] -= 1

    assert in_threads([take] * 4) == [None] * 4
    assert most == [1]
