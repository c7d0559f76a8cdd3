"""The same file as a Swarm stack: on one node, and on three nodes with one drained while training."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.containers import Container

from kaimesh.wire.gate import role_token
from tests.docker import nodes
from tests.docker.cluster import LEARN_S
from tests.docker.nodes import Node, Nodes
from tests.harness import wait_until

pytestmark = pytest.mark.usefixtures("alone")
IMAGE, STACK = "kaimesh:baked-test", "kaimesh-stack"
RECOVER_S = 180.0


class Stack:
    """`docker stack deploy` on a Swarm's manager."""

    def __init__(self, checkout: Path, host: str, **variables: str) -> None:
        self._checkout, self._host = checkout, host
        self._environ = {**os.environ, "DOCKER_HOST": host, "KAIMESH_IMAGE": IMAGE, **variables}
        self.client = docker.DockerClient(base_url=host, timeout=120)
        self._asked, self._said = 0.0, dict[str, Any]()

    def deploy(self) -> None:
        """What docs/cluster.md says: the secrets, then the stack."""
        token = secrets.token_hex(32)
        for name, text in (("kaimesh_token", token), ("kaimesh_aisrv_token", role_token(token, "aisrv"))):
            self._docker("secret", "rm", name, check=False)
            self._docker("secret", "create", name, "-", text=text)
        self._docker("stack", "deploy", "--resolve-image", "never", "-c", "docker-compose.yml", STACK)

    def remove(self) -> None:
        """Takes it away, and what it kept on this node."""
        self._docker("stack", "rm", STACK, check=False)
        wait_until(lambda: not self.containers(all=True), 90, "every task has ended")
        self._docker("secret", "rm", "kaimesh_token", "kaimesh_aisrv_token", check=False)
        for volume in self.client.volumes.list():
            if volume.name.startswith(f"{STACK}_"):
                wait_until(lambda v=volume: _removed(v), 30, f"{volume.name} is gone")  # type: ignore[misc]

    def _docker(self, *words: str, text: str = "", check: bool = True) -> None:
        done = subprocess.run(
            ["docker", *words], cwd=self._checkout, env=self._environ, text=True, capture_output=True, input=text
        )
        assert done.returncode == 0 or not check, f"{words}: {done.stderr}"

    def containers(self, service: str = "", all: bool = False) -> list[Container]:
        """This node's containers of the stack."""
        label = f"com.docker.stack.namespace={STACK}"
        found = self.client.containers.list(all=all, filters={"label": label}, ignore_removed=True)
        return [
            c for c in found if c.labels["com.docker.swarm.service.name"].removeprefix(f"{STACK}_").startswith(service)
        ]

    def report(self) -> dict[str, Any]:
        """What the monitor, which is on this node, says; asked once a second at most, for each time is a process."""
        if time.monotonic() - self._asked < 1.0:
            return self._said
        self._said = {}
        for container in self.containers("monitor"):
            with contextlib.suppress(docker.errors.APIError):  # it is being replaced
                code, output = container.exec_run(["python", "-m", "kaimesh.operate.cluster", "status"], demux=True)
                self._said = dict(json.loads(output[0])) if code == 0 and output[0] else {}
        self._asked = time.monotonic()
        return self._said

    def wait(self, condition: Callable[[dict[str, Any]], Any], timeout_s: float, what: str) -> dict[str, Any]:
        """The first report for which it holds."""
        seen: list[dict[str, Any]] = [{}]

        def holds() -> bool:
            seen[0] = self.report() or seen[0]
            return bool(seen[0] and condition(seen[0]))

        try:
            wait_until(holds, timeout_s, what)
        except AssertionError as error:
            tasks = subprocess.run(
                ["docker", "stack", "ps", "--no-trunc", STACK], env=self._environ, text=True, capture_output=True
            )
            raise AssertionError(f"{error}\n{json.dumps(seen[0])[:2500]}\n{tasks.stdout[-5000:]}") from None
        return seen[0]

    def wait_for_return(self, score: float) -> dict[str, Any]:
        """Trains until the mean return of the last 100 episodes is so high."""
        return self.wait(
            lambda r: (r["return_mean_100"] or 0) >= score and r["episodes"] >= 200, LEARN_S, f"return {score}"
        )


def _removed(volume: Any) -> bool:
    try:
        volume.remove()
    except docker.errors.NotFound:
        return True
    except docker.errors.APIError:  # its container is not quite gone
        return False
    return True


