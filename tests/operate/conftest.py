"""A mesh of fake services under real supervision, on free ports, in a folder of its own, gone after the test."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from kaimesh.operate.view.overview import as_json, look
from kaimesh.process.documents import read_json
from kaimesh.process.run_dir import RunDir
from tests.forks import LIGHT, Fork
from tests.harness import free_ports

ROOT = Path(__file__).parents[2]
DEADLINE_S = 120.0  # for what takes a second or two
OWNER = "KAIMESH_TEST_OWNER"  # in the environment of a mesh's processes: whose test it is
ADDRESS_KEYS = ("buffer_addrs", "buffer_ingest_addrs", "model_pool_addr", "learner_addr", "actor_addrs")


class Mesh:
    """Runs the command line and looks at what it leaves."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self.settings = {key: f"127.0.0.1:{port}" for key, port in zip(ADDRESS_KEYS, free_ports(5), strict=True)}
        self.settings |= {"aisrv_count": "1", "report_seconds": "0.5"}
        self.environ = {**os.environ, "PYTHONPATH": str(ROOT), "runs_dir": str(runs), OWNER: str(os.getpid())}

    def arguments(self, *words: str) -> list[str]:
        settings = [f"--set={key}={value}" for key, value in self.settings.items()] if words[0] == "start" else []
        return ["-m", "tests.operate.fake_mesh", *words, *settings]

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        return LIGHT.run(self.arguments(*words), env=self.environ, timeout_s=DEADLINE_S)

    def popen(self, *words: str) -> Fork:
        return LIGHT.popen(self.arguments(*words), env=self.environ, start_new_session=True)

    def start(self, *words: str) -> None:
        done = self.call("start", "--detach", *words)
        assert done.returncode == 0, done.stderr
        self.until(lambda: self.status()["state"] == "running")

    @property
    def run(self) -> Path:
        return (self.runs / "latest").resolve()

    def order(self, name: str, word: str) -> None:
        (self.run / f"{name}.do").write_text(word)

    def status(self) -> dict[str, Any]:
        """What `status --json` prints, without a process for it."""
        return as_json(look(RunDir(self.run)))

    def process(self, name: str) -> dict[str, Any]:
        return next(row for row in self.status()["processes"] if row["name"] == name)

    def published(self, name: str) -> dict[str, Any]:
        return dict(read_json(self.run / "status" / f"{name}.json"))

    def result(self) -> dict[str, Any]:
        return dict(json.loads((self.run / "result.json").read_text()))

    def living(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                words = process.cmdline()
            except psutil.Error:
                continue
            if any(str(self.runs) in word and "runs_dir" not in word for word in words):
                found.append(process)
        return found

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            if time.monotonic() > deadline:
                logs = "\n".join(f"{p.name}: {p.read_text()[-800:]}" for p in (self.run / "logs").glob("*"))
                pytest.fail(f"not within {DEADLINE_S} s; logs:\n{logs}")
            time.sleep(0.05)


@pytest.fixture(scope="session", autouse=True)
def sweep() -> None:
    """Ends the meshes of tests that were killed."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            owner = process.environ().get(OWNER, "")
            if owner and not psutil.pid_exists(int(owner)):
                process.kill()


def _mesh(runs: Path) -> Iterator[Mesh]:
    mesh = Mesh(runs)
    yield mesh
    for process in mesh.living():
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    """Not started yet, for one test."""
    yield from _mesh(tmp_path / "runs")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """One that runs, for all tests that leave it running."""
    for mesh in _mesh(tmp_path_factory.mktemp("running") / "runs"):
        mesh.start("--max-seconds", "1000")
        yield mesh
