"""A mesh of one's own for a test: free ports, its own run directory, the command line, and waiting for what it says."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from kaimesh.process.documents import read_json
from kaimesh.process.run_dir import RunDir
from kaimesh.wire.internal import INTERNAL_ERRORS
from kaimesh.wire.ports import free
from tests.forks import LIGHT, Fork

ROOT = Path(__file__).resolve().parent.parent
WAIT_S = 180.0  # for what takes some seconds: a machine may be slow, and others may use it


# Below the range from which the kernel gives ports to connections and to servers on port 0.
# Workers of pytest-xdist have ports of their own: of two workers one takes the even, one the odd ones.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_PORTS = range(11_000 + _WORKER, 32_000, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
_next_ports = itertools.cycle(random.sample(_PORTS, len(_PORTS)))


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, and that no other call has returned before."""
    return list(itertools.islice(filter(free, _next_ports), count))


def wait_until(condition: Callable[[], Any], timeout_s: float, what: str) -> Any:
    """The condition's first true value; fails after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.1)
    raise AssertionError(f"not within {timeout_s} s: {what}")


def connected(client: Any) -> Any:
    """The same gRPC client or Channel of kaimesh.wire.grpc_edge, once connected; that may take several attempts."""
    import grpc

    channel = getattr(client, "_channel", client)
    grpc.channel_ready_future(channel.grpc).result(WAIT_S)
    return client


class Mesh:
    """A mesh as a user runs it: through the command line."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        reverb, ingest, actor, learner, pool = (f"127.0.0.1:{port}" for port in free_ports(5))
        self.settings = {
            "runs_dir": str(runs),
            "buffer_addrs": json.dumps([reverb]),
            "buffer_ingest_addrs": json.dumps([ingest]),
            "actor_addrs": json.dumps([actor]),
            "learner_addr": learner,
            "model_pool_addr": pool,
        }

    def cli(self, *arguments: str, check: bool = True, timeout_s: float = 240) -> subprocess.CompletedProcess[str]:
        """One command; its output is text."""
        done = LIGHT.run(_command(*arguments), env=self._environment(), timeout_s=timeout_s)
        said = f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == 0 or not check, f"{said}\n{self.logs()}"
        return done

    def start(
        self, *arguments: str, check: bool = True, timeout_s: float = 240, **settings: Any
    ) -> subprocess.CompletedProcess[str]:
        """`start` with this mesh's ports; `settings` are config keys (`ppo__lr` stands for ppo.lr)."""
        return self.cli("start", *self._flags(settings), *arguments, check=check, timeout_s=timeout_s)

    def view(self, **settings: Any) -> Fork:
        """`start` as in a terminal of its own: the command that goes on showing the run."""
        return LIGHT.popen(_command("start", *self._flags(settings)), env=self._environment(), start_new_session=True)

    def _flags(self, settings: dict[str, Any]) -> list[str]:
        pairs = {**self.settings, **{key.replace("__", "."): str(value) for key, value in settings.items()}}
        return [flag for key, value in pairs.items() for flag in ("--set", f"{key}={value}")]

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "runs_dir": str(self.runs), "COLUMNS": "160"}

    def living(self) -> list[str]:
        """The command lines of every process that was started for one of these runs, whoever its parent is now."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):  # it ended meanwhile
                if any(str(self.runs) in word for word in process.cmdline()) and process.status() != "zombie":
                    found.append(" ".join(process.cmdline()))
        return found

    def wait_for_state(self, state: str, timeout_s: float = WAIT_S) -> None:
        """Waits until the keeper says so."""
        wait_until(lambda: read_json(self.run.mesh).get("state") == state, timeout_s, f"the mesh is {state}")

    def status(self) -> dict[str, Any]:
        """`status --json`."""
        data: dict[str, Any] = json.loads(self.cli("status", "--json").stdout)
        return data

    @property
    def run(self) -> RunDir:
        """The newest run."""
        return RunDir.latest(self.runs)

    def of(self, process: str) -> dict[str, Any]:
        """What one process published last."""
        return self.run.statuses().get(process, {})

    def counter(self, process: str, name: str) -> float:
        """One of its counters."""
        value: float = self.of(process).get("counters", {}).get(name, 0)
        return value

    def wait_for(self, process: str, counter: str, at_least: float, timeout_s: float = WAIT_S) -> None:
        """Waits until a counter has come so far."""
        self.until(lambda: self.counter(process, counter) >= at_least, f"{process}: {counter} >= {at_least}", timeout_s)

    def until(self, condition: Callable[[], Any], what: str, timeout_s: float = WAIT_S) -> None:
        """Waits for a condition; the failure shows the logs."""
        try:
            wait_until(condition, timeout_s, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.logs()}") from None

    def internal_errors(self) -> dict[str, float]:
        """Of the newest run, by process: bugs of ours that a server met and went on after. Every test wants none."""
        if not (self.runs / "latest").exists():
            return {}
        counts = {name: status["counters"].get(INTERNAL_ERRORS, 0) for name, status in self.run.statuses().items()}
        return {name: count for name, count in counts.items() if count}

    def logs(self, lines: int = 25) -> str:
        """The end of every log, for a failure's message."""
        if not (self.runs / "latest").exists():
            return "(no run)"
        parts = []
        for path in sorted(self.run.logs.glob("*.log")):
            tail = path.read_text(errors="replace").splitlines()[-lines:]
            parts.append(f"--- {path.name} ---\n" + "\n".join(tail))
        return "\n".join(parts)

    def stop(self) -> None:
        """`stop all`, also when nothing runs any more."""
        if (self.runs / "latest").exists():
            self.cli("stop", "all", check=False)

    def close(self) -> None:
        """The end of a test: stops, and fails where a server met a bug of ours."""
        self.stop()
        assert self.internal_errors() == {}, self.logs()


def _command(*arguments: str) -> list[str]:
    return ["-m", "kaimesh.operate.cli", *arguments]
