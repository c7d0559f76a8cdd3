"""The containers of one mesh on one Docker engine, found by their labels.

A mesh is a Compose project or a Swarm stack. Both label every container with the mesh's name and the service's.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import docker
from docker.errors import DockerException
from docker.models.containers import Container

from kaimesh.config.roles import MONITOR
from kaimesh.contract.errors import MeshError, PeerError

COMPOSE, STACK = "com.docker.compose.project", "com.docker.stack.namespace"
_SERVICE = {COMPOSE: "com.docker.compose.service", STACK: "com.docker.swarm.service.name"}
ONE_SHOT = "setup"


class Piece(NamedTuple):
    """One container.

    service, number: as Compose or Swarm count. health: as the engine says, or the container's state.
    """

    service: str
    number: int
    container: str
    health: str
    restarts: int
    image: str
    host: str


class Engine:
    """The containers that are labelled with `name`. Raises PeerError: no engine answers."""

    def __init__(self, name: str) -> None:
        self.name = name
        try:
            self.client = docker.from_env()
            self.client.ping()
        except DockerException as error:
            raise PeerError(
                f"no Docker engine answers ({error}), so nothing was done; start one, or set DOCKER_HOST."
            ) from error
        self.label = STACK if self._labelled(STACK) and not self._labelled(COMPOSE) else COMPOSE

    def _labelled(self, label: str) -> list[Container]:
        return list(
            self.client.containers.list(all=True, filters={"label": f"{label}={self.name}"}, ignore_removed=True)
        )

    def containers(self, service: str | None = None, running: bool = False) -> list[Container]:
        """The containers of the mesh, or of one service, sorted by service, number and age, the newest last."""
        found = [c for c in self._labelled(self.label) if service in (None, self.service_of(c))]
        chosen = [c for c in found if c.status == "running" or not running]
        return sorted(chosen, key=lambda c: (self.service_of(c), self.number_of(c), str(c.attrs["Created"])))

    def service_of(self, container: Container) -> str:
        """The service's name in docker-compose.yml."""
        return str(container.labels.get(_SERVICE[self.label], "")).removeprefix(f"{self.name}_")

    def number_of(self, container: Container) -> int:
        """Which replica it is: 1, 2, ..."""
        if self.label == COMPOSE:
            return int(container.labels.get("com.docker.compose.container-number", 1))
        return int(container.labels.get("com.docker.swarm.task.name", "x.1.x").split(".")[1])

    def pieces(self) -> list[Piece]:
        """The newest container of each replica (Swarm keeps dead ones, too); none of services that run once and end."""
        last = {(self.service_of(c), self.number_of(c)): c for c in self.containers() if self.service_of(c) != ONE_SHOT}
        return [self._piece(container) for container in last.values()]

    def _piece(self, container: Container) -> Piece:
        state = container.attrs["State"]
        health = state.get("Health", {}).get("Status") or state["Status"]
        if state["Status"] != "running" or state.get("Paused"):
            health = f"{state['Status']} ({state['ExitCode']})" if state["Status"] == "exited" else state["Status"]
        return Piece(
            self.service_of(container),
            self.number_of(container),
            container.name,
            health,
            int(container.attrs.get("RestartCount", 0)),
            str(container.attrs["Config"]["Image"]),
            container.short_id,
        )

    def report(self) -> dict[str, Any]:
        """What the monitor knows (operate/view/cluster.as_json); {} while there is none."""
        for container in self.containers(MONITOR.name, running=True):
            code, output = container.exec_run([*CLUSTER, "status"], demux=True)
            if code == 0 and output[0]:
                found: dict[str, Any] = json.loads(output[0])
                return found
        return {}

    def crash(self, service: str, number: int | None) -> list[str]:
        """Kills the processes of one service, or one of them, as a fault would; returns the containers' names."""
        victims = [c for c in self.containers(service, running=True) if number in (None, self.number_of(c))]
        if not victims:
            have = ", ".join(sorted({piece.service for piece in self.pieces()})) or "nothing"
            raise MeshError(
                f"no container of {service!r} runs in {self.name!r}, so nothing was killed; there is: {have}. Name one "
                "of these."
            )
        for container in victims:
            container.exec_run([*CLUSTER, "crash"])
        return [str(container.name) for container in victims]

    def lines(self, service: str | None, tail: int, follow: bool) -> Iterator[tuple[str, str]]:
        """Log lines with their container's name; following, only of one service's first container."""
        for container in self.containers(service):
            stream = container.logs(stream=True, follow=follow, tail=tail)
            yield from ((str(container.name), raw.decode(errors="replace").rstrip()) for raw in stream)


CLUSTER = ("python", "-m", "kaimesh.operate.cluster")


def compose(*words: str, root: str, environ: Mapping[str, str], say: Callable[[str], None] | None = None) -> str:
    """Runs `docker compose ...` in the checkout and returns its output. Raises MeshError with what it said."""
    if say:
        say(f"docker compose {' '.join(words)}")
    done = subprocess.run(["docker", "compose", *words], cwd=root, env=dict(environ), text=True, capture_output=True)
    if done.returncode:
        raise MeshError(
            f"docker compose {' '.join(words)} failed; it may have changed a part. It said, and there is the remedy:\n"
            f"{done.stderr[-3000:] or done.stdout[-3000:]}"
        )
    return done.stdout


def wait_for(condition: Callable[[], Any], timeout_s: float, what: str) -> None:
    """Raises PeerError: not within `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise PeerError(
                f"{what}: not within {timeout_s:.0f} s; the command gave up, and the containers go on as they are. See "
                "tools/cluster.sh logs."
            )
        time.sleep(0.5)
