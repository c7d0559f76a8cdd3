"""Adds up a process's counters over its restarts, also in a container that is replaced or on another machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kaimesh.contract.errors import SampleError
from kaimesh.operate.cluster.status import KEPT_LIVES, MAX_COUNTERS


class Ledger:
    """Adds up what processes report.

    A process has a new `life` after each start, and reports the counters of that life alone. So reports of an old and
    a new life may be mixed: a replica that is being replaced overlaps with its successor.
    statuses: by process name, what `take` returned before the monitor itself was restarted.
    """

    def __init__(self, statuses: Mapping[str, Mapping[str, Any]]) -> None:
        self._lives: dict[str, dict[str, dict[str, float]]] = {}
        self._folded: dict[str, dict[str, float]] = {}
        self._count: dict[str, int] = {}
        for name, status in statuses.items():
            if "lives" in status:
                self._lives[name] = {life: dict(counters) for life, counters in status["lives"].items()}
                self._folded[name] = dict(status["earlier_lives"])
                self._count[name] = int(status["restarts"]) + 1

    def take(self, report: Mapping[str, Any]) -> dict[str, Any]:
        """The report with counters summed over all lives, `restarts`, and what a restarted ledger needs.

        Raises SampleError, and drops the report: its lives together have more counters than a process may have.
        """
        name, life = str(report["name"]), str(report["life"])
        lives, folded = dict(self._lives.get(name, {})), dict(self._folded.get(name, {}))
        count = self._count.get(name, 0)
        if life not in lives:
            count += 1
            if len(lives) >= KEPT_LIVES:
                _add(folded, lives.pop(next(iter(lives))))
        lives[life] = dict(report["counters"])
        total = dict(folded)
        for counters in lives.values():
            _add(total, counters)
        if len(total) > MAX_COUNTERS:
            raise SampleError(
                f"the lives of {name} have {len(total)} counters; a process has at most {MAX_COUNTERS}, so its status "
                "was dropped. Count with fewer names."
            )
        self._lives[name], self._folded[name], self._count[name] = lives, folded, count
        return {
            **report,
            "counters": total,
            "restarts": count - 1,
            "lives": {life: dict(counters) for life, counters in lives.items()},
            "earlier_lives": dict(folded),
        }


def _add(total: dict[str, float], counters: Mapping[str, float]) -> None:
    for name, value in counters.items():
        total[name] = total.get(name, 0) + value
