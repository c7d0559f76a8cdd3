"""The life of one process, in a real process: signals, exit codes, the watchdog, the user's traceback."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kaimesh.contract.errors import EXIT_AGENT, EXIT_CONFIG, EXIT_CRASH, EXIT_OK, EXIT_WATCHDOG, AgentError, ConfigError
from kaimesh.process.agents import dotted
from tests.forks import LIGHT, Fork
from tests.harness import WAIT_S, wait_until

ROOT = Path(__file__).parents[2]
SERVICE = """
import os, sys, time
from kaimesh.contract.agent import user_code
from kaimesh.contract.errors import Stopped
from kaimesh.process.life import main

class Service:
    def __init__(self, context):
        self.context = context
        self.build()
    def build(self):
        pass
    def run(self):
        pass
    def close(self):
        print("closed")

class Own(Service):
{body}

if __name__ == "__main__":
    main("learner", "life_of_this_test.Own")
"""


class Life:
    def __init__(self, folder: Path) -> None:
        self.folder, self.run = folder, folder / "run"
        (folder / "c.toml").write_text("[app]\nwatchdog_seconds = 5.0\nuser_code_seconds = 8.0\nreport_seconds = 0.2\n")

    def popen(self, body: str) -> Fork:
        text = SERVICE.format(body=textwrap.indent(textwrap.dedent(body), "    "))
        (self.folder / "life_of_this_test.py").write_text(text)
        paths = ["--conf", str(self.folder / "c.toml"), "--run-dir", str(self.run)]
        return LIGHT.popen(
            [str(self.folder / "life_of_this_test.py"), *paths],
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{self.folder}"},
        )

    def call(self, body: str) -> tuple[int, str]:
        process = self.popen(body)
        output, _ = process.communicate(timeout=WAIT_S)
        return process.returncode, output

    def status(self) -> dict[str, Any]:
        path = self.run / "status" / "learner_0.json"
        return dict(json.loads(path.read_text())) if path.exists() else {}


@pytest.fixture
def life(tmp_path: Path) -> Life:
    return Life(tmp_path)


def test_work_that_is_done_ends_with_zero(life: Life) -> None:
    code, output = life.call("pass")
    assert code == EXIT_OK
    assert "closed" in output
    status = life.status()
    assert (status["state"], status["exit_code"], "signal" in status) == ("done", EXIT_OK, False)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("def run(self):\n    raise RuntimeError('marked')", EXIT_CRASH),
        ("def build(self):\n    raise RuntimeError('marked')", EXIT_CRASH),
        ("def close(self):\n    raise RuntimeError('marked')", EXIT_CRASH),
        ("def run(self):\n    with user_code('Agent.learn'):\n        raise ValueError('marked')", EXIT_AGENT),
        ("def run(self):\n    with user_code('Agent.learn'):\n        exit('marked')", EXIT_AGENT),
    ],
)
def test_what_went_wrong_is_told_with_its_traceback_and_code(life: Life, body: str, expected: int) -> None:
    code, output = life.call(body)
    assert code == expected
    assert "Traceback (most recent call last)" in output
    assert output.count("life_of_this_test.py") >= 1
    assert "marked" in output
    status = life.status()
    assert (status["state"], status["exit_code"]) == ("failed", expected)
    assert "marked" in status["blocked_on"]


@pytest.mark.parametrize(
    ("method", "end"),
    [("build", "exit(0)"), ("run", "raise SystemExit"), ("run", "sys.exit(0)"), ("close", "sys.exit(None)")],
)
def test_a_call_of_exit_is_told_and_never_a_success(life: Life, method: str, end: str) -> None:
    code, output = life.call(f"def {method}(self):\n    {end}")
    assert code == EXIT_AGENT
    assert "called exit (" in life.status()["blocked_on"]
    assert (life.status()["state"], life.status()["exit_code"]) == ("failed", EXIT_AGENT)
    assert f"in {method}" in output


def test_a_call_of_exit_at_an_import_is_told(life: Life) -> None:
    (life.folder / "leaves_at_once.py").write_text("import sys\nsys.exit(0)\n")
    code, output = life.call("def build(self):\n    import leaves_at_once")
    assert code == EXIT_AGENT
    assert "leaves_at_once.py" in output


@pytest.mark.parametrize(
    ("body", "number", "words"),
    [
        ("import ctypes; ctypes.string_at(0)", signal.SIGSEGV, "Segmentation fault"),
        pytest.param("import ctypes; ctypes.CDLL(None).abort()", signal.SIGABRT, "Aborted", marks=pytest.mark.long),
    ],
)
def test_a_crash_of_native_code_leaves_its_traceback(life: Life, body: str, number: int, words: str) -> None:
    code, output = life.call(f"def build(self):\n    {body}")
    assert code == -number
    assert f"Fatal Python error: {words}" in output
    assert "in build" in output


def test_a_wrong_configuration_ends_with_its_report(life: Life) -> None:
    (life.folder / "c.toml").write_text("[app]\nnothing_such = 1\n")
    code, output = life.call("pass")
    assert code == EXIT_CONFIG
    assert "unknown key 'nothing_such'" in output


WORKING = """
def run(self):
    self.context.meter.state("working")
    {loop}
