"""Kaiwu-style workflows: the user's workflow runs once per slot, in a thread, with one environment and one agent.

Where an environment fails, the workflow of its slot alone begins anew, with an environment that was made anew. One that
catches the error may go on with `reset`, which makes it anew, too.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kaimesh.contract.agent import user_code
from kaimesh.contract.errors import EnvContractError, EnvError, Stopped, words
from kaimesh.contract.guard import environment
from kaimesh.contract.kaiwu import KaiwuEnv
from kaimesh.envs.renewal import Renew, is_final
from kaimesh.process.meter import Meter

Workflow = Callable[..., None]
Make = Callable[[int], KaiwuEnv]  # the facade that takes the place of one that failed, for the n-th time
_LAST_S = 30.0
_log = logging.getLogger("kaimesh.aisrv")


class CountedEnv:
    """A facade that also counts steps and episodes, raises Stopped after a stop, and names the environment in errors.

    Attributes that it does not have are read from the facade. A workflow may set attributes of its own on it.

    renew: decides about a facade that failed (envs/renewal), in whose place `make` makes another one; None: nothing is
    made anew.
    """

    def __init__(
        self,
        facade: KaiwuEnv,
        meter: Meter,
        stop: threading.Event,
        renew: Renew | None = None,
        make: Make | None = None,
    ) -> None:
        self._facade, self._meter, self._stop = facade, meter, stop
        self._renew, self._make = renew, make
        self._length = 0
        self._steps = 0  # that were begun; each reset but the first is one, too
        self._times = 0  # how often the facade was made anew
        self._failure: tuple[str, Exception] | None = None  # the newest call, if it failed, and how
        self._lost: Exception | None = None  # why it is not made anew any more

    def __getattr__(self, name: str) -> Any:
        return getattr(self._facade, name)

    def reset(self, usr_conf: Any = None) -> Any:
        """See KaiwuEnv.reset."""
        self._check_stop()
        self.make_anew()
        self._length = 0
        self._steps += self._steps > 0
        self._meter.beat()
        first = self._call("reset", usr_conf)
        self._meter.beat()
        return first

    def close(self) -> None:
        """See KaiwuEnv.close."""
        self._call("close")

    def step(self, act: Any, *args: Any, **kwargs: Any) -> Any:
        """See KaiwuEnv.step; what it returns is the generation's."""
        self._check_stop()
        self._steps += 1
        result = self._call("step", act, *args, **kwargs)
        self._meter.beat()
        if result[0] is None:  # as in Kaiwu: the game could not step
            return result
        self._length += 1
        self._meter.count("env_steps")
        if _ended(result):
            self._meter.episode(float(self._facade.score), self._length)
        return result

    def render(self) -> Any:
        """See KaiwuEnv.render."""
        return self._call("render")

    @property
    def failed(self) -> bool:
        """Whether its newest call failed, so that `make_anew` is to be called."""
        return self._failure is not None or self._lost is not None

    def make_anew(self) -> None:
        """Puts another facade in the place of one that failed.

        Raises EnvError, EnvContractError: it fails too often, and is lost.
        """
        if self._lost is not None:
            raise self._lost
        if self._failure is None:
            return
        (verb, error), self._failure = self._failure, None
        assert self._renew is not None
        try:
            self._facade = self._renew(range(1), self._steps, verb, error, self._another)
        except Exception as final:
            self._lost = final
            raise

    def _another(self) -> KaiwuEnv:
        assert self._make is not None
        try:
            self._facade.close()
        except Exception as error:  # it has failed already, and another one takes its place
            _log.warning("an environment that failed raised %s in close: %s", type(error).__name__, words(error))
        self._times += 1
        return self._make(self._times)

    def _call(self, verb: str, *args: Any, **kwargs: Any) -> Any:
        self._failure = None
        with environment(verb):
            try:
                return getattr(self._facade, verb)(*args, **kwargs)
            except Exception as error:  # the environment's, whatever it is
                if self._renew is not None and not is_final(error, self._steps):
                    self._failure = verb, error
                raise

    def _check_stop(self) -> None:
        if self._lost is not None:  # a workflow that catches every Exception would go on for ever
            raise Stopped from self._lost
        if self._stop.is_set():
            raise Stopped


def _ended(result: Sequence[Any]) -> bool:
    """Whether an episode ended with this step, in any generation's form (contract/kaiwu)."""
    if len(result) == 2:
        observed = result[1]
        return isinstance(observed, Mapping) and bool(observed.get("terminated") or observed.get("truncated"))
    terminated, truncated = result[3:5] if len(result) == 6 else result[2:4]
    return bool(terminated or truncated)


def run_slots(
    workflow: Workflow, envs: Sequence[Any], agents: Sequence[Any], logger: Any, monitor: Any, stop: threading.Event
) -> None:
    """Runs one thread per environment until all have returned. The first error stops the other threads; it is raised.
    An environment that failed is made anew, and its workflow begins anew.

    It waits no longer than _LAST_S seconds for threads that do not stop: what such a thread waits for may never come,
    and the error that explains it should be raised.
    """
    errors: list[BaseException] = []
    # The causes of Stopped. After an error of the agent, every thread that uses it gets Stopped with that error as its
    # cause. If the workflow that got the error itself has caught it, only these show the error.
    causes: list[BaseException] = []

    def run(slot: int) -> None:
        try:
            while not _has_returned(workflow, slot, envs[slot], agents[slot], logger, monitor):
                envs[slot].make_anew()
                logger.info("slot %d: the workflow begins anew, with an environment made anew", slot)
            logger.info("slot %d: the workflow returned", slot)
        except Stopped as stopped:
            if stopped.__cause__ is not None:
                causes.append(stopped.__cause__)
                stop.set()
        except BaseException as error:
            errors.append(error)
            stop.set()

    threads = [
        threading.Thread(target=run, args=(slot,), name=f"slot-{slot}", daemon=True) for slot in range(len(envs))
    ]
    for thread in threads:
        thread.start()
    deadline = float("inf")
    for thread in threads:
        while thread.is_alive() and time.monotonic() < deadline:
            thread.join(1.0)
            if errors or causes:
                deadline = min(deadline, time.monotonic() + _LAST_S)
    if errors:
        raise errors[0]
    with user_code("aisrv: the agent, in a slot whose workflow caught the error,"):
        if causes:
            raise causes[0]


def _has_returned(workflow: Workflow, slot: int, env: Any, agent: Any, logger: Any, monitor: Any) -> bool:
    """Runs the workflow of one slot; False: it ended because its environment failed, whatever it made of that."""
    try:
        with user_code(f"aisrv: workflow in slot {slot}", lasting=True):
            workflow([env], [agent], logger, monitor)
    except (EnvError, EnvContractError):
        if not _failed(env):
            raise
        return False
    return not _failed(env)


def _failed(env: Any) -> bool:
    return isinstance(env, CountedEnv) and env.failed
