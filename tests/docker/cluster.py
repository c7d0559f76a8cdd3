"""A cluster of one's own for a test: its own Compose project, ports and image; and what its monitor says."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
import time
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
from docker.models.containers import Container

from kaimesh.operate.cluster.engine import Engine
from kaimesh.wire.proxies import open_here
from tests.harness import ROOT, free_ports, wait_until

IMAGE = "kaimesh:test"
UP_S, LEARN_S = 420.0, 300.0


def why_not() -> str:
    """What is missing to run containers here, or ""."""
    try:
        client = docker.from_env()
        client.ping()
    except docker.errors.DockerException as error:
        return f"no Docker engine answers ({error})"
    done = subprocess.run(["docker", "compose", "version", "--short"], text=True, capture_output=True)
    version = done.stdout.strip().lstrip("v").split("-")[0].split(".")
    if done.returncode or [int(part) for part in version[:2]] < [2, 24]:
        return f"docker compose is {done.stdout.strip() or 'not there'}, 2.24 is needed"
    return ""


def clone(folder: Path) -> Path:
    """A clean checkout of what is committed."""
    subprocess.run(["git", "clone", "--quiet", "--local", str(ROOT), str(folder)], check=True)
    return folder


class Cluster:
    """`docker compose` in `checkout`, as a user types it."""

    def __init__(self, checkout: Path, name: str, **variables: str) -> None:
        self.checkout, self.name = checkout, name
        self.page_port, self.curves_port = free_ports(2)
        self.environ = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": name,
            "STATUS_PORT": str(self.page_port),
            "TENSORBOARD_PORT": str(self.curves_port),
            "KAIMESH_IMAGE": IMAGE,
            **variables,
        }
        self.client = docker.from_env()

    def run(self, *words: str, check: bool = True, timeout_s: float = UP_S) -> subprocess.CompletedProcess[str]:
        """A command in the checkout."""
        done = subprocess.run(
            words, cwd=self.checkout, env=self.environ, text=True, capture_output=True, timeout=timeout_s
        )
        assert done.returncode == 0 or not check, (
            f"{words}: exit {done.returncode}\n{done.stderr[-4000:]}\n{self.logs()}"
        )
        return done

    def compose(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`docker compose ...`."""
        return self.run("docker", "compose", *words, check=check)

    def up(self, *words: str) -> float:
        """Starts it; returns how long that took, s."""
        began = time.monotonic()
        self.compose("up", "-d", "--wait", *words)
        return time.monotonic() - began

    def remove(self) -> None:
        """Leaves nothing behind."""
        self.compose("down", "--volumes", "--remove-orphans", "-t", "10", check=False)

    @property
    def engine(self) -> Engine:
        """The tool's view of it."""
        return Engine(self.name)

    def container(self, service: str, number: int | None = None) -> Container:
        """One container of a service; the first, or that with this number."""
        found = [c for c in self.engine.containers(service) if number in (None, self.engine.number_of(c))]
        assert found, f"no {service}"
        return found[0]

    def report(self) -> dict[str, Any]:
        """What the status page says; {} while it does not answer."""
        try:
            with open_here(f"http://127.0.0.1:{self.page_port}/status.json", 5.0) as answer:
                return dict(json.load(answer))
        except (urllib.error.URLError, OSError, ValueError):
            return {}

    def process(self, name: str) -> dict[str, Any]:
        """What one process last said; {} where it was never heard."""
        return next((dict(p) for p in self.report().get("processes", []) if p["name"] == name), {})

    def counters(self, name: str) -> dict[str, float]:
        """A process's counters over all of its lives, from the monitor's own file."""
        path = f"/runs/gym-CartPole-v1_ppo/status/{name}.json"
        code, output = self.container("monitor").exec_run(["cat", path])
        assert code == 0, output
        return dict(json.loads(output)["counters"])

    def wait(self, condition: Callable[[dict[str, Any]], Any], timeout_s: float, what: str) -> dict[str, Any]:
        """The first report for which `condition` holds; fails with the logs."""
        seen: list[dict[str, Any]] = []

        def holds() -> bool:
            seen[:] = [self.report()]
            return bool(seen[0] and condition(seen[0]))

        try:
            wait_until(holds, timeout_s, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{json.dumps(seen)[:3000]}\n{self.logs()}") from None
        return seen[0]

    def wait_for_return(self, score: float) -> dict[str, Any]:
        """Trains until the mean return of the last 100 episodes is so high."""
        return self.wait(
            lambda r: (r["return_mean_100"] or 0) >= score and r["episodes"] >= 200, LEARN_S, f"mean return {score}"
        )

    def logs(self, lines: int = 12) -> str:
        """The end of every container's log."""
        done = subprocess.run(
            ["docker", "compose", "logs", "--no-color", "--tail", str(lines)],
            cwd=self.checkout, env=self.environ, text=True, capture_output=True,
        )  # fmt: skip
        return done.stdout[-12000:]

    def fetch(self, volume: str, into: Path) -> Path:
        """A copy of a volume's content, whatever runs."""
        holder = self.client.containers.create(
            IMAGE, ["setup"], volumes={f"{self.name}_{volume}": {"bind": "/runs", "mode": "ro"}}
        )
        try:
            stream, _ = holder.get_archive("/runs")
            with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
                archive.extractall(into, filter="data")
        finally:
            holder.remove()
        return into / "runs"
