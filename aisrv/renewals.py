"""Environments that fail are made anew, one by one, until they fail too often."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from kaimesh.contract.errors import EnvContractError, EnvError, Stopped, words
from kaimesh.envs.renewal import Renew, is_final
from kaimesh.process.meter import Meter

T = TypeVar("T")
LAST = 10  # failures of an environment that are looked at
# On average over these. With fewer, hardly an episode of any game would come to its end, and making environments would
# take longer than playing with them.
STEPS_EACH = 100
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 8.0  # before one is made anew that has made no step since it was made
_NO_STEP = 2  # the step that failed and the reset step count among a group's steps
_LOG_S = 10.0  # between log lines about failures of one kind


class Renewals:
    """Makes environments anew that failed, and counts them (env_restarts).

    It gives up, and the process ends, once an environment has failed LAST times within LAST * `steps_each` of its
    steps: with EnvError where it raised, so that the process is restarted, and with EnvContractError where it returned
    what no environment may. Before one is made anew that had made no step, it waits, each time longer; so a game server
    has half a minute to come back.
    """

    def __init__(
        self,
        meter: Meter,
        stop: threading.Event,
        logger: logging.Logger,
        clock: Callable[[], float] = time.monotonic,
        steps_each: int = STEPS_EACH,
    ) -> None:
        self._meter, self._stop, self._log, self._clock = meter, stop, logger, clock
        self._most = LAST * steps_each
        self._failures: dict[int, deque[int]] = {}  # by slot, the steps at which it failed
        self._quiet: dict[str, float] = {}  # by kind of failure, until when it is not logged

    def of_group(self, first: int) -> Renew:
        """What a group of environments calls whose first slot is slot `first` of this process."""

        def renew(slots: range, steps: int, verb: str, error: Exception, make: Callable[[], T]) -> T:
            return self._renewed(range(first + slots.start, first + slots.stop), steps, verb, error, make)

        return renew

    def _renewed(self, slots: range, steps: int, verb: str, error: Exception, make: Callable[[], T]) -> T:
        """See envs.renewal.Renew."""
        starting, name = self._meter.is_starting, _name(slots)
        while True:
            self._meter.state("starting", f"{name}, made anew after {type(error).__name__}")  # has env_build_seconds
            self._judge(slots, steps, verb, error)
            try:
                made = make()
            except Exception as again:  # the environment's, whatever it is
                if is_final(again, steps):
                    raise
                error, verb = again, "its constructor or first reset"
            else:
                break
        self._meter.count("env_restarts", len(slots))
        if not starting:
            self._meter.state("working")
        return made

    def _judge(self, slots: range, steps: int, verb: str, error: Exception) -> None:
        """Logs a failure, and waits where no step was made since the last one. Raises as the class says."""
        failures = self._failures.setdefault(slots.start, deque(maxlen=LAST))
        failures.append(steps)
        if len(failures) == LAST and steps - failures[0] < self._most:
            self._give_up(slots, verb, error, steps - failures[0])
        self._tell(f"{_name(slots)} failed in {verb}", error)
        gaps = [later - before for before, later in zip(failures, [*failures][1:], strict=False)]
        in_a_row = next((i for i, gap in enumerate(reversed(gaps)) if gap > _NO_STEP), len(gaps))
        if in_a_row and self._stop.wait(min(_FIRST_WAIT_S * 2 ** (in_a_row - 1), _LONGEST_WAIT_S)):
            raise Stopped

    def _tell(self, what: str, error: Exception) -> None:
        kind, now = type(error).__name__, self._clock()
        if self._quiet.get(kind, now) <= now:
            self._log.warning(
                "%s: %s: %s. Its episode is cut before that, and the environment made anew; env_restarts counts these",
                what, kind, words(error),
                exc_info=None if kind in self._quiet else error,  # the traceback once
            )  # fmt: skip
            self._quiet[kind] = now + _LOG_S

    def _give_up(self, slots: range, verb: str, error: Exception, steps: int) -> None:
        broken = isinstance(error, EnvContractError)
        what = words(error) if broken else f"the environment raised {type(error).__name__} in {verb}: {words(error)}"
        text = f"{what} ({_name(slots)}: failure {LAST} within {steps} of its steps, so no other one is made; mend it)"
        raise (EnvContractError if broken else EnvError)(text) from error


def _name(slots: range) -> str:
    return f"environment {slots.start}" if len(slots) == 1 else f"the environments {slots.start} to {slots.stop - 1}"
