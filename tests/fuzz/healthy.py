"""A client that does everything right, beside the ones that do not: its answers are checked, and how long they took."""

from __future__ import annotations

import hashlib
import http.client
import json
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from kaimesh.contract.arrays import Batch, Specs
from kaimesh.contract.errors import PeerError
from kaimesh.learner.client import LearnerClient
from kaimesh.learner.server import SAVE_S
from kaimesh.model_pool.client import ModelPoolClient
from kaimesh.training.checkpoint import FileInfo, ModelInfo
from kaimesh.wire.client import FrameClient
from kaimesh.wire.frame import Kind
from tests.fuzz.frames import SPACES, SPECS, report
from tests.fuzz.servers import SAVED_ID, TOKEN, TRAIN_COUNT

PERIOD_S = 0.02
TIMEOUT_S = 30.0
MODEL_ID = 77

Ask = Callable[[], None]


def _client(port: int, role: str, **hello: Any) -> FrameClient:
    name = "aisrv_1"
    return FrameClient(f"127.0.0.1:{port}", token=TOKEN, role=role, name=name, hello=hello, timeout_s=TIMEOUT_S)


def _asks_actor(ports: list[int], wanted: Callable[[np.ndarray, Batch], bool] | None) -> Ask:
    """Asks for the likeliest actions of two rows; without `wanted`, they must stay what they were at first."""
    client = _client(ports[0], "player", specs=SPECS, spaces=SPACES)
    rows = np.array([[0.1, -0.2, 0.03, 0.4], [3, 2, 1, 0]], "<f4")
    first: list[Batch] = []

    def ask() -> None:
        client.send_rows(Batch({"obs": rows}), Specs.from_json(SPECS), method=1, tag=11)
        header, answer = client.receive_rows()
        assert (header.tag, len(answer)) == (11, 2), f"tag {header.tag}, {len(answer)} rows"
        if not first:
            first.append(answer.take(np.arange(2)))
        if wanted is not None:
            assert wanted(rows, answer), f"a wrong answer: {answer.columns}"
        for name, column in answer.columns.items():
            np.testing.assert_allclose(column, first[0].columns[name], rtol=1e-4, atol=1e-5)

    return ask


def actor(ports: list[int]) -> Ask:
    """Of a network, whose answers must not change."""
    return _asks_actor(ports, None)


def actor_diy(ports: list[int]) -> Ask:
    """Of the doubling agent."""
    return _asks_actor(ports, lambda rows, answer: np.array_equal(answer.action.reshape(-1), 2 * rows[:, 0]))


def ingest(ports: list[int]) -> Ask:
    """Sends rows, and waits until they are safe; asks what the buffer has."""
    writer, reader = _client(ports[0], "writer", specs=SPECS, spaces=SPACES), _client(ports[0], "reader")
    sent = 0

    def ask() -> None:
        nonlocal sent
        sent += 1
        writer.send_rows(Batch({"obs": np.full((3, 4), sent, "<f4")}), Specs.from_json(SPECS), tag=sent)
        header, payload = writer.receive()
        assert (header.kind, header.tag) == (Kind.ACK, sent), f"{header}: {bytes(payload)[:300]!r}"
        described = reader.call({"do": "describe"})
        assert described["specs"] == SPECS, f"{described}"
        assert described["inserted"] >= 3 * sent

    return ask


def monitor(ports: list[int]) -> Ask:
    """Reports a number, and looks for it on the page."""
    client = _client(ports[0], "reporter")
    rate = 0

    def ask() -> None:
        nonlocal rate
        rate = rate % 1000 + 1
        status = {**report("aisrv_1"), "state": "working", "rates": {"env_steps": rate}, "time": time.time()}
        answer = client.call({"status": status})
        assert answer == {}, f"a good report was answered with {answer}"
        shown = json.loads(_page(ports[1]), parse_constant=_refuse)
        (row,) = (process for process in shown["processes"] if process["name"] == "aisrv_1")
        assert (row["health"], row["throughput"]) == ("ok", rate), f"{row}"

    return ask


def _page(port: int) -> bytes:
    page = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        page.request("GET", "/status.json")
        answer = page.getresponse()
        assert answer.status == 200, f"HTTP {answer.status}"
        return answer.read()
    finally:
        page.close()


def _refuse(constant: str) -> None:
    raise AssertionError(f"/status.json holds {constant}, which is no JSON")


def model_pool(ports: list[int]) -> Ask:
    """Pushes a model, and gets it back."""
    client = ModelPoolClient(f"127.0.0.1:{ports[0]}", TOKEN, timeout_s=TIMEOUT_S)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    content = bytes(range(256)) * 999
    file = f"model.ckpt-{MODEL_ID}.x"
    (folder / file).write_bytes(content)
    info = ModelInfo(MODEL_ID, (FileInfo(file, len(content), hashlib.sha256(content).hexdigest()),), 1.7e9)

    def ask() -> None:
        client.push(folder, info)
        assert client.pull(MODEL_ID, folder / "into") == info
        assert (folder / "into" / file).read_bytes() == content
        assert info in client.list()

    return ask


def learner(ports: list[int]) -> Ask:
    """Asks how far it is, and for a save."""
    client = LearnerClient(f"127.0.0.1:{ports[0]}", TOKEN)

    def ask() -> None:
        assert client.status()["train_count"] == TRAIN_COUNT
        try:
            assert client.save_model() == SAVED_ID
        except PeerError as error:  # damaged requests come from this machine, too, and use its share of saves
            if f"one every {SAVE_S:g} s" not in str(error):
                raise

    return ask


KINDS: dict[str, Callable[[list[int]], Ask]] = {
    made.__name__: made for made in (actor, actor_diy, ingest, monitor, model_pool, learner)
}


class Healthy:
    """Asks again and again in a thread. `answers` were right; `worst_s`: the longest wait; `error`: what was wrong."""

    def __init__(self, what: str, ports: list[int]) -> None:
        self.answers, self.worst_s = 0, 0.0
        self.error: BaseException | None = None
        self._ask = KINDS[what](ports)
        self._ask()  # the first one builds networks and tables
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"healthy {what}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(PERIOD_S):
            start = time.monotonic()
            try:
                self._ask()
            except Exception as error:  # told by whoever reads `error`
                self.error = error
                return
            self.worst_s = max(self.worst_s, time.monotonic() - start)
            self.answers += 1

    def stop(self) -> None:
        """After the question under way."""
        self._stop.set()
        self._thread.join(TIMEOUT_S)
