"""The books of a run: whether every sample is in a counter or a gauge (docs/architecture.md, Where a sample is)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from kaimesh.contract.json_text import number
from kaimesh.operate.view.totals import values_of
from kaimesh.process.meter import FRESH

_LOST = "lost_in_kill"
_SENT = ("samples_acked", "samples_refused", "samples_lost", "samples_unfinished", _LOST)
_GONE_FRESH = tuple(FRESH + name for name in ("evicted", "dropped", _LOST))
_LEARNED = ("samples_learned", "samples_stale", "samples_unfinished", _LOST)


class Line(NamedTuple):
    """What came in, and where it is now, by counter or gauge. missing: in none of them, such as what is under way."""

    name: str
    came: int
    places: dict[str, int]

    @property
    def missing(self) -> int:
        """0: the line adds up."""
        return self.came - sum(self.places.values())


def lines(statuses: Mapping[str, Mapping[str, Any]]) -> list[Line]:
    """A line for each process that takes samples, by name: who makes them, keeps them, and draws them from queues."""
    found = []
    for name, status in statuses.items():
        counters = {key: _whole(value) for key, value in values_of(status, "counters").items()}
        gauges = {key: _whole(value) for key, value in values_of(status, "gauges").items()}
        if "samples_made" in counters:
            found.append(Line(name, counters["samples_made"], _of(counters, _SENT)))
        elif "inserted" in counters:
            gone = "evicted" if "evicted" in counters else "sampled"
            places = _of(counters, (gone, "dropped", _LOST)) | _of(gauges, ("size", "pending"))
            found.append(Line(name, counters["inserted"], places))
            if f"{FRESH}inserted" in counters:
                places = _of(counters, _GONE_FRESH) | _of(gauges, (f"{FRESH}size", f"{FRESH}pending"))
                found.append(Line(f"{name}, fresh copies", counters[f"{FRESH}inserted"], places))
        elif drawn := sum(value for key, value in counters.items() if key.startswith("samples_drawn_")):
            places = _of(counters, _LEARNED)
            places["samples_learned"] -= counters.get("samples_replayed", 0)
            found.append(Line(name, drawn, places))
    return found


def _of(values: Mapping[str, int], names: tuple[str, ...]) -> dict[str, int]:
    return {name: values.get(name, 0) for name in names}


def _whole(value: Any) -> int:
    return int(number(value) or 0)
