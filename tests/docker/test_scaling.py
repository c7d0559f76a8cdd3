"""aisrv come and go while the others train."""

from __future__ import annotations

import time
from typing import Any

from tests.docker.cluster import Cluster
from tests.harness import wait_until

FRESH = ("ok", "starting")
# Of a core for each aisrv, as if each had a machine of its own: on two cores four are no faster than one.
SLICE = 0.15
RATE_S = 10.0


def aisrv(report: dict[str, Any]) -> list[str]:
    return [p["name"] for p in report["processes"] if p["name"].startswith("aisrv_") and p["health"] in FRESH]


def scale(cluster: Cluster, count: int) -> dict[str, Any]:
    cluster.up("--no-recreate", "--scale", f"aisrv={count}")
    return cluster.wait(lambda r: len(aisrv(r)) == count and r["env_steps_per_s"] > 0, 60, f"{count} aisrv")


def rate(cluster: Cluster) -> float:
    """Env steps/s with a slice of a core for each aisrv."""
    names = [str(c.name) for c in cluster.engine.containers("aisrv", running=True)]
    cluster.run("docker", "update", "--cpus", str(SLICE), *names)
    steps: list[tuple[float, int]] = []

    def measured() -> bool:
        report = cluster.report()
        if report:
            steps.append((time.monotonic(), report["env_steps"]))
        return steps[-1][0] - steps[0][0] > RATE_S if steps else False

    wait_until(measured, RATE_S + 30, "env steps were counted")
    cluster.run("docker", "update", "--cpus", "1", *names)
    return (steps[-1][1] - steps[0][1]) / (steps[-1][0] - steps[0][0])


def test_one_four_two_while_training(cluster: Cluster) -> None:
    first = scale(cluster, 1)
    rates = [rate(cluster)]
    started = {c.id: c.attrs["State"]["StartedAt"] for c in cluster.engine.containers() if "aisrv" not in c.name}
    four = scale(cluster, 4)
    worked: set[str] = set()  # in one second or another: on a loaded machine not all do in the same

    def all_worked(report: dict[str, Any]) -> bool:
        worked.update(p["name"] for p in report["processes"] if p["throughput"])
        return worked >= set(aisrv(four)) and bool(report["env_steps"] > four["env_steps"])

    busy = cluster.wait(all_worked, 60, "env steps of four")
    lost = busy["samples_lost"]
    rates.append(rate(cluster))
    two = scale(cluster, 2)

    gone = [p for p in two["processes"] if p["name"].startswith("aisrv_") and p["health"] == "done"]
    assert len(gone) >= 2, "the removed ones said good-bye"
    after = cluster.wait(lambda r: r["learner_steps"] > two["learner_steps"] + 5, 60, "learning goes on")
    assert after["samples_lost"] == lost, "a removed aisrv flushes what it had sent"
    unfinished = [cluster.counters(p["name"])["env_steps_unfinished"] for p in gone]
    assert all(0 <= steps <= 32 * 64 for steps in unfinished), unfinished
    rates.append(rate(cluster))
    print(f"env steps/s of 1, 4 and 2 aisrv, {SLICE} of a core each: " + ", ".join(f"{value:,.0f}" for value in rates))
    assert rates[1] > 2 * rates[0], rates
    assert rates[0] * 1.2 < rates[2] < rates[1] / 1.2, rates
    assert first["env_steps"] < four["env_steps"] < after["env_steps"]
    again = {c.id: c.attrs["State"]["StartedAt"] for c in cluster.engine.containers() if "aisrv" not in c.name}
    again = {id: at for id, at in again.items() if id in started}
    setup = cluster.container("setup").id
    assert {i: t for i, t in again.items() if i != setup} == {i: t for i, t in started.items() if i != setup}, (
        "the others were not touched"
    )
