"""The figures of a whole mesh, summed over the status files of its processes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from kaimesh.process.meter import RECENT_EPISODES

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


def shown(total: Totals) -> list[tuple[str, str]]:
    """The figures as people read them, on the terminal and on the page: name and value."""
    return [
        ("env steps", f"{total.env_steps:,} ({total.env_steps_per_s:,.0f}/s)"),
        ("episodes", f"{total.episodes:,}"),
        ("mean return", "-" if total.return_mean_100 is None else f"{total.return_mean_100:,.2f}"),
        ("learner steps", f"{total.learner_steps:,} ({total.learner_steps_per_s:,.1f}/s)"),
        ("buffer", f"{total.buffer_size:,} of {total.buffer_capacity:,}" if total.buffer_capacity else "-"),
        ("model", "-" if total.model_version is None else f"{total.model_version:,}"),
        ("policy lag", "-" if total.policy_lag is None else f"{total.policy_lag:.1f}"),
        ("samples lost", f"{total.samples_lost:,}"),
        *([("environments made anew", f"{total.env_restarts:,}")] if total.env_restarts else []),
    ]


def number(value: Any) -> float | None:
    """A finite number as a float; None for anything else, such as a user's loss that is NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def values_of(status: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """A status's counters, rates or gauges."""
    values = status.get(kind)
    return values if isinstance(values, dict) else {}


def fresh(status: Mapping[str, Any], now: float) -> bool:
    """Whether a status was published just now, by a process that has not ended."""
    return now - (number(status.get("time")) or 0.0) < FRESH_S and status.get("state") not in ("done", "failed")


def totals(statuses: Mapping[str, Mapping[str, Any]], now: float) -> Totals:
    """Sums over `statuses` (by process name) at wall time `now`, s; values that are no finite numbers are left out."""
    everything = list(statuses.values())
    present = [status for status in everything if fresh(status, now)]
    lag_count = _sum(everything, "counters", "policy_lag_count")
    lags = [lag for status in everything if (lag := number(values_of(status, "gauges").get("policy_lag"))) is not None]
    versions = [version for status in everything if (version := number(status.get("model_version"))) is not None]
    return Totals(
        env_steps=_count(everything, "counters", "env_steps"),
        env_steps_per_s=_sum(present, "rates", "env_steps"),
        episodes=_count(everything, "counters", "episodes"),
        return_mean_100=return_mean(everything),
        learner_steps=_count(everything, "counters", "learner_steps"),
        learner_steps_per_s=_sum(present, "rates", "learner_steps"),
        buffer_size=_count(present, "gauges", "size"),
        buffer_capacity=_count(present, "gauges", "capacity"),
        model_version=int(max(versions)) if versions else None,
        policy_lag=max(lags, default=None),
        policy_lag_mean=_sum(everything, "counters", "policy_lag_sum") / lag_count if lag_count else None,
        samples_lost=_count(everything, "counters", "samples_lost"),
        env_restarts=_count(everything, "counters", "env_restarts"),
    )


def return_mean(statuses: Iterable[Mapping[str, Any]]) -> float | None:
    """The mean return of the 100 episodes that ended last, over all processes; those with a finite return."""
    episodes = []
    for status in statuses:
        for episode in status.get("recent_episodes") or ():
            ended, earned = number(episode[0]), number(episode[1])
            if ended is not None and earned is not None:
                episodes.append((ended, earned))
    last = [earned for _, earned in sorted(episodes)[-RECENT_EPISODES:]]
    return number(sum(last) / len(last)) if last else None


def _sum(statuses: Iterable[Mapping[str, Any]], kind: str, name: str) -> float:
    values = (number(values_of(status, kind).get(name)) for status in statuses)
    return number(sum(value for value in values if value is not None)) or 0.0


def _count(statuses: Iterable[Mapping[str, Any]], kind: str, name: str) -> int:
    return max(-_MOST, min(int(_sum(statuses, kind, name)), _MOST))
