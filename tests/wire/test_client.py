"""Deadlines of the client half, the frame's round trip, and rows on a wire."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kaimesh.contract.arrays import Batch, view_columns, wire_buffers
from kaimesh.contract.errors import PeerError, SampleError, Stopped
from kaimesh.wire import frame as wire
from kaimesh.wire.client import FrameClient, resolved
from kaimesh.wire.frame import HEADER_BYTES, Header, Kind, Late, enable_keepalive, unheard
from tests.wire.conftest import Echo

u8, u32, i64 = st.integers(0, 255), st.integers(0, 2**32 - 1), st.integers(-(2**63), 2**63 - 1)


@given(kind=u8, method=u8, length=st.integers(0, wire.MAX_FRAME_BYTES), rows=u32, tag=i64, version=i64)
def test_a_header_comes_back_as_it_was(kind: int, method: int, length: int, rows: int, tag: int, version: int) -> None:
    data = wire.encode(kind, length, method=method, rows=rows, tag=tag, version=version)
    assert len(data) == HEADER_BYTES
    assert wire.decode(data, wire.MAX_FRAME_BYTES) == Header(wire.MAGIC, kind, method, 0, length, rows, tag, version)


@given(
    rows=st.integers(1, 5),
    columns=st.dictionaries(
        st.sampled_from(["a", "b", "c", "d"]),
        st.tuples(st.sampled_from(["<f4", "<i8", "|b1", "|u1", "<f2"]), hnp.array_shapes(min_dims=0, max_side=4)),
        min_size=1,
    ),
)
def test_rows_come_back_as_they_were(rows: int, columns: dict[str, tuple[str, tuple[int, ...]]]) -> None:
    generator = np.random.default_rng(0)
    batch = Batch(
        {name: generator.integers(0, 2, (rows, *shape)).astype(dtype) for name, (dtype, shape) in columns.items()}
    )
    payload = memoryview(b"".join(wire_buffers(batch, batch.specs)))
    back = view_columns(payload, batch.specs, rows)
    assert back.specs == batch.specs
    for name, column in batch.columns.items():
        np.testing.assert_array_equal(back.columns[name], column)
    with pytest.raises(SampleError, match="a payload of"):
        view_columns(payload[:-1], batch.specs, rows)


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(PeerError, match="nothing answers"):
        FrameClient(f"127.0.0.1:{port}", token="", role="", name="")


def test_a_server_that_never_welcomes_is_late_and_a_stop_ends_the_wait() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(Late, match="did not answer within"):
            FrameClient(address, token="", role="", name="", timeout_s=0.05)
        stop = threading.Event()
        stop.set()
        with pytest.raises(Stopped):
            FrameClient(address, token="", role="", name="", timeout_s=60.0, stop=stop)


def test_a_late_answer_can_still_be_received(echo: Echo) -> None:
    client = echo.client()
    with echo.lock:
        client.send(Kind.CONTROL, [b'{"a":1}'], tag=1)
        with pytest.raises(Late):
            client.receive(0.02)
    header, payload = client.receive()
    assert header.tag == 1
    assert bytes(payload) == b'{"a":1}'


def test_half_a_frame_then_late_then_the_rest() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        answered = threading.Event()

        def serve() -> None:
            peer, _ = listener.accept()
            peer.sendall(wire.encode(Kind.WELCOME, 2) + b"{}" + wire.encode(Kind.CONTROL, 4) + b"ab")
            answered.wait(5)
            peer.sendall(b"cd")
            peer.recv(1)
            peer.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        client = FrameClient(f"127.0.0.1:{listener.getsockname()[1]}", token="", role="", name="")
        with pytest.raises(Late):
            client.receive(0.02)
        answered.set()
        assert bytes(client.receive(5.0)[1]) == b"abcd"
        client.close()
        thread.join(5)


def test_a_server_that_goes_is_a_peer_error(echo: Echo) -> None:
    client = echo.client()
    with echo.lock:
        echo.server.close(echo.server.connections[0], "a test")
    with pytest.raises(PeerError, match=r"closed the connection|receiving failed"):
        client.receive()


def test_a_name_of_several_machines_is_each_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"actor": ["10.0.0.3", "10.0.0.2"], "one": ["10.0.0.9"]}

    def resolve(host: str, port: int, *_: Any) -> list[Any]:
        if host not in known:
            raise socket.gaierror("unknown")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in known[host]]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert resolved(["actor:8888", "one:1", "nobody:2"]) == ["10.0.0.2:8888", "10.0.0.3:8888", "one:1", "nobody:2"]


def test_a_peer_that_answers_is_heard_also_when_it_takes_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as sock:
        enable_keepalive(sock)
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                sock.send(bytes(1 << 16))
        assert not unheard(sock)
