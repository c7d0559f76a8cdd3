"""Every service killed, cut off or frozen while training: it resumes by itself each time, and no counter ever falls.

The times are printed as a table; with KAIMESH_RECOVERY=FILE they are also written there (docs/results/recovery.json is
from here).
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kaimesh.training import checkpoint
from tests.docker.cluster import Cluster
from tests.harness import wait_until

AWAY_S = 20.0  # how long a network or a process is gone
RECOVER_S = 120.0
TOTALS = ("env_steps", "episodes", "learner_steps", "samples_lost")


class Watch:
    """What the monitor says, every half second, from a thread; `falls` are counters that fell."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._stop = cluster, threading.Event()
        self.falls: list[str] = []
        self.looks = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        last: dict[str, Any] = {}
        while not self._stop.wait(0.5):
            report = self._cluster.report()
            if report:
                self.looks += 1
                self.falls += [f"{k}: {last[k]} -> {report[k]}" for k in TOTALS if k in last and report[k] < last[k]]
                last = report

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture(scope="module")
def watch(cluster: Cluster) -> Iterator[Watch]:
    instance = Watch(cluster)
    yield instance
    instance.close()


@pytest.fixture(scope="module")
def table() -> Iterator[list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    yield rows
    print("\n" + "\n".join(f"{r['fault']:<40}{r['recovered_s']:>7.1f} s   {r['samples_lost']} samples" for r in rows))
    if file := os.environ.get("KAIMESH_RECOVERY"):
        Path(file).write_text(json.dumps(rows, indent=1) + "\n")


def well(report: dict[str, Any], name: str) -> bool:
    """Whether a process lives and, where its work is counted, works."""
    for process in report["processes"]:
        if process["name"] == name:
            counted = process["throughput_unit"] and not name.startswith("monitor")
            return bool(process["health"] == "ok" and (not counted or process["throughput"]))
    return False


def all_healthy(cluster: Cluster) -> bool:
    """Whether the engine says so of every container that runs."""
    return all(c.attrs["State"]["Health"]["Status"] == "healthy" for c in cluster.engine.containers(running=True))


def measure(
    cluster: Cluster,
    table: list[dict[str, Any]],
    fault: str,
    name: str,
    cause: Callable[[], Callable[[dict[str, Any]], Any]],
) -> None:
    """Causes a fault; from when it ended (a kill: at once) until the victim works and the mesh trains again."""
    before = cluster.wait(lambda r: well(r, name), 60, f"{name} works before {fault}")
    back = cause()
    began = time.monotonic()
    base = cluster.wait(lambda r: back(r) and well(r, name), RECOVER_S, f"{name} works again after {fault}")
    after = cluster.wait(
        lambda r: r["learner_steps"] >= base["learner_steps"] + 2 and r["env_steps"] > base["env_steps"],
        RECOVER_S, f"training goes on after {fault}",
    )  # fmt: skip
    table.append(
        {
            "fault": fault,
            "recovered_s": round(time.monotonic() - began, 1),
            "samples_lost": after["samples_lost"] - before["samples_lost"],
            "learner_steps": after["learner_steps"],
        }
    )


@pytest.mark.parametrize("service", ["aisrv", "actor", "learner", "model_pool", "buffer", "monitor"])
def test_a_killed_service_is_started_again_and_training_goes_on(
    cluster: Cluster, watch: Watch, table: list[dict[str, Any]], service: str
) -> None:
    victim = cluster.container(service)
    name = f"{service}_{cluster.engine.number_of(victim) - 1}"
    restarts = victim.attrs["RestartCount"]

    def kill() -> Callable[[dict[str, Any]], Any]:
        lives = cluster.process(name).get("restarts", 0)
        cluster.engine.crash(service, cluster.engine.number_of(victim))

        def back(report: dict[str, Any]) -> bool:
            """Its next life has reported; the monitor, which hears the others, is back when it answers at all."""
            victim.reload()
            heard = service == "monitor" or any(
                p["name"] == name and p["restarts"] > lives for p in report["processes"]
            )
            return bool(victim.attrs["RestartCount"] > restarts and heard)

        return back

    measure(cluster, table, f"{service}: killed", name, kill)
    victim.reload()
    assert victim.attrs["RestartCount"] == restarts + 1, "the engine's restart policy did it"
    assert not watch.falls


@pytest.mark.parametrize("service", ["aisrv", "actor"])
def test_a_service_cut_off_for_a_while_comes_back(
    cluster: Cluster, watch: Watch, table: list[dict[str, Any]], service: str
) -> None:
    victim = cluster.container(service)
    name = f"{service}_{cluster.engine.number_of(victim) - 1}"
    network = cluster.client.networks.get(f"{cluster.name}_mesh")

    def cut() -> Callable[[dict[str, Any]], Any]:
        network.disconnect(victim)
        cut_at = time.monotonic()
        wait_until(lambda: time.monotonic() - cut_at > AWAY_S, AWAY_S + 10, "the time to be away")
        report = cluster.report()
        assert not well(report, name), "it was not cut off"
        network.connect(victim, aliases=[service])
        return lambda _report: True

    measure(cluster, table, f"{service}: no network for {AWAY_S:.0f} s", name, cut)
    assert not watch.falls


def test_a_buffer_that_stands_still_for_a_while(cluster: Cluster, watch: Watch, table: list[dict[str, Any]]) -> None:
    victim = cluster.container("buffer")

    def freeze() -> Callable[[dict[str, Any]], Any]:
        victim.pause()
        paused_at = time.monotonic()
        wait_until(lambda: time.monotonic() - paused_at > AWAY_S, AWAY_S + 10, "the time to stand still")
        victim.unpause()
        return lambda _report: True

    measure(cluster, table, f"buffer: paused for {AWAY_S:.0f} s", "buffer_0", freeze)
    assert not watch.falls


def test_what_docker_kill_stops_comes_back_with_the_next_up(
    cluster: Cluster, watch: Watch, table: list[dict[str, Any]]
) -> None:
    """To the engine `docker kill` is the operator's wish: no restart policy undoes it."""
    victim = cluster.container("actor")
    wait_until(lambda: all_healthy(cluster), 60, "the engine calls all healthy again")  # a paused container never is

    def kill() -> Callable[[dict[str, Any]], Any]:
        victim.kill()
        wait_until(lambda: (victim.reload(), victim.status)[1] == "exited", 20, "the actor is dead")
        cluster.compose("up", "-d", "--no-recreate")
        return lambda _report: True

    measure(cluster, table, "actor: docker kill, from the next up on", "actor_0", kill)


def test_afterwards_nothing_is_broken(cluster: Cluster, watch: Watch, tmp_path: Path) -> None:
    assert watch.looks > 20
    assert not watch.falls
    folder = cluster.fetch("checkpoints", tmp_path) / "gym-CartPole-v1_ppo" / "ckpt"
    for model in checkpoint.models(folder)[:-1]:  # the newest may be in the making while it is copied
        checkpoint.verify(folder, model)
    wait_until(lambda: all_healthy(cluster), 60, "all are healthy")
    assert cluster.wait_for_return(400)
