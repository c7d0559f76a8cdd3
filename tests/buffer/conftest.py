"""Buffers for tests: one in this process behind a real port, and one as a real child process that can be killed."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kaimesh.buffer.drawing.reader import Reader
from kaimesh.buffer.ingest import Ingest
from kaimesh.buffer.sending.sender import SampleSender
from kaimesh.buffer.server import IngestServer
from kaimesh.config import AlgoEntry, App, Config
from kaimesh.contract.agent import TableSpec
from kaimesh.contract.arrays import Batch
from kaimesh.process.meter import Meter
from kaimesh.wire.internal import INTERNAL_ERRORS
from tests.forks import HEAVY, Fork
from tests.harness import free_ports

ROOT = Path(__file__).resolve().parent.parent.parent
TOKEN = "the mesh token"
WAIT_S = 60.0


def wait_until(condition: Callable[[], Any], what: str, timeout_s: float = WAIT_S) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        threading.Event().wait(0.01)
    return value


def config_of(app: App) -> Config:
    return Config(app, AlgoEntry("toy", "a.A", "a.A", "a.A", "a.w"), {}, (), "")


def rows(count: int, start: int = 0) -> Batch:
    """Rows whose every field tells their number."""
    number = np.arange(start, start + count)
    feature = (number[:, None] + np.arange(5) / 8).astype(np.float32)
    return Batch({"number": number, "feature": feature, "flag": number % 2 == 0})


def check_rows(batch: Batch) -> np.ndarray:
    """That no field was mixed up with another row's; returns the rows' numbers."""
    expected = rows(1).take(np.zeros(len(batch), int))
    number = batch.number
    assert batch.specs == expected.specs
    np.testing.assert_array_equal(batch.feature, number[:, None] + np.arange(5, dtype=np.float32) / 8)
    np.testing.assert_array_equal(batch.flag, number % 2 == 0)
    return number.copy()


class LocalBuffer:
    """An ingest and its port, served by a thread of this process; what a test opens on it is closed with it."""

    def __init__(self, table: TableSpec, app: App, **ingest: Any) -> None:
        self.table, self.app = table, app
        self.meter = Meter("buffer_0")
        (self.port,) = free_ports(1)
        self.ingest = Ingest(table, app, port=self.port, meter=self.meter, **ingest)
        self.server = IngestServer(("127.0.0.1", 0), token=TOKEN, ingest=self.ingest, meter=self.meter)
        self.address = f"127.0.0.1:{self.server.port}"
        self.stop = threading.Event()
        self.serving = threading.Event()
        self.serving.set()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._opened: list[Any] = []

    def _run(self) -> None:
        while not self.stop.is_set():
            if self.serving.wait(0.01):
                self.server.step()

    def sender(self, window: int = 4096, **changes: Any) -> SampleSender:
        values: dict[str, Any] = {
            "token": TOKEN, "name": "aisrv_0", "window": window, "meter": Meter("aisrv_0"), "stop": threading.Event(),
            **changes,
        }  # fmt: skip
        sender = SampleSender([self.address], **values)
        self._opened.append(sender)
        return sender

    def reader(self, **changes: Any) -> Reader:
        """A reader over the network."""
        reader = Reader(
            [f"127.0.0.1:{self.port}"],
            [self.address],
            TOKEN,
            batch_size=self.app.train_batch_size,
            table=self.table,
            config=config_of(self.app),
            **{"meter": Meter("learner_0"), **changes},
        )
        self._opened.append(reader)
        return reader

    def close(self) -> None:
        for opened in self._opened:
            opened.close()
        self.end_loop()
        self.server.close()
        self.ingest.close()

    def end_loop(self) -> None:
        """From then on the test calls `server.step` itself."""
        self.serving.set()
        self.stop.set()
        self._thread.join(10)
        assert not self._thread.is_alive(), "the buffer's loop hangs"


@pytest.fixture
def local() -> Iterator[Callable[..., LocalBuffer]]:
    """Makes LocalBuffers: `local(kind, rows_per_item, capacity, batch, **more keys)`."""
    made: list[LocalBuffer] = []

    def make(kind: str, rows_per_item: int, capacity: int, batch: int, **keys: Any) -> LocalBuffer:
        table = TableSpec(kind=kind, rows_per_item=rows_per_item)
        made.append(LocalBuffer(table, App(replay_buffer_capacity=capacity, train_batch_size=batch, **keys)))
        return made[-1]

    yield make
    for buffer in made:
        buffer.close()


class ChildBuffer:
    """`python -m kaimesh.buffer` on fixed ports, with an agent of its own; `start` again after `kill` is a restart."""

    def __init__(self, folder: Path, table: str, **keys: Any) -> None:
        self.folder, self.ports = folder, free_ports(2)
        self.address = f"127.0.0.1:{self.ports[1]}"
        folder.mkdir(parents=True)
        (folder / "toy_agent.py").write_text(
            f"from kaimesh.agent import Agent as Base, TableSpec\n\n\nclass Agent(Base):\n    table = {table}\n"
        )
        entry = {f"{role}_agent": "toy_agent.Agent" for role in ("actor", "learner", "aisrv")} | {
            "train_workflow": "toy_agent.w"
        }
        lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in entry.items())
        (folder / "algo_conf.toml").write_text(f"[toy]\n{lines}")
        self.keys = {
            "algo": "toy",
            "algo_conf": str(folder / "algo_conf.toml"),
            "buffer_addrs": [f"127.0.0.1:{self.ports[0]}"],
            "buffer_ingest_addrs": [self.address],
            **keys,
        }
        self.app = App(**self.keys)
        self.process: Fork | None = None
        self.log = folder / "buffer.log"

    def start(self, **keys: Any) -> None:
        self.keys.update(keys)
        self.app = App(**self.keys)
        lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in self.keys.items())
        (self.folder / "app.toml").write_text(f"[app]\n{lines}")
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "KAIMESH_TOKEN": TOKEN}
        with self.log.open("ab") as log:
            self.process = HEAVY.popen(
                ["-m", "kaimesh.buffer", "--conf", "app.toml", "--run-dir", "run"],
                cwd=self.folder,
                env=environment,
                stdout=log.fileno(),
            )
        wait_until(self.ready, "the buffer is ready", 60.0)

    def ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        status = self.status()
        return status.get("pid") == self.process.pid and status["state"] not in ("starting", "stopping", "failed")

    def status(self) -> dict[str, Any]:
        path = self.folder / "run/status/buffer_0.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def end(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(WAIT_S)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.end(signal.SIGKILL)
        assert INTERNAL_ERRORS not in self.status().get("counters", {}), self.log.read_text()


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Callable[..., ChildBuffer]]:
    """Makes ChildBuffers; they are killed at the end."""
    made: list[ChildBuffer] = []

    def make(table: str, **keys: Any) -> ChildBuffer:
        made.append(ChildBuffer(tmp_path / f"child{len(made)}", table, **keys))
        return made[-1]

    yield make
    for buffer in made:
        buffer.close()
