"""A real FrameServer on a real port, polled by a thread of its own, that echoes rows and counts what it served."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from kaimesh.contract.arrays import Specs
from kaimesh.contract.errors import Refused
from kaimesh.process.meter import Meter
from kaimesh.wire.client import FrameClient
from kaimesh.wire.connection import Connection, Hello
from kaimesh.wire.frame import Kind
from kaimesh.wire.server import FrameServer

TOKEN = "the mesh token"


class Clock:
    """Time that moves when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Echo:
    """Answers DATA with the same payload, CONTROL with the same JSON."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.lock = threading.Lock()
        self.closed: list[str] = []
        self.meter = Meter("echo")
        self.server = FrameServer(
            ("127.0.0.1", 0),
            token=TOKEN,
            roles={"tester": ()},
            on_hello=self._on_hello,
            on_close=lambda connection: self.closed.append(connection.name),
            meter=self.meter,
            logger=logging.getLogger("echo"),
            clock=self.clock,
        )
        self.address = f"127.0.0.1:{self.server.port}"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _on_hello(self, connection: Connection, hello: Hello) -> dict[str, str]:
        if hello.name == "forbidden":
            raise Refused("this one is forbidden")
        connection.state = Specs.from_json([] if hello.specs is None else hello.specs)
        return {"greeting": "hello"}

    def _run(self) -> None:
        while not self._stop.is_set():
            with self.lock:
                self.server.serve(self.server.poll(0.005), self._answer)
            self._stop.wait(0.0005)  # lets a test have the lock

    def _answer(self, connection: Connection) -> None:
        header = connection.header
        assert header is not None
        if header.kind == Kind.DATA and header.method == 0:
            self.server.send_json(connection, Kind.SPECS, {"specs": connection.state.to_json()})
        self.server.send(
            connection, header.kind, [connection.payload], method=header.method, rows=header.rows, tag=header.tag
        )

    def close(self) -> None:
        self._stop.set()
        self._thread.join(5)
        assert not self._thread.is_alive(), "the server's loop hangs"
        self.server.stop()

    def raw(self) -> socket.socket:
        """A connection that has said nothing yet."""
        sock = socket.create_connection(("127.0.0.1", self.server.port), 5)
        sock.settimeout(5)
        return sock

    def client(self, **changes: object) -> FrameClient:
        """A well-behaved client."""
        arguments: dict = {"token": TOKEN, "role": "tester", "name": "test", "timeout_s": 5.0, **changes}
        return FrameClient(self.address, **arguments)

    def advance_until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Lets `seconds` of the server's time pass, a second at a time, then waits for what must follow."""
        deadline, end = threading.Event(), self.clock.now + seconds
        while self.clock.now < end:
            with self.lock:
                self.clock.now = min(self.clock.now + 1.0, end)
            for _ in range(1000):  # after a jump the server would take itself for one that was stopped
                if self.clock.now - self.server._last_sweep < 1.0:
                    break
                deadline.wait(0.005)
        for _ in range(1000):
            if condition():
                return
            deadline.wait(0.005)
        raise AssertionError("it did not happen within 5 s")


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()