@pytest.fixture(scope="module")
def baked(checkout: Path) -> str:
    """The image with configuration and agent inside, as several machines need it."""
    words = ["docker", "build", "-q", "-f", "docker/Dockerfile", "--target", "baked", "-t", IMAGE, "."]
    done = subprocess.run(words, cwd=checkout, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return IMAGE


@pytest.fixture
def single(checkout: Path, baked: str) -> Iterator[Stack]:
    """A stack on this machine's engine, made a Swarm of one node for as long."""
    with nodes.swarm_of_one(docker.from_env()):
        stack = Stack(checkout, "unix:///var/run/docker.sock")
        try:
            stack.deploy()
            yield stack
        finally:
            stack.remove()


def test_one_node_learns_and_replaces_what_docker_kill_ended(single: Stack) -> None:
    single.wait_for_return(400)
    rows = []
    for service in ("aisrv", "actor", "model_pool", "buffer", "learner"):
        before = single.wait(lambda r: r["learner_steps"], 30, "a report")
        victim = single.containers(service)[0]
        victim.kill()
        killed = time.monotonic()
        gone = partial(lambda dead: dead not in {c.id for c in single.containers()}, victim.id)
        wait_until(gone, 30, f"{service} is dead")
        back = partial(lambda b, s, r: reborn(r, b, s) and r["learner_steps"] > b["learner_steps"] + 5, before, service)
        after = single.wait(back, RECOVER_S, f"{service} was replaced and training goes on")
        rows.append(f"{service}: docker kill on a Swarm{time.monotonic() - killed:>8.1f} s")
        assert after["env_steps"] > before["env_steps"]
        assert after["samples_lost"] >= before["samples_lost"]
    print("\n" + "\n".join(rows))
    assert single.wait_for_return(400)


def reborn(report: dict[str, Any], before: dict[str, Any], service: str) -> bool:
    """Whether some process of a service has begun another life, and is well."""
    lives = {p["name"]: p["restarts"] for p in before["processes"]}
    return any(
        p["name"].startswith(service) and p["restarts"] > lives.get(p["name"], 0) and p["health"] == "ok"
        for p in report["processes"]
    )


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory, baked: str) -> Iterator[Nodes]:
    """Three engines on this machine, joined."""
    if missing := nodes.why_not():
        pytest.skip(f"three engines cannot be run here: {missing}")
    swarm = Nodes(tmp_path_factory.mktemp("nodes"), 3, baked)
    yield swarm
    swarm.close()


def places(swarm: Nodes) -> dict[str, set[str]]:
    """Which services have running tasks on which node."""
    names = {n.id: n.attrs["Description"]["Hostname"] for n in swarm.manager.client.nodes.list()}
    found: dict[str, set[str]] = {name: set() for name in names.values()}
    for service in swarm.manager.client.services.list():
        for task in service.tasks({"desired-state": "running"}):
            if task["Status"]["State"] == "running":
                found[names[task["NodeID"]]].add(service.name.removeprefix(f"{STACK}_"))
    return found


def placed(swarm: Nodes) -> bool:
    """Whether the environments are on the nodes labelled so and the rest is not; a task runs once it is healthy."""
    where = places(swarm)
    core = {"learner", "actor", "buffer", "model_pool", "monitor"}
    return where["node-2"] == where["node-3"] == {"aisrv"} and core <= where["node-1"]


def test_three_nodes_learn_while_one_is_drained(three: Nodes, checkout: Path) -> None:
    manager, second, third = three.nodes
    for node, role in ((manager, "gpu"), (second, "env"), (third, "env")):
        three.update(node, Labels={"kaimesh.role": role})
    stack = Stack(checkout, manager.socket, AISRV_REPLICAS="4")
    stack.deploy()
    try:
        stack.wait(lambda r: len(hosts(r)) == 2 and r["learner_steps"] > 5, 300, "four aisrv on two nodes, learning")
        wait_until(lambda: placed(three), 90, "every task runs, where its label says")
        before = stack.wait(lambda r: r["learner_steps"], 30, "a report")

        drained(three, third)
        after = stack.wait(
            lambda r: hosts(r) == {second.name} and r["learner_steps"] > before["learner_steps"] + 10,
            RECOVER_S, "its aisrv work on the other node",
        )  # fmt: skip
        assert after["env_steps"] > before["env_steps"]
        assert after["samples_lost"] == before["samples_lost"], "a drained aisrv flushes what it had sent"
        assert "aisrv" not in places(three)["node-3"]
        assert stack.wait_for_return(400)
    finally:
        stack.remove()


def hosts(report: dict[str, Any]) -> set[str]:
    """The nodes that step environments now."""
    return {p["host"] for p in report["processes"] if p["name"].startswith("aisrv") and p["throughput"]}


def drained(swarm: Nodes, node: Node) -> None:
    """Tells the Swarm to use a node no more, and waits until nothing runs there."""
    swarm.update(node, Availability="drain")
    wait_until(lambda: not node.client.containers.list(), 90, f"{node.name} is empty")
