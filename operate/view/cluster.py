"""The rows of a cluster's mesh, from the statuses that the monitor keeps; for the status page and tools/cluster.sh."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from kaimesh.operate.view import row as rows_of
from kaimesh.operate.view.row import SILENT_S, Row, row_of
from kaimesh.operate.view.totals import Totals, totals
from kaimesh.process.clocks import age_s

FORGOTTEN_S = 600.0  # a process that ended cleanly is shown for so long; its service may have been scaled down


class View(NamedTuple):
    """The mesh at one moment, wall time `now` in s."""

    run: str
    now: float
    rows: list[Row]
    totals: Totals


def look(run: str, statuses: Mapping[str, Mapping[str, Any]], now: float) -> View:
    """The view at wall time `now`, s."""
    rows = [_row(name, status, now) for name, status in statuses.items() if not _forgotten(status, now)]
    return View(run, now, rows, totals(statuses, now))


def as_json(view: View) -> dict[str, Any]:
    """What the page's /status.json says."""
    processes = [rows_of.as_json(row, view.now) for row in view.rows]
    return {"run": view.run, **view.totals._asdict(), "processes": processes}


def _forgotten(status: Mapping[str, Any], now: float) -> bool:
    return status.get("state") == "done" and age_s(status, now) > FORGOTTEN_S


def _row(name: str, status: Mapping[str, Any], now: float) -> Row:
    state = str(status.get("state", "starting"))
    health = _health(state, age_s(status, now))
    row = row_of(
        name,
        status,
        health=health,
        state=state,
        works=health == "ok",
        pid=status.get("pid"),
        port=status.get("port"),
        restarts=int(status.get("restarts", 0)),
        now=now,
    )
    return row._replace(host=str(status.get("host", "")))


def _health(state: str, age_s: float) -> str:
    if state in ("done", "failed"):
        return state
    if age_s > SILENT_S:
        return "silent"
    return "starting" if state == "starting" else "ok"
