"""Kaiwu-style slots: threads, books, errors with their original traceback."""

from __future__ import annotations

import contextlib
import logging
import threading
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from kaimesh.aisrv.renewals import Renewals
from kaimesh.aisrv.slots import CountedEnv, run_slots
from kaimesh.contract.errors import AgentError, EnvError, Stopped
from kaimesh.process.meter import Meter
from kaimesh.process.turn import Turn

LOG = logging.getLogger("test")


class Facade:
    """Three steps an episode, a point each."""

    def __init__(self) -> None:
        self.score, self.age = 0.0, 0

    def reset(self, usr_conf: Any = None) -> int:
        if usr_conf == "broken":
            raise OSError("no game server")
        self.score, self.age = 0.0, 0
        return 0

    def step(self, act: int) -> Any:
        self.age += 1
        self.score += 1
        return self.age, self.age, self.score, int(self.age == 3), 0, {}


def test_steps_and_episodes_are_counted() -> None:
    meter, stop = Meter("aisrv_0"), threading.Event()

    def workflow(envs: Any, agents: Any, logger: Any, monitor: Any) -> None:
        assert agents == ["agent"]
        for _ in range(2):
            envs[0].reset()
            while not envs[0].step(0)[3]:
                pass

    envs = [CountedEnv(Facade(), meter, stop) for _ in range(2)]
    run_slots(workflow, envs, ["agent", "agent"], LOG, None, stop)
    counters = meter.snapshot()["counters"]
    assert (counters["env_steps"], counters["episodes"]) == (12, 4)
    assert {ret for _, ret, _ in meter.snapshot()["recent_episodes"]} == {3.0}


def test_the_workflows_own_exception_is_the_cause_and_stops_the_other_slots() -> None:
    stop = threading.Event()
    meter = Meter("aisrv_0")

    def workflow(envs: Any, agents: Any, *_: Any) -> None:
        if agents[0] == "bad":
            return {}["reward"]
        while True:
            envs[0].reset()

    envs = [CountedEnv(Facade(), meter, stop) for _ in range(2)]
    with pytest.raises(AgentError, match="workflow in slot 1 raised KeyError: 'reward'") as error:
        run_slots(workflow, envs, ["good", "bad"], LOG, None, stop)
    assert 'return {}["reward"]' in "".join(traceback.format_exception(error.value))


def test_exit_in_user_code_is_an_error_not_a_silent_end() -> None:
    def workflow(*_: Any) -> None:
        raise SystemExit(1)

    with pytest.raises(AgentError, match="SystemExit"):
        run_slots(workflow, [None], [None], LOG, None, threading.Event())


def test_an_environment_that_raises_is_told_apart_from_the_workflow() -> None:
    stop = threading.Event()

    def workflow(envs: Any, *_: Any) -> None:
        envs[0].reset("broken")

    with pytest.raises(EnvError, match="OSError in reset: no game server"):
        run_slots(workflow, [CountedEnv(Facade(), Meter("aisrv_0"), stop)], [None], LOG, None, stop)


