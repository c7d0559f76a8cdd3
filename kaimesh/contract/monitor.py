"""Kaiwu's monitor, by which users' code shows numbers of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kaimesh.contract.untrusted import clean

USERS = "user/"  # what the names of users' own metrics begin with; none of the mesh's does
_MOST_NAME = 100  # characters of a metric's name


class Monitor:
    """Kaiwu's monitor: `put_data({os.getpid(): {name: number}})` sets gauges of the process's metrics.

    Their names begin with `user/`, so that none is taken for one of the mesh's own, such as `size`.

    whose: the process's index, and the number of its life in this run; so that no two draw the same random numbers
    (kaimesh/contract/seeds).
    """

    def __init__(self, gauge: Callable[[str, float], None], whose: tuple[int, int] = (0, 0)) -> None:
        self._gauge, self.whose = gauge, whose

    def put_data(self, data: Mapping[Any, Mapping[str, Any]]) -> None:
        """Sets the gauge of each name to its number; the keys of the outer mapping (process ids) are ignored."""
        for metrics in data.values():
            for name, value in metrics.items():
                self._gauge(f"{USERS}{metric_name(name)}", float(value))


def metric_name(name: Any) -> str:
    """What a metric that the user calls `name` is called in files and log lines: without line ends, not too long."""
    return clean(str(name))[:_MOST_NAME]