"""


def _ready(life: Life) -> Callable[[], bool]:
    return lambda: life.status().get("state") == "working"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_a_clean_end(life: Life, number: signal.Signals) -> None:
    process = life.popen(WORKING.format(loop="self.context.stop.wait()"))
    wait_until(_ready(life), WAIT_S, "working")
    process.send_signal(number)
    output, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == EXIT_OK
    assert f"{number.name}: stopping" in output
    assert "closed" in output
    assert life.status()["signal"] == number.name


def test_a_signal_inside_a_wait_for_the_stop_does_not_deadlock(life: Life) -> None:
    """The main thread holds the event's lock when the signal comes, as it does for a moment in each `stop.wait`."""
    loop = "with self.context.stop._cond:\n        time.sleep(1)\n    self.context.stop.wait()"
    process = life.popen(WORKING.format(loop=loop))
    wait_until(_ready(life), WAIT_S, "working")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=WAIT_S)
    assert process.returncode == EXIT_OK


def test_a_forked_childs_signals_are_its_own(life: Life) -> None:
    loop = """pid = os.fork()
    if not pid:
        time.sleep(60)
    os.kill(pid, 15)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -15
    assert not self.context.stop.wait(0.5)"""
    code, output = life.call(WORKING.format(loop=loop))
    assert code == EXIT_OK, output


def test_stopped_unwinds_without_being_an_error(life: Life) -> None:
    code, _ = life.call("def run(self):\n    raise Stopped")
    assert (code, life.status()["state"]) == (EXIT_OK, "done")


SILENT = {
    "sleeps": WORKING.format(loop="time.sleep(600)"),
    "builds": """
        def build(self):
            from kaimesh.process.watchdog import Limits, Watchdog
            watchdog = Watchdog(self.context.meter, self.context.stop, self.context.logger, Limits(0.2, 0.2))
            watchdog.be_patient(3.0, "env_build_seconds")
            watchdog.start()
            self.context.meter.state("starting", "building environment 3 of 8")
            time.sleep(1.5)
            print("still there after seven times the limit")
            self.context.meter.state("starting", "building environment 4 of 8")
            time.sleep(600)
    """,
    "starts slowly": """
        def run(self):
            self.context.meter.state("starting", "imports what is large")
            time.sleep(8)
            print("still there after the limit")
            self.context.meter.state("working")
            time.sleep(600)
    """,
    "learns for long": """
        def run(self):
            self.context.meter.state("working")
            with user_code("learner: Agent.learn"):
                time.sleep(7)
            print("it has learned")
    """,
    "never returns": """
        def run(self):
            self.context.meter.state("working")
            with user_code("aisrv: workflow in slot 0", lasting=True):
                with user_code("Agent.observation_process"):
                    self.observe()
        def observe(self):
            time.sleep(600)
    """,
    "is stopped": """
        def run(self):
            self.context.meter.state("working")
            for _ in range(3):
                time.sleep(2)
                self.context.meter.beat()
            print("gone on after the stop")
    """,
}
STOPPED_S = 9.0  # longer than all limits together
Ended = Callable[[str], tuple[int, str, dict[str, Any]]]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ended]:
    """Waits for the end of one of SILENT: its code, output and status.

    They are started together, for they do nothing.
    """
    lives = {name: Life(tmp_path_factory.mktemp("silent")) for name in SILENT}
    processes = {name: life.popen(SILENT[name]) for name, life in lives.items()}
    wait_until(_ready(lives["is stopped"]), WAIT_S, "working")
    processes["is stopped"].send_signal(signal.SIGSTOP)
    stopped = time.monotonic()

    def wait(name: str) -> tuple[int, str, dict[str, Any]]:
        if name == "is stopped":
            wait_until(lambda: time.monotonic() - stopped > STOPPED_S, WAIT_S, "it is stopped for long")
            processes[name].send_signal(signal.SIGCONT)
        output, _ = processes[name].communicate(timeout=WAIT_S)
        return processes[name].returncode, output, lives[name].status()

    yield wait
    for process in processes.values():
        process.kill()
        process.wait()


