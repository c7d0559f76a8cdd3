"""Reports to a monitor: over a real socket, through the monitor's absence and the process's lives."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kaimesh.process.meter import Meter
from kaimesh.process.reporter import ROLE, Reporter
from kaimesh.wire.frame import Kind, from_json
from kaimesh.wire.server import FrameServer
from tests.harness import WAIT_S, free_ports, wait_until

TOKEN = "secret"


class Listener:
    """A monitor's port; `heard` are the reports."""

    def __init__(self, port: int) -> None:
        self.heard: list[dict[str, Any]] = []
        self._stop = threading.Event()
        self._server = FrameServer(("127.0.0.1", port), token=TOKEN, roles={ROLE: ()}, on_hello=lambda *_: {})
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            for connection in self._server.poll(0.05):
                self.heard.append(from_json(connection.payload)["status"])
                self._server.send_json(connection, Kind.CONTROL, {})

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._server.stop()


@pytest.fixture
def port() -> int:
    return free_ports(1)[0]


@pytest.fixture
def listener(port: int) -> Iterator[Listener]:
    instance = Listener(port)
    yield instance
    instance.close()


def reporter(port: int, meter: Meter, token: str = TOKEN) -> Reporter:
    return Reporter(f"127.0.0.1:{port}", token, meter, logging.getLogger("test"))


def test_a_life_reports_its_own_counters_and_the_last_word_arrives(
    tmp_path: Path, port: int, listener: Listener
) -> None:
    first = Meter("aisrv_1", tmp_path / "aisrv_1.json")
    first.count("env_steps", 5)
    first.stop()
    meter = Meter("aisrv_1", tmp_path / "aisrv_1.json")
    told = reporter(port, meter)
    meter.count("env_steps", 2)
    meter.publish()
    wait_until(lambda: listener.heard, WAIT_S, "a report")
    assert listener.heard[0]["counters"] == {"env_steps": 2}, "the first life's five are the monitor's to add"
    meter.count("env_steps", 1)
    meter.state("done")
    meter.stop()
    told.close()
    assert listener.heard[-1]["state"] == "done"
    assert listener.heard[-1]["counters"] == {"env_steps": 3}
    assert len({report["life"] for report in listener.heard}) == 1


def test_a_monitor_that_comes_later_hears_the_newest(port: int, caplog: pytest.LogCaptureFixture) -> None:
    meter = Meter("actor_0")
    told = reporter(port, meter)
    meter.publish()
    wait_until(lambda: "nothing answers" in caplog.text, WAIT_S, "the complaint")
    late = Listener(port)
    try:
        meter.count("predictions", 7)

        def heard() -> bool:
            meter.publish()
            return bool(late.heard)

        wait_until(heard, WAIT_S, "a report")
        assert late.heard[-1]["counters"] == {"predictions": 7}
        assert caplog.text.count("the monitor:") == 1
    finally:
        told.close()
        late.close()


def test_another_token_is_refused_and_the_process_goes_on(
    port: int, listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    meter = Meter("actor_0")
    told = reporter(port, meter, token="other")
    meter.publish()
    wait_until(lambda: "wrong token" in caplog.text, WAIT_S, "the refusal")
    told.close()
    assert not listener.heard
