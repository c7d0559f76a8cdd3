"""The mesh as rows, from the status files that the monitor keeps: for the status page and for tools/cluster.sh."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from kaimesh.operate.view.overview import WORK, Row, sentence
from kaimesh.operate.view.totals import Totals, number, totals, values_of
from kaimesh.wire.internal import INTERNAL_ERRORS

SILENT_S = 5.0
FORGOTTEN_S = 600.0  # a replica that ended cleanly so long ago was scaled away


class Place(NamedTuple):
    """One process, and the machine or container that it was on when it last reported."""

    row: Row
    host: str
    does: str


class View(NamedTuple):
    """The mesh at one moment; seen: seconds since each process was heard, by name."""

    run: str
    places: list[Place]
    totals: Totals


def look(run: str, statuses: Mapping[str, Mapping[str, Any]], now: float) -> View:
    """The view at wall time `now`, s."""
    places = [_place(name, status, now) for name, status in statuses.items() if not _forgotten(status, now)]
    return View(run, places, totals(statuses, now))


def as_json(view: View) -> dict[str, Any]:
    """What the page's /status.json says."""
    processes = [{**place.row._asdict(), "host": place.host, "does": place.does} for place in view.places]
    return {"run": view.run, **view.totals._asdict(), "processes": processes}


def _age_s(status: Mapping[str, Any], now: float) -> float:
    return now - (number(status.get("time")) or 0.0)


def _forgotten(status: Mapping[str, Any], now: float) -> bool:
    return status.get("state") == "done" and _age_s(status, now) > FORGOTTEN_S


def _place(name: str, status: Mapping[str, Any], now: float) -> Place:
    role = name.rpartition("_")[0]
    unit, state = WORK.get(role, ""), str(status.get("state", "starting"))
    health = _health(state, _age_s(status, now))
    rate = number(values_of(status, "rates").get(unit)) if health == "ok" else None
    row = Row(
        name=name,
        pid=status.get("pid"),
        port=status.get("port"),
        health=health,
        restarts=int(status.get("restarts", 0)),
        throughput=None if rate is None else round(rate, 3),
        throughput_unit=f"{unit}/s" if unit else "",
        model_version=status.get("model_version"),
        state=state,
        blocked_on=str(status.get("blocked_on", "")),
        since=number(status.get("since")),
        internal_errors=int(number(values_of(status, "counters").get(INTERNAL_ERRORS)) or 0),
    )
    return Place(row, str(status.get("host", "")), sentence(row, now))


def _health(state: str, age_s: float) -> str:
    if state in ("done", "failed"):
        return state
    if age_s > SILENT_S:
        return "silent"
    return "starting" if state == "starting" else "ok"
