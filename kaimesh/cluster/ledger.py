"""A process's counters over all of its lives: a container that was replaced, or moved to another machine, counts on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KEPT_LIVES = 8  # an older one cannot report any more


class Ledger:
    """Adds up what processes report.

    A report's `life` is new after each start and its `counters` are that life's alone, so reports of an old and a new life may
    come in any order (a replica that is replaced overlaps with its successor).
    statuses: what `take` returned before, by process name, where the monitor itself was started again.
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
        """The report with the counters of all lives, `restarts`, and what the ledger must find again."""
        name = str(report["name"])
        lives = self._lives.setdefault(name, {})
        folded = self._folded.setdefault(name, {})
        if report["life"] not in lives:
            self._count[name] = self._count.get(name, 0) + 1
            if len(lives) >= KEPT_LIVES:
                _add(folded, lives.pop(next(iter(lives))))
        lives[str(report["life"])] = dict(report["counters"])
        total = dict(folded)
        for counters in lives.values():
            _add(total, counters)
        return {
            **report,
            "counters": total,
            "restarts": self._count[name] - 1,
            "lives": {life: dict(counters) for life, counters in lives.items()},
            "earlier_lives": dict(folded),
        }


def _add(total: dict[str, float], counters: Mapping[str, float]) -> None:
    for name, value in counters.items():
        total[name] = total.get(name, 0) + value
