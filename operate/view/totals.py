"""The figures of a whole mesh, summed over the status files of its processes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from kaimesh.config.roles import ROLES, role_of
from kaimesh.contract.json_text import number
from kaimesh.process.clocks import age_s
from kaimesh.process.meter import JUDGED, REANALYSED, RECENT_EPISODES, SEAT_RETURN

FRESH_S = 5.0  # an older status says nothing about current rates
_MOST = 2**63 - 1  # the largest step that TensorBoard accepts


class Totals(NamedTuple):
    """Sums over all processes since the run began; None where nothing was measured yet. Rates are per second."""

    env_steps: int = 0
    env_steps_per_s: float = 0.0
    episodes: int = 0
    return_mean_100: float | None = None
    learner_steps: int = 0
    learner_steps_per_s: float = 0.0
    buffer_size: int = 0
    buffer_capacity: int = 0
    model_version: int | None = None
    policy_lag: float | None = None
    policy_lag_mean: float | None = None
    samples_lost: int = 0
    env_restarts: int = 0
    returns_not_finite: int = 0  # of the last 100 episodes; return_mean_100 leaves them out


def shown(total: Totals) -> list[tuple[str, str]]:
    """The figures as people read them, on the terminal and on the page: name and value."""
    odd = f" ({total.returns_not_finite} of the last 100 are not finite)" if total.returns_not_finite else ""
    return [
        ("env steps", f"{total.env_steps:,} ({total.env_steps_per_s:,.0f}/s)"),
        ("episodes", f"{total.episodes:,}"),
        ("mean return", ("-" if total.return_mean_100 is None else f"{total.return_mean_100:,.2f}") + odd),
        ("learner steps", f"{total.learner_steps:,} ({total.learner_steps_per_s:,.1f}/s)"),
        ("buffer", f"{total.buffer_size:,} of {total.buffer_capacity:,}" if total.buffer_capacity else "-"),
        ("model", "-" if total.model_version is None else f"{total.model_version:,}"),
        ("policy lag", "-" if total.policy_lag is None else f"{total.policy_lag:.1f}"),
        ("samples lost", f"{total.samples_lost:,}"),
        *([("environments made anew", f"{total.env_restarts:,}")] if total.env_restarts else []),
    ]


def values_of(status: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """A status's counters, rates or gauges."""
    values = status.get(kind)
    return values if isinstance(values, dict) else {}


def fresh(status: Mapping[str, Any], now: float) -> bool:
    """Whether a status was published just now, by a process that has not ended."""
    return age_s(status, now) < FRESH_S and status.get("state") not in ("done", "failed")


def totals(statuses: Mapping[str, Mapping[str, Any]], now: float) -> Totals:
    """Sums over `statuses` (by process name) at wall time `now`, s; values that are no finite numbers are left out.

    Every process may count; gauges are those of the mesh's own roles, for a user's role may call its own as it likes.
    """
    everything = list(statuses.values())
    ours = [status for name, status in statuses.items() if role_of(name) in ROLES]
    present = [status for status in everything if fresh(status, now)]
    filled = [status for status in ours if fresh(status, now)]
    lag_count = _sum(everything, "counters", "policy_lag_count")
    lags = [lag for status in ours if (lag := number(values_of(status, "gauges").get("policy_lag"))) is not None]
    returns = last_returns(everything, now)
    versions = [version for status in everything if (version := number(status.get("model_version"))) is not None]
    return Totals(
        env_steps=_count(everything, "counters", "env_steps"),
        env_steps_per_s=_sum(present, "rates", "env_steps"),
        episodes=_count(everything, "counters", "episodes"),
        return_mean_100=mean(returns),
        learner_steps=_count(everything, "counters", "learner_steps"),
        learner_steps_per_s=_sum(present, "rates", "learner_steps"),
        buffer_size=_count(filled, "gauges", "size"),
        buffer_capacity=_count(filled, "gauges", "capacity"),
        model_version=int(max(versions)) if versions else None,
        policy_lag=max(lags, default=None),
        policy_lag_mean=_sum(everything, "counters", "policy_lag_sum") / lag_count if lag_count else None,
        samples_lost=_count(everything, "counters", "samples_lost"),
        env_restarts=_count(everything, "counters", "env_restarts"),
        returns_not_finite=sum(earned is None for earned in returns),
    )


def last_returns(statuses: Iterable[Mapping[str, Any]], now: float) -> list[float | None]:
    """The returns of the 100 episodes that ended last, over all processes; None: NaN or infinite.

    Which those are is told by how long ago each ended, and so by no clock that may have been set meanwhile.
    """
    episodes = []
    for status in statuses:
        written, age = number(status.get("time")), age_s(status, now)  # `ended` is of the clock that wrote `time`
        for ended, earned, *_ in status.get("recent_episodes") or ():
            if (moment := number(ended)) is not None:
                ago_s = now - moment if written is None else age + written - moment
                episodes.append((ago_s, number(earned)))
    episodes.sort(key=lambda episode: episode[0])
    return [earned for _, earned in episodes[:RECENT_EPISODES]]


def curves(statuses: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What is drawn beside the totals: the learner's metrics, what evaluations have shown, and as means of several
    processes what reanalyse tells, and of several players the return of each seat.
    """
    found, means = {}, dict[str, list[float | None]]()
    for status in statuses:
        for name, value in values_of(status, "gauges").items():
            if name.startswith(("learn/", JUDGED)):
                found[name] = value
            elif name.startswith((SEAT_RETURN, REANALYSED)):
                means.setdefault(name, []).append(number(value))
    return {**found, **{name: mean(values) for name, values in sorted(means.items())}}


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of those that are numbers; None: there are none, or it is not finite."""
    finite = [value for value in values if value is not None]
    return number(sum(finite) / len(finite)) if finite else None


def _sum(statuses: Iterable[Mapping[str, Any]], kind: str, name: str) -> float:
    values = (number(values_of(status, kind).get(name)) for status in statuses)
    return number(sum(value for value in values if value is not None)) or 0.0


def _count(statuses: Iterable[Mapping[str, Any]], kind: str, name: str) -> int:
    return max(-_MOST, min(int(_sum(statuses, kind, name)), _MOST))
