"""Kaiwu's monitor, by which users' code shows numbers of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from kaimesh.contract.untrusted import clean

USERS = "user/"  # what the names of users' own metrics begin with; none of the mesh's does
_MOST_NAME = 100  # characters of a metric's name


Numbers = Callable[[str, float], None]
Phases = Callable[[str], AbstractContextManager[None]]


def _dropped(_name: str, _value: float) -> None:
    """What nobody shows."""


class Monitor:
    """Kaiwu's monitor: `put_data({os.getpid(): {name: number}})` sets gauges of the process's metrics.

    Besides, it counts, and measures how long something takes. All names begin with `user/`, so that none is taken for
    one of the mesh's own, such as `size`.

    gauge, count, phase: those of the process's meter; by default nothing is shown. whose: the process's index, and the
    number of its life in this run; so that no two draw the same random numbers (kaimesh/contract/seeds).
    """

    def __init__(
        self,
        gauge: Numbers = _dropped,
        whose: tuple[int, int] = (0, 0),
        count: Numbers = _dropped,
        phase: Phases = lambda _name: nullcontext(),
    ) -> None:
        self._gauge, self._count, self._phase, self.whose = gauge, count, phase, whose

    def put_data(self, data: Mapping[Any, Mapping[str, Any]]) -> None:
        """Sets the gauge of each name to its number; the keys of the outer mapping (process ids) are ignored."""
        for metrics in data.values():
            for name, value in metrics.items():
                self._gauge(f"{USERS}{metric_name(name)}", float(value))

    def push_data(self, data: Mapping[Any, Any]) -> None:
        """As `put_data`, with labels beside: `push_data({os.getpid(): {name: number}, "player": "p1"})`. Metrics with
        labels have a name of their own, `name{player=p1}`.
        """
        labels = ",".join(f"{key}={value}" for key, value in data.items() if isinstance(value, str))
        for key, metrics in data.items():
            if isinstance(metrics, str):
                continue
            found = metrics if isinstance(metrics, Mapping) else {"value" if isinstance(key, int) else key: metrics}
            named = {f"{name}{{{labels}}}" if labels else name: value for name, value in found.items()}
            self.put_data({0: named})

    def count(self, name: str, amount: float = 1) -> None:
        """Adds to the counter of that name, whose rate per second is shown, too."""
        self._count(f"{USERS}{metric_name(name)}", amount)

    def phase(self, name: str) -> AbstractContextManager[None]:
        """`with monitor.phase("search"):` adds up the time inside, of one thread.

        Fetch it once, outside a loop.
        """
        return self._phase(f"{USERS}{metric_name(name)}")


def metric_name(name: Any) -> str:
    """What a metric that the user calls `name` is called in files and log lines: without line ends, not too long."""
    return clean(str(name))[:_MOST_NAME]
