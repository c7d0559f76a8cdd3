"""Kaiwu-style slots: threads, books, errors with their original traceback."""

from __future__ import annotations

import logging
import threading
import traceback
from typing import Any

import pytest

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
