"""One process as people and programs see it: in the terminal, on a cluster's page, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from kaimesh.contract.json_text import number
from kaimesh.contract.untrusted import clean
from kaimesh.operate.view.totals import values_of
from kaimesh.process.clocks import age_s
from kaimesh.wire.internal import INTERNAL_ERRORS

SILENT_S = 5.0


class Row(NamedTuple):
    """One process.

    health: "ok", "starting", "silent", "restarting", "failed", "stopped" or "done". since: of its state; wall time, s.
    internal_errors: how often it met a bug of kaimesh's and went on. host: its machine or container; "": this machine.
    """

    name: str
    pid: int | None
    port: int | None
    health: str
    restarts: int
    throughput: float | None
    throughput_unit: str
    model_version: int | None
    state: str
    blocked_on: str
    since: float | None
    internal_errors: int = 0
    host: str = ""


def row_of(
    name: str,
    status: Mapping[str, Any],
    *,
    health: str,
    state: str,
    works: bool,
    pid: int | None,
    port: int | None,
    restarts: int,
    now: float,
) -> Row:
    """The row of a process that published `status`, whose `work` names the counter that its throughput counts.

    works: whether the rates in it are current. now: wall time, s.
    """
    unit = clean(str(status.get("work", "")))
    rate = number(values_of(status, "rates").get(unit)) if works else None
    return Row(
        name=clean(name),
        pid=pid,
        port=port,
        health=health,
        restarts=restarts,
        throughput=None if rate is None else round(rate, 3),
        throughput_unit=f"{unit}/s" if unit else "",
        model_version=status.get("model_version"),
        state=clean(state),
        blocked_on=clean(str(status.get("blocked_on", ""))),  # may be the words of a user's exception
        since=_since(status, now),
        internal_errors=int(number(values_of(status, "counters").get(INTERNAL_ERRORS)) or 0),
    )


def _since(status: Mapping[str, Any], now: float) -> float | None:
    """When the state began, by the clock that shows `now`; the process's own may have been set since then."""
    since, written = number(status.get("since")), number(status.get("time"))
    if since is None or written is None:
        return since
    return now - age_s(status, now) - (written - since)


def as_json(row: Row, now: float) -> dict[str, Any]:
    """A row for programs; `does` is what people read."""
    return {**row._asdict(), "does": sentence(row, now)}


def sentence(row: Row, now: float) -> str:
    """What a process does, to be read: `waiting 12 s for buffer: 30 of 64 samples`."""
    bugs = f"; {row.internal_errors} internal errors, see its log" if row.internal_errors else ""
    return _doing(row, now) + bugs


def _doing(row: Row, now: float) -> str:
    timed = row.since is not None and row.state in ("waiting", "starting")
    seconds = f" {now - (row.since or now):.0f} s" if timed else ""
    if row.health == "silent":
        return f"alive, but silent: it was {row.state} when it last reported"
    if row.health == "restarting":
        return f"restarting after: {row.blocked_on or row.state}"
    if not row.blocked_on:
        return row.state + (seconds if row.state == "waiting" else "")
    if row.state == "starting":
        return f"starting: {row.blocked_on} for{seconds}"
    return f"waiting{seconds} for {row.blocked_on}" if row.state == "waiting" else f"{row.state}: {row.blocked_on}"
