"""When a process is healthy, finished, or the end of the run."""

from __future__ import annotations

from typing import Any

import pytest

from kaimesh.keeper import rules


def info(statename: str = "RUNNING", **values: Any) -> dict[str, Any]:
    return {"statename": statename, "pid": 7, "exitstatus": 0, "spawnerr": "", "start": 1, **values}


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


def test_an_end_by_itself_and_by_a_stranger() -> None:
    done = {"state": "done", "exit_code": 0}
    told = {**done, "signal": "SIGTERM"}
    assert rules.ended_by_itself(info("EXITED"), done)
    assert rules.ended_by_itself(info("BACKOFF"), done)
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


def test_restarts_survive_the_keepers_own_death() -> None:
    before = {"a": {"pid": 4, "restarts": [1.0, 2.0]}, "b": {}}
    restarts = rules.Restarts(1, before)
    assert restarts.too_many("a", 3.0)
    assert restarts.observe("a", info(pid=5), {"pid": 4, "state": "working"}, 3.0)
    assert restarts.times["a"] == [1.0, 2.0, 3.0]
