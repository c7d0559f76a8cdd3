"""The whole mesh in one line of numbers, added up from the status files of its processes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from kaimesh.metrics import RECENT_EPISODES

FRESH_S = 5.0  # an older status file says nothing of the present


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


def fresh(status: Mapping[str, Any], now: float) -> bool:
    """Whether a status is of a process that lives and reports."""
    return now - float(status.get("time", 0)) < FRESH_S and status.get("state") not in ("done", "failed")


def totals(statuses: Mapping[str, Mapping[str, Any]], now: float) -> Totals:
    """Adds up `statuses` (process name to status file) at wall time `now`, s."""
    everything = list(statuses.values())
    present = [status for status in everything if fresh(status, now)]
    lag_count = _sum(everything, "counters", "policy_lag_count")
    lags = [status["gauges"]["policy_lag"] for status in everything if "policy_lag" in status.get("gauges", {})]
    versions = [int(status["model_version"]) for status in everything if status.get("model_version") is not None]
    return Totals(
        env_steps=int(_sum(everything, "counters", "env_steps")),
        env_steps_per_s=_sum(present, "rates", "env_steps"),
        episodes=int(_sum(everything, "counters", "episodes")),
        return_mean_100=return_mean(everything),
        learner_steps=int(_sum(everything, "counters", "learner_steps")),
        learner_steps_per_s=_sum(present, "rates", "learner_steps"),
        buffer_size=int(_sum(present, "gauges", "size")),
        buffer_capacity=int(_sum(present, "gauges", "capacity")),
        model_version=max(versions, default=None),
        policy_lag=max(lags, default=None),
        policy_lag_mean=_sum(everything, "counters", "policy_lag_sum") / lag_count if lag_count else None,
        samples_lost=int(_sum(everything, "counters", "samples_lost")),
    )


def return_mean(statuses: Iterable[Mapping[str, Any]]) -> float | None:
    """Mean return of the last 100 episodes of all processes together, by the time they ended."""
    episodes = sorted(tuple(episode) for status in statuses for episode in status.get("recent_episodes", []))
    last = [float(episode[1]) for episode in episodes[-RECENT_EPISODES:]]
    return sum(last) / len(last) if last else None


def _sum(statuses: Iterable[Mapping[str, Any]], kind: str, name: str) -> float:
    return float(sum(status.get(kind, {}).get(name, 0) for status in statuses))
