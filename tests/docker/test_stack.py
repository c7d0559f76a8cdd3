"""The tool on a Swarm: how many aisrv there are, another image for all.

What runs only sleeps; the mesh itself is in test_swarm.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from kaimesh.operate.cluster.engine import Engine
from kaimesh.operate.cluster.stack import MESH_SECRET
from tests.docker.nodes import swarm_of_one
from tests.harness import ROOT, wait_until

STACK, BASE, IMAGE = "kaimesh-sleepers", "debian:bookworm-slim", "kaimesh-sleeper"
FILE = """
x-sleeper: &sleeper
  image: kaimesh-sleeper:1
  init: true
  command: [sleep, infinity]
  stop_grace_period: 2s
  secrets: [token]
services:
  aisrv: {<<: *sleeper, deploy: {replicas: 2, update_config: {failure_action: pause, monitor: 1s}}}
  monitor: {<<: *sleeper, deploy: {update_config: {failure_action: pause, monitor: 1s}}}
secrets: {token: {external: true, name: kaimesh_token}}
"""


@pytest.fixture(scope="module")
def sleepers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A stack of two aisrv and a monitor on this machine's engine."""
    client = docker.from_env()
    for version in "12":
        build = ["docker", "build", "-q", "-t", f"{IMAGE}:{version}", "-"]
        lines = f"FROM {BASE}\nLABEL version={version}\n"
        subprocess.run(build, input=lines, text=True, check=True, capture_output=True)
    file = tmp_path_factory.mktemp("stack") / "stack.yml"
    file.write_text(FILE)
    with swarm_of_one(client):
        client.secrets.create(name=MESH_SECRET, data=b"of a mesh")
        deploy(file)
        wait_until(lambda: len(running()) == 3, 60, "three sleep")
        try:
            yield Engine(STACK)
        finally:
            subprocess.run(["docker", "stack", "rm", STACK], check=True, capture_output=True)
            wait_until(lambda: not Engine(STACK).containers(), 60, "none is left")
            for version in "12":
                client.images.remove(f"{IMAGE}:{version}")


def deploy(file: Path) -> None:
    words = ["docker", "stack", "deploy", "--resolve-image", "never", "-c", str(file), STACK]
    subprocess.run(words, check=True, capture_output=True)


def tool(*words: str) -> subprocess.CompletedProcess[str]:
    """tools/cluster.sh ..."""
    environ = {**os.environ, "COMPOSE_PROJECT_NAME": STACK}
    command = [sys.executable, "-m", "kaimesh.operate.cluster.tool", *words]
    return subprocess.run(command, cwd=ROOT, env=environ, text=True, capture_output=True, timeout=120)


def running(service: str = "") -> dict[str, str]:
    """The image of each container that runs, by the container's id."""
    engine = Engine(STACK)
    found = engine.containers(service or None, running=True)
    return {str(c.id): str(c.attrs["Config"]["Image"]) for c in found}


def test_scale_leaves_those_that_stay_alone(sleepers: Engine) -> None:
    before = running()
    assert tool("scale", "3").returncode == 0
    wait_until(lambda: len(running("aisrv")) == 3, 30, "a third")
    assert before.items() <= running().items()
    assert [(p.service, p.number) for p in sleepers.pieces()] == [("aisrv", n) for n in (1, 2, 3)] + [("monitor", 1)]
    assert tool("scale", "2").returncode == 0
    wait_until(lambda: len(running("aisrv")) == 2, 30, "two again")
    assert len(running().keys() & before.keys()) >= 2  # Swarm chooses which one goes


def test_upgrade_replaces_all_and_again(sleepers: Engine) -> None:
    for version in "21":
        before = running()
        said = tool("upgrade", "--image", f"{IMAGE}:{version}")
        assert said.returncode == 0, said.stderr
        assert said.stdout.index("_monitor:") < said.stdout.index("_aisrv:"), "in the order of upgrade.ORDER"
        assert "replaced 2 in" in said.stdout
        warned = [line for line in said.stdout.splitlines() if "still holds the mesh token" in line]
        assert [line.split()[1] for line in warned] == [f"{STACK}_aisrv"], "the monitor, which serves, needs it"
        assert not before.keys() & running().keys()
        assert set(running().values()) == {f"{IMAGE}:{version}"}
    assert len(sleepers.pieces()) == len(running()), "what Swarm keeps of dead tasks is not shown"


def test_an_image_that_is_not_there_stops_the_upgrade_at_the_first_service(sleepers: Engine) -> None:
    aisrv = running("aisrv")
    said = tool("upgrade", "--image", f"{IMAGE}:none")
    assert said.returncode == 1
    for words in (f"{STACK}_monitor could not be updated to {IMAGE}:none (paused", "docker service rollback"):
        assert words in said.stderr
    assert running("aisrv") == aisrv
    back = ["docker", "service", "rollback", "--detach", f"{STACK}_monitor"]
    subprocess.run(back, check=True, capture_output=True)
    wait_until(lambda: len(running("monitor")) == 1, 30, "what the message says helps")


def test_what_the_engine_refuses_is_told_in_words(sleepers: Engine) -> None:
    before = running()
    said = tool("upgrade", "--image", "No Such/Name")
    assert said.returncode == 1
    assert "the Docker engine refused" in said.stderr
    assert "Traceback" not in said.stderr
    assert running() == before
