"""What a stranger may send to a port: every case ends in a refusal, and a well-behaved client is served on."""

from __future__ import annotations

import logging
import socket
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kaimesh.contract.arrays import Batch
from kaimesh.contract.errors import PeerError, Refused
from kaimesh.wire import frame as wire
from kaimesh.wire import server as wire_server
from kaimesh.wire.frame import HEADER_BYTES, Kind
from tests.wire.conftest import TOKEN, Echo

HELLO = {"protocol": wire.PROTOCOL, "token": TOKEN, "role": "tester", "name": "stranger", "specs": []}
some = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def hello_bytes(**changes: object) -> bytes:
    payload = wire.to_json({**HELLO, **changes})
    return wire.encode(Kind.HELLO, len(payload)) + payload


def read_all(sock: socket.socket) -> bytes:
    """What comes until the server closes."""
    parts = []
    try:
        while part := sock.recv(1 << 16):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def reason_of(data: bytes) -> str:
    header = wire.decode(data, 1 << 20)
    assert header.kind == Kind.REFUSED
    return str(wire.from_json(data[HEADER_BYTES:])["reason"])


def assert_served(echo: Echo) -> None:
    client = echo.client()
    assert client.call({"ask": 1}) == {"ask": 1}
    client.close()


@some
@given(data=st.binary(min_size=HEADER_BYTES, max_size=600))
def test_random_bytes_are_refused_and_others_are_served(echo: Echo, data: bytes) -> None:
    if data[:4] == wire.MAGIC:
        data = b"X" + data[1:]
    with echo.raw() as sock:
        sock.sendall(data)
        answer = read_all(sock)
    if len(data) == HEADER_BYTES:  # a longer one may be cut off by a reset
        assert "do not begin a kaimesh frame" in reason_of(answer)
    assert_served(echo)


@some
@given(
    kind=st.integers(0, 255),
    length=st.integers(0, wire.MAX_HELLO_BYTES * 2),
    payload=st.binary(max_size=300),
    rows=st.integers(0, 2**32 - 1),
)
def test_well_framed_nonsense_never_becomes_a_connection(
    echo: Echo, kind: int, length: int, payload: bytes, rows: int
) -> None:
    with echo.raw() as sock:
        sock.sendall(struct.pack("<4sBBHIIqq", wire.MAGIC, kind, 0, 0, length, rows, 0, 0) + payload)
        sock.shutdown(socket.SHUT_WR)
        read_all(sock)
    assert echo.server.connections == []
    assert_served(echo)


@some
@given(cut=st.integers(0, len(hello_bytes()) - 1))
def test_a_truncated_hello_is_dropped_at_its_end(echo: Echo, cut: int) -> None:
    with echo.raw() as sock:
        sock.sendall(hello_bytes()[:cut])
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock) == b""
    assert_served(echo)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"token": "another"}, "wrong token"),
        ({"token": None}, "HELLO: token: Input should be a valid string"),
        ({"protocol": 99}, "this server speaks"),
        ({"role": "intruder"}, "this port serves tester"),
        ({"name": "forbidden"}, "this one is forbidden"),
        ({"specs": [["x", "|O", [1]]]}, "cannot travel"),
        ({"specs": [["x", "<f4", [-1]]]}, "greater than or equal to 0 (-1)"),
        ({"specs": 7}, "specs must be a list"),
    ],
)
def test_a_hello_that_is_refused_says_why(
    echo: Echo, caplog: pytest.LogCaptureFixture, changes: dict[str, object], words: str
) -> None:
    with caplog.at_level(logging.WARNING), echo.raw() as sock:
        sock.sendall(hello_bytes(**changes))
        assert words in reason_of(read_all(sock))
    with echo.lock:  # the server logs after it has closed
        assert words in caplog.text
    assert_served(echo)


@pytest.mark.parametrize("payload", [b"[1]", b"{", b"\xff\xfe", b'"text"', b"[" * 100_000])
def test_a_hello_that_is_no_json_object_is_refused(echo: Echo, payload: bytes) -> None:
    with echo.raw() as sock:
        sock.sendall(wire.encode(Kind.HELLO, len(payload)) + payload)
        assert "JSON" in reason_of(read_all(sock))
    assert_served(echo)


def test_a_frame_of_another_version_is_refused(echo: Echo) -> None:
    with echo.raw() as sock:
        sock.sendall(b"KM\x00\x02" + hello_bytes()[4:HEADER_BYTES])
        assert "of this version" in reason_of(read_all(sock))


def test_a_huge_length_is_refused_before_and_after_the_handshake(echo: Echo) -> None:
    with echo.raw() as sock:
        sock.sendall(wire.encode(Kind.HELLO, wire.MAX_HELLO_BYTES + 1))
        assert "over the limit" in reason_of(read_all(sock))
    client = echo.client()
    client._sock.sendall(wire.encode(Kind.DATA, 2**32 - 1))
    header, payload = client.receive()
    assert header.kind == Kind.REFUSED
    assert "over the limit" in wire.from_json(payload)["reason"]
    assert_served(echo)


def test_silence_instead_of_hello_is_refused(echo: Echo) -> None:
    with echo.raw() as sock:
        echo.advance_until(lambda: len(echo.server._connections) == 1, 0.0)
        echo.advance_until(lambda: echo.server.refused == 1, wire_server.HANDSHAKE_S + 1)
        assert "no HELLO within" in reason_of(read_all(sock))


