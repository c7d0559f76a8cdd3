"""Checks the status that a process reports, which may come from anybody: types and bounds of every field that is used.

A status that does not fit is refused as a whole. Values that a healthy process may report all the same (a loss that is
NaN, a long error message) are left out or cut. Unknown fields are left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter

from kaimesh.config.roles import ROLES, Right, Role, role_of
from kaimesh.contract.errors import MeshError, SampleError
from kaimesh.contract.untrusted import json_of, parsed
from kaimesh.process.clocks import stamp

MAX_REPORT_BYTES = 1 << 18
MAX_PROCESSES = 512  # names that a monitor keeps
KEPT_LIVES = 8  # of one process; older ones have ended, and only their sums are kept
MAX_COUNTERS, MAX_GAUGES, MAX_EPISODES = 100, 1000, 100
_MOST, _MOST_GAUGE = 1e15, 1e30  # so that no sum over all processes and lives overflows
_MAX_TEXT = 2000
_YEAR_5138 = 1e11  # seconds


def _line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text[:_MAX_TEXT])


def _sane(value: float | None) -> bool:
    """Whether it is finite and not absurdly large; a user's loss may be neither, and is null then."""
    return value is not None and math.isfinite(value) and abs(value) <= _MOST_GAUGE


def _finite(values: dict[str, float | None]) -> dict[str, float | None]:
    return {name: value for name, value in values.items() if _sane(value)}


def _episodes(rows: list[list[float | None]]) -> list[list[float | None]]:
    """Those whose end and length are known; a return that is no number is None."""
    return [
        [ended, earned if _sane(earned) else None, length]
        for ended, earned, length in rows
        if _sane(ended) and _sane(length)
    ]


# Used as a file name and on the page. Whether there is such a role, `check_role` says.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}_(0|[1-9][0-9]{0,3})$")]
Counter = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_./ -]{0,64}$")]
Key = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Text = Annotated[str, AfterValidator(_line)]
Moment = Annotated[float, Field(ge=0, le=_YEAR_5138, allow_inf_nan=False)]
Counters = Annotated[
    dict[Key, Annotated[float, Field(ge=-_MOST, le=_MOST, allow_inf_nan=False)]], Field(max_length=MAX_COUNTERS)
]
Values = Annotated[dict[Key, float | None], Field(max_length=MAX_GAUGES), AfterValidator(_finite)]
Episode = Annotated[list[float | None], Field(min_length=3, max_length=3)]  # when it ended, its return, its length
Episodes = Annotated[list[Episode], Field(max_length=MAX_EPISODES), AfterValidator(_episodes)]
Life = Annotated[str, StringConstraints(min_length=1, max_length=300), AfterValidator(_line)]
State = Literal["starting", "ready", "working", "waiting", "stopping", "failed", "done"]
Count = Annotated[int, Field(ge=0, le=2**53)]


class Report(BaseModel):
    """A process's status (kaimesh.process.meter.Meter.snapshot), and the `life` that its counters belong to."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    name: Name
    life: Life
    pid: Annotated[int, Field(ge=0, le=2**31)] | None = None
    host: Text = ""
    state: State
    blocked_on: Text = ""
    since: Moment | None = None
    started: Moment = 0.0
    time: Moment
    silent_s: Annotated[float, Field(ge=-_YEAR_5138, le=_YEAR_5138, allow_inf_nan=False)] = 0.0
    counters: Counters
    rates: Values = {}
    gauges: Values = {}
    phases: Values = {}
    phase_seconds: Values = {}
    recent_episodes: Episodes = []
    work: Counter = ""
    port: Annotated[int, Field(ge=0, le=65535)] | None = None
    ingest_port: Annotated[int, Field(ge=0, le=65535)] | None = None
    model_version: Annotated[int, Field(ge=-1, le=2**53)] | None = None
    model_pool: Text | None = None
    previous_state: Text | None = None
    exit_code: Annotated[int, Field(ge=-255, le=255)] | None = None
    signal: Text | None = None


class Kept(Report):
    """A report as the monitor writes it to a status file, with the counters of all lives and the monitor's `stamp`."""

    clock: Moment = 0.0
    boot: Text = ""

    counters: dict[Key, Annotated[float, Field(allow_inf_nan=False)]]
    restarts: Count
    lives: Annotated[dict[Life, Counters], Field(max_length=KEPT_LIVES)]
    earlier_lives: dict[Key, Annotated[float, Field(allow_inf_nan=False)]]


_REPORT, _KEPT = TypeAdapter(Report), TypeAdapter(Kept)


def reporting(roles: Iterable[Role] = tuple(ROLES.values())) -> frozenset[str]:
    """The names of the roles whose processes report to a monitor."""
    return frozenset(role.name for role in roles if Right.REPORT in role.rights)


def report_of(status: Any, roles: frozenset[str] = reporting()) -> dict[str, Any]:
    """A peer's status, checked. roles: whose processes report. Raises SampleError: it cannot be kept, and why."""
    report = parsed(_REPORT, status, "this status cannot be kept", SampleError)
    check_role(report.name, roles, SampleError)
    return report.model_dump(exclude_none=True)


def received(status: Mapping[str, Any], now: float) -> dict[str, Any]:
    """The status with the reader's clock in place of the sender's: it was written `now`, wall time, s.

    The clock of another machine may be ahead or behind, and either clock may be set later.
    """
    ahead = now - float(status["time"])
    episodes = [[ended + ahead, *rest] for ended, *rest in status["recent_episodes"]]
    moments = {"since": max(0.0, status["since"] + ahead)} if "since" in status else {}
    return {**status, **moments, "recent_episodes": episodes, **stamp(now)}


def check_role(name: str, roles: frozenset[str], error: type[MeshError]) -> None:
    """Raises `error`: no process that reports is called so."""
    if role_of(name) not in roles:
        raise error(
            f"no process of a mesh is called {name!r}, so its status cannot be kept. The roles that report are "
            f"{', '.join(sorted(roles))}; one of your own needs [roles.{role_of(name)}] in the monitor's "
            "configuration, too"
        )


def kept_in(path: Path, roles: frozenset[str] = reporting()) -> dict[str, Any]:
    """The status in a file that an earlier monitor wrote. Raises OSError, SampleError: it is damaged, or no status."""
    try:
        data = json_of(path.read_bytes())
    except ValueError as error:
        raise SampleError(f"it is not JSON ({error}), so it is not used; delete it") from error
    status = parsed(_KEPT, data, "it is no status that a monitor keeps", SampleError).model_dump(exclude_none=True)
    if status["name"] != path.stem:
        raise SampleError(f"it is the status of {status['name']}, so it is not used; delete it, or name it so")
    check_role(status["name"], roles, SampleError)
    return status
