"""When a process is healthy, finished, or the end of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kaimesh.operate.local.keeper import rules
from kaimesh.process import exits


def info(statename: str = "RUNNING", **values: Any) -> dict[str, Any]:
    return {"statename": statename, "pid": 7, "exitstatus": 0, "spawnerr": "", "start": 1, "now": 60, **values}


@pytest.mark.parametrize(
    ("state", "pid", "healthy"),
    [
        ("working", 7, True),
        ("waiting", 7, True),
        ("ready", 7, True),
        ("starting", 7, False),
        ("failed", 7, False),
        ("working", 6, False),
    ],
)
def test_healthy_is_past_its_start_in_this_very_life(state: str, pid: int, healthy: bool) -> None:
    assert rules.healthy(info(), {"state": state, "pid": pid}) is healthy
    assert not rules.healthy(info(pid=0), {"state": state, "pid": 0})
    assert not rules.healthy(info(), {})


def test_a_role_that_never_says_anything_is_told_what_it_lacks() -> None:
    late, early = info(start=1000, now=1030), info(start=1000, now=1010)
    assert "does it call kaimesh.process.life.main?" in rules.in_words("mine_0", late, {}, own=True)
    assert "does it call" in rules.in_words("mine_0", late, {"pid": 6, "state": "working"}, own=True)
    assert rules.in_words("mine_0", late, {"pid": 7, "state": "starting"}, own=True) == "mine_0"
    assert rules.in_words("mine_0", early, {}, own=True) == "mine_0"
    assert rules.in_words("aisrv_0", late, {}, own=False) == "aisrv_0"


def test_never_started_is_not_stopped_by_the_user() -> None:
    assert rules.never_started(info("STOPPED", pid=0, start=0))
    assert not rules.never_started(info("STOPPED", pid=0, start=5))


FAILED = {"state": "failed", "blocked_on": "AgentError: Agent.learn raised\nmore", "exit_code": 3}


@pytest.mark.parametrize(
    ("given", "status", "reason"),
    [
        (info(), {}, ""),
        (info("EXITED", exitstatus=3), FAILED, "learner_0: AgentError: Agent.learn raised"),
        (info("EXITED", exitstatus=2), {}, "learner_0: exit code 2, see its log"),
        (info("BACKOFF"), FAILED, "learner_0: AgentError: Agent.learn raised"),
        (info("BACKOFF"), {"state": "failed", "exit_code": 1, "blocked_on": "RuntimeError"}, ""),
        (info("BACKOFF"), {}, ""),
        (
            info("FATAL", spawnerr="Exited too quickly"),
            {},
            "learner_0 ends again and again just after its start: Exited too quickly, see its log",
        ),
        (info("EXITED", exitstatus=0), {}, ""),
        (info("STOPPED", exitstatus=3), FAILED, ""),
    ],
)
def test_what_ends_the_run(given: dict[str, Any], status: dict[str, Any], reason: str) -> None:
    assert rules.fatal("learner_0", given, status) == reason


SIGNALS = ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGKILL", "SIGPIPE")


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("status", [{}, FAILED, {"state": "working"}])
def test_a_signal_is_named_whatever_an_earlier_life_said(signal: str, status: dict[str, Any]) -> None:
    how = f"terminated by {signal}"
    line = rules.failure_line(info("EXITED", exitstatus=-1), status, how)
    assert line.startswith(f"killed by {signal}")
    assert rules.fatal("a", info("FATAL"), status, how).endswith(line)
    assert ("memory was used up" in line) == (signal == "SIGKILL")


def test_how_a_process_ended_last_is_in_supervisords_log(tmp_path: Path) -> None:
    text = (
        "2026-11-26 14:00:00,123 INFO spawned: 'aisrv_1' with pid 7\n"
        "2026-11-26 14:00:01,123 WARN exited: aisrv_1 (terminated by SIGSEGV (core dumped); not expected)\n"
        "2026-11-26 14:00:02,123 WARN exited: aisrv_10 (exit status 1; not expected)\n"
        "2026-11-26 14:00:03,123 INFO exited: aisrv_0 (exit status 0; expected)\n"
    )
    assert exits.last_exit_in(text, "aisrv_1") == "terminated by SIGSEGV"
    assert exits.last_exit_in(text, "aisrv_0") == "exit status 0"
    assert (
        exits.last_exit_in(text + text.replace("SIGSEGV (core dumped)", "SIGKILL"), "aisrv_1")
        == "terminated by SIGKILL"
    )
    assert exits.last_exit_in(text, "aisrv_2") == ""
    assert exits.last_exit(tmp_path / "nothing", "aisrv_0") == ""
    (tmp_path / "log").write_text("x" * 100_000 + text)
    assert exits.last_exit(tmp_path / "log", "aisrv_0") == "exit status 0"


LIVES = {"up_s": 9.0, "time": 59.5}  # published half a second ago, by a process that was started after `start`
EARLIER = {"up_s": 9.0, "time": 49.0}


@pytest.mark.parametrize(
    ("given", "status", "how", "silent"),
    [
        (info("EXITED", start=50), {"state": "working", **LIVES}, "", True),
        (info("EXITED", start=50), {"state": "stopping", **LIVES}, "", True),  # os._exit in close
        (info("EXITED", start=50), {"state": "done", **LIVES}, "", False),
        (info("EXITED", start=50), {"state": "done", **EARLIER}, "", True),  # an earlier life's word
        (info("EXITED", start=50), {"state": "working", **LIVES, "signal": "SIGTERM"}, "", False),
        (info("EXITED", start=50), {}, "", True),
        (info("EXITED", exitstatus=1, start=50), {"state": "working", **LIVES}, "", False),
        (info("BACKOFF", start=50), {"state": "starting", **LIVES}, "exit status 0", True),
        (info("BACKOFF", start=50), {"state": "done", **LIVES}, "exit status 0", False),
        (info("BACKOFF", start=50), {"state": "failed", **LIVES}, "exit status 1", False),
        (info("RUNNING", start=50), {"state": "working", **LIVES}, "", False),
        (info("STOPPED", start=50), {"state": "working", **LIVES}, "", False),
    ],
)
def test_exit_code_0_is_success_only_where_it_was_announced(
    given: dict[str, Any], status: dict[str, Any], how: str, silent: bool
) -> None:
    reason = rules.silent_exit("aisrv_0", given, status, how)
    assert bool(reason) == silent
    assert not silent or "something inside it called exit" in reason


def test_an_end_by_itself_and_by_a_stranger() -> None:
    done = {"state": "done", "exit_code": 0}
    told = {**done, "signal": "SIGTERM"}
    assert rules.ended_by_itself(info("EXITED"), done)
    assert rules.ended_by_itself(info("BACKOFF"), done)
    assert not rules.ended_by_itself(info("EXITED"), {"state": "working"})
    assert not rules.ended_by_itself(info("EXITED"), told)
    assert not rules.ended_by_itself(info("STOPPED"), done)
    assert not rules.ended_by_itself(info("BACKOFF"), {"state": "failed", "exit_code": 1})
    assert rules.ended_by_a_stranger(info("EXITED"), told)
    assert not rules.ended_by_a_stranger(info("STOPPED"), told)
    assert not rules.ended_by_a_stranger(info("EXITED", exitstatus=3), told)


def test_only_unexpected_ends_are_counted_and_only_for_ten_minutes() -> None:
    restarts = rules.Restarts(1, {})
    see = lambda pid, status, now: restarts.observe("a", info(pid=pid), status, now)  # noqa: E731
    assert not see(1, {}, 0.0)  # the first life
    assert not see(1, {"pid": 1, "state": "working"}, 1.0)
    assert see(2, {"pid": 1, "state": "working"}, 2.0)  # noticed before the new life has written
    assert not see(3, {"pid": 2, "state": "done"}, 3.0)  # a clean end
    assert see(4, {"pid": 4, "previous_state": "working"}, 4.0)  # noticed after it has written
    assert not see(5, {"pid": 5, "previous_state": "done"}, 5.0)
    assert not see(0, {}, 6.0)  # between two lives
    assert restarts.too_many("a", 6.0) == "a ended unexpectedly 2 times within ten minutes (max_restarts = 1)"
    assert not restarts.too_many("a", 603.0)
    assert not restarts.too_many("b", 6.0)


def test_an_end_that_a_full_disk_caused_is_counted_and_only_the_limit_excuses_it() -> None:
    restarts = rules.Restarts(1, {})
    restarts.observe("a", info(pid=1), {}, 0.0)
    for pid in (2, 3, 4):
        assert restarts.observe("a", info(pid=pid), {"pid": pid - 1, "state": "working"}, float(pid), counts=False)
    assert not restarts.too_many("a", 4.0)
    kept = rules.Restarts(1, {"a": {"pid": 4, **restarts.of("a")}})  # what mesh.json says once it can be written again
    assert kept.times["a"] == [2.0, 3.0, 4.0]
    for pid in (5, 6):
        kept.observe("a", info(pid=pid), {"pid": pid - 1, "state": "working"}, float(pid))
    assert "ended unexpectedly 2 times" in kept.too_many("a", 6.0)


def test_restarts_survive_the_keepers_own_death() -> None:
    before = {"a": {"pid": 4, "restarts": [1.0, 2.0]}, "b": {}}
    restarts = rules.Restarts(1, before)
    assert restarts.too_many("a", 3.0)
    assert restarts.observe("a", info(pid=5), {"pid": 4, "state": "working"}, 3.0)
    assert restarts.times["a"] == [1.0, 2.0, 3.0]
