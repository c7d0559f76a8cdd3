"""A run as its directory shows it: a row for each process, and the mesh's figures. No process is asked."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from kaimesh.config.roles import KEEPER, role_of
from kaimesh.operate.local import mesh_file
from kaimesh.operate.local.mesh_file import LIVE_STATES, is_ours, supervisor_pid
from kaimesh.operate.view import row as rows_of
from kaimesh.operate.view.books import Line, lines
from kaimesh.operate.view.row import SILENT_S, Row, row_of
from kaimesh.operate.view.totals import Totals, totals, values_of
from kaimesh.process import disk
from kaimesh.process.clocks import age_s
from kaimesh.process.run_dir import RunDir


class Overview(NamedTuple):
    """A run at one moment.

    state: as in mesh.json, or "dead": supervisord was killed. disk: what is wrong with the run's disk, in words; "":
    nothing. While something is wrong with it, the run's files may be old. books: where the samples are.
    """

    run: RunDir
    state: str
    mesh: dict[str, Any]
    totals: Totals
    rows: list[Row]
    gauges: dict[str, float]
    disk: str = ""
    books: tuple[Line, ...] = ()


def look(run: RunDir, now: float | None = None) -> Overview:
    """Reads the run's files."""
    now = time.time() if now is None else now
    mesh, statuses = mesh_file.read(run), run.statuses()
    state = mesh.get("state", "starting")
    if state in LIVE_STATES and not supervisor_pid(run):
        state = "dead"
    known = mesh.get("processes") or {name: {"role": role_of(name)} for name in statuses}
    rows = [_row(name, process, statuses.get(name, {}), run, state, now) for name, process in known.items()]
    gauges = {name: value for status in statuses.values() for name, value in values_of(status, "gauges").items()}
    without_keeper = {name: status for name, status in statuses.items() if name != KEEPER.first}
    trouble = _trouble(run, mesh, state, now)
    books = tuple(lines(without_keeper))
    return Overview(run, state, mesh, totals(without_keeper, now), rows, gauges, trouble, books)


def _trouble(run: RunDir, mesh: Mapping[str, Any], state: str, now: float) -> str:
    """What is wrong with the run's disk, as the keeper, the file system or, if mesh.json is old, a write shows."""
    if found := (mesh.get("disk", "") if state in LIVE_STATES else "") or disk.state(run.root):
        return str(found)
    old = not mesh or (state in LIVE_STATES and age_s(mesh, now) > SILENT_S)
    return disk.probe(run.root) if old else ""


def _row(
    name: str, process: Mapping[str, Any], status: Mapping[str, Any], run: RunDir, mesh_state: str, now: float
) -> Row:
    pid = process.get("pid") or status.get("pid")
    alive = is_ours(pid, run)
    if alive and status.get("pid") != pid:
        status = {"state": "starting"}  # the file is from before the restart
    state = status.get("state", "not started")
    health = _health(state, alive, process.get("supervisor", ""), status, mesh_state, now)
    if not alive and state not in ("done", "failed", "not started"):
        state = "gone"
    port = str(status.get("port") or (process.get("address") or ":").rpartition(":")[2])
    return row_of(
        name,
        status,
        health=health,
        state=state,
        works=alive,
        pid=pid if alive else None,
        port=int(port) if port.isdecimal() else None,
        restarts=len(process.get("restarts", [])),
        now=now,
    )


def _health(state: str, alive: bool, supervisor: str, status: Mapping[str, Any], mesh_state: str, now: float) -> str:
    if alive:
        if state == "starting":
            return "starting"
        return "silent" if "time" in status and age_s(status, now) > SILENT_S else "ok"
    if state in ("done", "failed"):
        return state if supervisor != "BACKOFF" or mesh_state not in LIVE_STATES else "restarting"
    if mesh_state not in LIVE_STATES or supervisor == "STOPPED":
        return "stopped"
    return "starting" if state == "not started" else "restarting"


def as_json(view: Overview, now: float | None = None) -> dict[str, Any]:
    """The whole overview for `status --json`."""
    now = time.time() if now is None else now
    return {
        "run": str(view.run.root),
        "state": view.state,
        "reason": view.mesh.get("reason", ""),
        "disk": view.disk,
        "commit": view.mesh.get("commit", "unknown"),
        "started": view.mesh.get("started"),
        "up": view.mesh.get("up"),
        "limits": view.mesh.get("limits", {}),
        **view.totals._asdict(),
        "processes": [rows_of.as_json(row, now) for row in view.rows],
        "books": [{**line._asdict(), "missing": line.missing} for line in view.books],
    }