def test_the_watchdog_ends_a_silent_process_and_shows_where_it_was(ended: Ended) -> None:
    code, output, status = ended("sleeps")
    assert code == EXIT_WATCHDOG
    assert "its main loop was silent for 5 s" in output
    assert "life_of_this_test.py" in output
    assert status["state"] == "failed"


def test_what_takes_long_to_build_has_a_limit_of_its_own(ended: Ended) -> None:
    """While the process starts the watchdog's limit does not hold; beyond its own limit it is ended in words."""
    code, output, _ = ended("builds")
    assert code == EXIT_WATCHDOG
    assert "still there" in output
    assert "watchdog: building environment 4 of 8 took longer than 3 s; raise env_build_seconds" in output
    assert "in build" in output


def test_a_start_has_a_minute_whatever_the_limit_is(ended: Ended) -> None:
    code, output, _ = ended("starts slowly")
    assert code == EXIT_WATCHDOG
    assert "still there after the limit" in output
    assert "its main loop was silent for 5 s" in output


def test_a_call_of_the_users_code_may_take_longer_than_the_main_loop_may_be_silent(ended: Ended) -> None:
    code, output, _ = ended("learns for long")
    assert (code, "it has learned" in output) == (EXIT_OK, True), output
    said = re.findall(
        r"learner: Agent\.learn has not returned for 5 s, now at .*\(run\); after 8 s .* Raise user_code", output
    )
    assert len(said) == output.count("has not returned") == 1, output


def test_a_call_that_never_returns_is_found_by_its_own_limit_and_named(ended: Ended) -> None:
    code, output, status = ended("never returns")
    assert code == EXIT_WATCHDOG
    assert "watchdog: Agent.observation_process took longer than 8 s; raise user_code_seconds" in output
    assert "in observe" in output
    assert "user_code_seconds" in status["blocked_on"]


def test_time_in_which_the_process_was_stopped_counts_for_nothing(ended: Ended) -> None:
    code, output, _ = ended("is stopped")
    assert (code, "gone on after the stop" in output) == (EXIT_OK, True), output


def test_counters_go_on_in_the_next_life_and_it_knows_how_the_last_ended(life: Life) -> None:
    body = "def run(self):\n    self.context.meter.count('learner_steps', 3)"
    life.call(body)
    life.call(body)
    assert life.status()["counters"]["learner_steps"] == 6
    assert life.status()["previous_state"] == "done"


def test_a_resolved_configuration_is_not_overridden_by_the_environment(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = "def run(self):\n    print('size', self.context.config.app.train_batch_size)"
    monkeypatch.setenv("train_batch_size", "77")
    assert "size 77" in life.call(body)[1]
    (life.folder / "c.toml").write_text('resolved = "x"\n[app]\ntrain_batch_size = 5\nreplay_buffer_capacity = 50\n')
    assert "size 5\n" in life.call(body)[1]


def test_dotted_names_say_what_is_missing() -> None:
    assert dotted("kaimesh.process.agents.dotted") is dotted
    with pytest.raises(ConfigError, match=r"no module 'kaimesh\.nothing'"):
        dotted("kaimesh.nothing.Thing")
    with pytest.raises(ConfigError, match="has no 'nothing'"):
        dotted("kaimesh.process.agents.nothing")


def test_a_thread_that_dies_ends_the_process(life: Life) -> None:
    code, output = life.call(
        """
        def run(self):
            import threading
            def work():
                raise ValueError("a marked failure")
            threading.Thread(target=work, name="side").start()
            assert self.context.stop.wait(20), "nobody noticed"
        """
    )
    assert code == EXIT_CRASH
    assert "ends: thread 'side' raised ValueError: a marked failure" in output
    assert 'raise ValueError("a marked failure")' in output
    assert "closed" in output
    assert life.status()["blocked_on"] == "ValueError: a marked failure"


@pytest.mark.parametrize("code", ["0", "", "'bye'"])
def test_an_exit_in_an_imported_module_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    (tmp_path / "leaves_early.py").write_text(f"import sys\nsys.exit({code})\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(AgentError, match="leaves_early, while it was imported, called exit"):
        dotted("leaves_early.Agent")


def test_a_line_that_is_no_unicode_is_logged_all_the_same() -> None:
    program = "from kaimesh.process.logs import configure\nconfigure('x').error('a %s b', chr(0xdcd6))\n"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.stderr, done.stdout.endswith("ERROR   x | a \\udcd6 b\n")) == ("", True), done