class Flaky(Facade):
    """Fails in its `at`-th step."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at, self.steps = at, 0

    def step(self, act: int) -> Any:
        self.steps += 1
        if self.steps == self.at:
            raise ConnectionError("the game server closed the connection")
        return super().step(act)

    def render(self) -> None:
        raise OSError("no display")

    def close(self) -> None:
        raise OSError("no connection")


class Slot:
    """A slot whose environments fail: the n-th one in its step `at(n)`. made: the numbers of those made anew."""

    def __init__(self, at: Callable[[int], int]) -> None:
        self.at, self.made = at, list[int]()
        self.meter, self.stop = Meter("aisrv_0"), threading.Event()
        renew = Renewals(self.meter, self.stop, LOG).of_group(0)
        self.env = CountedEnv(Flaky(at(0)), self.meter, self.stop, renew, self._make)

    def _make(self, times: int) -> Any:
        self.made.append(times)
        return Flaky(self.at(times))


def contest(envs: Any, *_: Any) -> None:
    """As contestants write it: whatever happens is logged."""
    try:
        for _ in range(20):
            envs[0].reset()
            while not envs[0].step(0)[3]:
                pass
    except Exception as error:
        LOG.info("workflow error: %s", error)
        raise RuntimeError("workflow error") from None


def silent(envs: Any, *_: Any) -> None:
    with contextlib.suppress(Exception):
        contest(envs)


def within(envs: Any, *_: Any) -> None:
    for _ in range(20):
        with contextlib.suppress(Exception):
            envs[0].reset()
            while not envs[0].step(0)[3]:
                pass


@pytest.mark.parametrize("workflow", [contest, silent, within])
def test_an_environment_that_raises_is_made_anew_alone_whatever_the_workflow_makes_of_it(workflow: Any) -> None:
    slot = Slot(lambda times: 10_000 if times else 50)
    calls = {0: 0, 1: 0}

    def counted(envs: Any, agents: Any, *rest: Any) -> None:
        calls[agents[0]] += 1
        workflow(envs, agents, *rest)

    run_slots(counted, [slot.env, CountedEnv(Facade(), slot.meter, slot.stop)], [0, 1], LOG, None, slot.stop)
    assert slot.made == [1]
    assert slot.meter.snapshot()["counters"]["env_restarts"] == 1
    assert calls == {0: 1 if workflow is within else 2, 1: 1}, "the other slot's workflow is not disturbed"
    assert not slot.stop.is_set()


@pytest.mark.parametrize("workflow", [contest, silent, within])
def test_an_environment_that_always_raises_is_given_up(workflow: Any) -> None:
    slot = Slot(lambda times: 5)
    with pytest.raises(EnvError, match=r"ConnectionError in step.*failure 10 within"):
        run_slots(workflow, [slot.env], [None], LOG, None, slot.stop)
    assert slot.made == list(range(1, 10))


def test_a_workflow_that_ends_after_it_began_anew_has_returned() -> None:
    slot, calls = Slot(lambda times: 1), []

    def workflow(envs: Any, *_: Any) -> None:
        calls.append(0)
        if len(calls) == 1:
            envs[0].reset()
            envs[0].step(0)

    run_slots(workflow, [slot.env], [None], LOG, None, slot.stop)
    assert (len(calls), slot.made) == (2, [1])


def test_an_environment_that_fails_to_draw_is_named_and_made_anew() -> None:
    slot = Slot(lambda times: 100)
    slot.env.reset()
    with pytest.raises(EnvError, match="the environment raised OSError in render: no display"):
        slot.env.render()
    slot.env.reset()
    assert slot.made == [1]


def test_a_stop_unwinds_the_workflow() -> None:
    stop = threading.Event()
    env = CountedEnv(Facade(), Meter("aisrv_0"), stop)
    stop.set()
    with pytest.raises(Stopped):
        env.step(0)


def test_a_workflow_that_swallows_every_exception_ends_all_the_same() -> None:
    stop, turn = threading.Event(), Turn()
    env = CountedEnv(Facade(), Meter("aisrv_0"), stop)

    def workflow(envs: Any, agents: Any, *_: Any) -> None:
        while True:
            try:
                envs[0].reset()
                with turn("predict"):
                    raise KeyError(agents[0])
            except Exception:
                LOG.debug("never mind")

    with pytest.raises(AgentError, match=r"whose workflow caught the error, raised KeyError: .first") as error:
        run_slots(workflow, [env, env], ["first", "first"], LOG, None, stop)
    told = "".join(traceback.format_exception(error.value.__cause__))
    assert told.count("raise KeyError(agents[0])") == 1, "the lines of one thread, not of all"
    run_slots(workflow, [env], ["after the stop"], LOG, None, stop)


def test_attributes_set_on_the_environment_are_kept() -> None:
    env = CountedEnv(Facade(), Meter("aisrv_0"), threading.Event())
    env.F = {"0": 1}
    assert env.F == {"0": 1}


def test_a_step_that_the_game_could_not_make_counts_nothing() -> None:
    meter = Meter("aisrv_0")
    facade = Facade()
    facade.step = lambda act: (None, None, None, None, True, None)  # type: ignore[method-assign]
    assert CountedEnv(facade, meter, threading.Event()).step(0)[4] is True
    assert not meter.snapshot()["counters"]