def test_a_stall_in_a_frame_is_refused_but_silence_between_frames_is_not(echo: Echo) -> None:
    patient, stalled = echo.client(name="patient"), echo.client(name="stalled")
    stalled._sock.sendall(wire.encode(Kind.CONTROL, 1000) + b"{" * 10)
    echo.advance_until(lambda: any(c.mid_frame for c in echo.server.connections), 0.0)
    echo.advance_until(lambda: echo.server.refused == 1, wire_server.STALL_S + 3)
    header, payload = stalled.receive()
    assert header.kind == Kind.REFUSED
    assert "stalled" in wire.from_json(payload)["reason"]
    assert patient.call({"still": "here"}) == {"still": "here"}


def test_after_a_pause_of_everything_a_frame_that_was_under_way_arrives(echo: Echo) -> None:
    """Peer and server were stopped for an hour, and the server is the first to go on."""
    client, payload = echo.client(), wire.to_json({"large": "x" * 1000})
    frame = wire.encode(Kind.CONTROL, len(payload)) + payload
    with echo.raw() as late:
        client._sock.sendall(frame[:100])
        echo.advance_until(lambda: any(c.mid_frame for c in echo.server.connections), 0.0)
        with echo.lock:
            echo.clock.now += 3600.0
        echo.advance_until(lambda: echo.clock.now - echo.server._last_sweep < 1.0, 2.0)
        client._sock.sendall(frame[100:])
        assert client.receive()[0].kind == Kind.CONTROL
        assert echo.server.refused == 0
        echo.advance_until(lambda: echo.server.refused == 1, wire_server.HANDSHAKE_S + 1)
        assert "no HELLO within" in reason_of(read_all(late))


def test_bytes_sent_before_the_welcome_are_served(echo: Echo) -> None:
    request = wire.to_json({"early": True})
    with echo.raw() as sock:
        sock.sendall(hello_bytes() + wire.encode(Kind.CONTROL, len(request), tag=5) + request)
        data = b""
        while request not in data:
            data += sock.recv(4096)
    assert b"hello" in data


def test_a_frame_that_comes_in_pieces_is_put_together(echo: Echo) -> None:
    client = echo.client()
    request = wire.to_json({"text": "x" * 20_000})
    frame = wire.encode(Kind.CONTROL, len(request)) + request
    for cut in (1, 31, 32, 33, 4096, 15_000):
        client._sock.sendall(frame[:cut])
        echo.advance_until(lambda: any(c.mid_frame for c in echo.server.connections), 0.0)
        client._sock.sendall(frame[cut:])
        _, payload = client.receive()
        assert bytes(payload) == request


def test_a_paused_peer_is_not_read_and_costs_nothing(echo: Echo) -> None:
    client = echo.client()
    with echo.lock:
        (connection,) = echo.server.connections
        echo.server.pause(connection, True)
        client.send(Kind.CONTROL, [b"{}"])
        assert echo.server._epoll.poll(0.05) == []  # a busy loop would be woken at once
        echo.server.pause(connection, False)
    assert client.receive()[0].kind == Kind.CONTROL


def test_a_peer_that_vanishes_is_reported_once(echo: Echo) -> None:
    client = echo.client()
    client.close()
    echo.advance_until(lambda: len(echo.closed) == 1, 0.0)
    assert_served(echo)


def test_no_file_descriptor_left_is_survived(echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    class Exhausted:
        def __init__(self, listener: socket.socket) -> None:
            self.listener = listener

        def __getattr__(self, name: str) -> object:
            return getattr(self.listener, name)

        def accept(self) -> None:
            raise OSError(24, "Too many open files")

    listener = echo.server._listener
    monkeypatch.setattr(echo.server, "_listener", Exhausted(listener))
    with echo.raw() as sock:
        echo.advance_until(lambda: echo.server._deaf_since is not None, 0.0)
        monkeypatch.setattr(echo.server, "_listener", listener)
        sock.sendall(hello_bytes())
        echo.advance_until(lambda: len(echo.server.connections) == 1, 2.0)
    assert_served(echo)


def test_ten_megabytes_travel_both_ways(echo: Echo) -> None:
    rows = Batch({"frame": np.random.default_rng(0).integers(0, 256, (4, 2_700_000), np.uint8)})
    client = echo.client(hello={"specs": rows.specs.to_json()}, read_ahead=True)
    for tag in range(3):
        client.send_rows(rows, rows.specs, tag=tag)
        header, answer = client.receive_rows()
        assert header.tag == tag
        np.testing.assert_array_equal(answer.frame, rows.frame)


def test_a_peer_that_reads_nothing_is_dropped_at_the_limit(echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_server, "_WRITE_LIMIT_BYTES", 1 << 20)
    client = echo.client()
    frame = bytes(1 << 20)

    def flood() -> None:
        for _ in range(200):
            client.send(Kind.CONTROL, [frame])

    with pytest.raises(PeerError):
        flood()
    assert_served(echo)


@some
@given(
    frames=st.lists(
        st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 255), st.integers(0, 70_000)), min_size=1, max_size=8
    ),
    read_ahead=st.booleans(),
)
def test_pipelined_frames_come_back_in_order(echo: Echo, frames: list[tuple[int, int, int]], read_ahead: bool) -> None:
    client = echo.client(read_ahead=read_ahead)
    for tag, method, size in frames:
        client.send(Kind.CONTROL, [bytes([method]) * size], tag=tag, method=method)
    for tag, method, size in frames:
        header, payload = client.receive()
        assert (header.tag, header.method, header.length) == (tag, method, size)
        assert bytes(payload) == bytes([method]) * size
    client.close()


def test_refusal_reaches_the_client_as_an_error(echo: Echo) -> None:
    with pytest.raises(Refused, match="wrong token"):
        echo.client(token="wrong")
