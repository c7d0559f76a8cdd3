"""Kaiwu-style workflows: the user's workflow runs once per slot, in a thread, with one environment and one agent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from kaimesh.aisrv.guard import environment
from kaimesh.contract.agent import user_code
from kaimesh.contract.errors import Stopped
from kaimesh.contract.kaiwu import KaiwuEnv
from kaimesh.process.meter import Meter

Workflow = Callable[..., None]
_LAST_S = 30.0


class CountedEnv:
    """A facade that also counts steps and episodes, raises Stopped after a stop, and names the environment in errors.

    Attributes that it does not have are read from the facade. A workflow may set attributes of its own on it.
    """

    def __init__(self, facade: KaiwuEnv, meter: Meter, stop: threading.Event) -> None:
        self._facade, self._meter, self._stop = facade, meter, stop
        self._return, self._length = 0.0, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._facade, name)

    def reset(self, usr_conf: Any = None) -> Any:
        """See KaiwuEnv.reset."""
        self._check_stop()
        self._return, self._length = 0.0, 0
        self._meter.beat()
        first = self._call("reset", usr_conf)
        self._meter.beat()
        return first

    def close(self) -> None:
        """See KaiwuEnv.close."""
        self._call("close")

    def step(self, act: Any, *args: Any, **kwargs: Any) -> Any:
        """See KaiwuEnv.step: `(frame_no, obs, score, terminated, truncated, env_info)`."""
        self._check_stop()
        result = self._call("step", act, *args, **kwargs)
        self._meter.beat()
        if result[0] is None:  # as in Kaiwu: the game could not step
            return result
        self._length += 1
        self._meter.count("env_steps")
        if result[3] or result[4]:
            self._meter.episode(float(self._facade.score), self._length)
        return result

    def _call(self, verb: str, *args: Any, **kwargs: Any) -> Any:
        with environment(verb):
            return getattr(self._facade, verb)(*args, **kwargs)

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise Stopped


def run_slots(
    workflow: Workflow, envs: Sequence[Any], agents: Sequence[Any], logger: Any, monitor: Any, stop: threading.Event
) -> None:
    """Runs one thread per environment until all have returned. The first error stops the other threads; it is raised.

    It waits no longer than _LAST_S seconds for threads that do not stop: what such a thread waits for may never come,
    and the error that explains it should be raised.
    """
    errors: list[BaseException] = []
    # The causes of Stopped. After an error of the agent, every thread that uses it gets Stopped with that error as its
    # cause. If the workflow that got the error itself has caught it, only these show the error.
    causes: list[BaseException] = []

    def run(slot: int) -> None:
        try:
            with user_code(f"aisrv: workflow in slot {slot}", lasting=True):
                workflow([envs[slot]], [agents[slot]], logger, monitor)
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
