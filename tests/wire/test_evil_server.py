"""What a broken or evil server sends: a PeerError, never another exception,
and never memory for bytes that did not come.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
import pytest

from kaimesh.contract.arrays import Batch, wire_buffers
from kaimesh.contract.errors import AgentError, PeerError, Refused
from kaimesh.wire import frame as wire
from kaimesh.wire.client import FrameClient
from kaimesh.wire.frame import Kind

ANSWER = Batch({"action": np.arange(3)})


def frame(kind: int, payload: bytes = b"", **header: int) -> bytes:
    return wire.encode(kind, len(payload), **header) + payload


def specs(data: object) -> bytes:
    return frame(Kind.SPECS, wire.to_json({"specs": data}))


RIGHT_SPECS = specs(ANSWER.specs.to_json())
RIGHT_ROWS = b"".join(bytes(part) for part in wire_buffers(ANSWER, ANSWER.specs))


@contextmanager
def server(says: bytes) -> Iterator[str]:
    """Says this to each client, whatever that sends, and closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            peer, _ = listener.accept()
            with peer, suppress(ConnectionError):  # the client may leave at any word
                peer.sendall(says)
                peer.shutdown(socket.SHUT_WR)
                while peer.recv(1 << 16):
                    pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)


def connect(address: str) -> FrameClient:
    return FrameClient(address, token="t", role="r", name="n", timeout_s=5.0)


@pytest.mark.parametrize(
    "says",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(20),
        frame(Kind.WELCOME, b"[1]"),
        frame(Kind.WELCOME, b"{"),
        frame(Kind.WELCOME, b"[" * 5000),
        frame(Kind.WELCOME, b'{"x":"\\ud800"}'),
        frame(Kind.DATA, b"12345678", rows=1),
        frame(Kind.ACK),
        frame(Kind.REFUSED, b"\xff"),
        frame(255, b"{}"),
        wire.encode(Kind.WELCOME, wire.MAX_FRAME_BYTES),
        wire.encode(Kind.WELCOME, 2**32 - 1),
    ],
    ids=lambda says: repr(says[:40]),
)
def test_instead_of_a_welcome(says: bytes) -> None:
    with server(says) as address, pytest.raises(PeerError):
        connect(address)


def test_a_refusal_is_one_line_whatever_it_holds() -> None:
    says = frame(Kind.REFUSED, wire.to_json({"reason": "no\n" + "x" * 100_000}))
    with server(says) as address, pytest.raises(Refused) as caught:
        connect(address)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 3000


@pytest.mark.parametrize(
    "says",
    [
        specs([["action", "O", []]]),
        specs([["action", "<i8", [-1]]]),
        specs([["action", "<i8", [2**40]]]),
        specs([["columns", "<i8", []]]),
        specs("abc"),
        specs(None),
        frame(Kind.SPECS, b"{}"),
        frame(Kind.SPECS, b"7"),
        frame(Kind.DATA, RIGHT_ROWS, rows=3),
        RIGHT_SPECS + frame(Kind.DATA, RIGHT_ROWS[:-1], rows=3),
        RIGHT_SPECS + frame(Kind.DATA, RIGHT_ROWS, rows=2**32 - 1),
        RIGHT_SPECS + frame(Kind.ACK),
        RIGHT_SPECS + frame(Kind.HELLO, b"{}"),
        RIGHT_SPECS * 1000,
        RIGHT_SPECS + wire.encode(Kind.DATA, wire.MAX_FRAME_BYTES, rows=3) + bytes(1000),
        frame(Kind.ERROR, b"[]"),
        frame(Kind.ERROR, b"\xff\xfe"),
    ],
    ids=lambda says: repr(says[:60]),
)
def test_instead_of_an_answer(says: bytes) -> None:
    with server(frame(Kind.WELCOME, b"{}") + says) as address:
        client = connect(address)
        with pytest.raises(PeerError):
            client.receive_rows()
        assert len(client._view) <= 1 << 17
        client.close()


@pytest.mark.parametrize(
    "says",
    [
        frame(Kind.DATA, b"{}"),
        frame(Kind.CONTROL, b"[1]"),
        frame(Kind.REFUSED, b'{"reason":1}'),
        frame(Kind.ACK, b"{}"),
    ],
)
def test_instead_of_what_was_asked(says: bytes) -> None:
    with server(frame(Kind.WELCOME, b"{}") + says) as address:
        client = connect(address)
        with pytest.raises(PeerError):
            client.call({"do": "describe"})
        client.close()


def test_an_error_is_the_agents_whatever_its_types() -> None:
    says = frame(Kind.WELCOME, b"{}") + frame(Kind.ERROR, b'{"message":[1],"traceback":{"a":1}}')
    with server(says) as address:
        client = connect(address)
        with pytest.raises(AgentError, match=r"\[1\]"):
            client.call({"do": "describe"})
        client.close()
