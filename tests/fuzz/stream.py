"""One connection's worth of bytes, played against a port: how it ends, and what came back."""

from __future__ import annotations

import base64
import contextlib
import random
import socket
import struct
import time
from collections import deque
from typing import Any, NamedTuple

from kaimesh.wire.frame import HEADER, HEADER_BYTES, MAGIC, Kind

ANSWER_S = 20.0  # a server that has not closed a finished connection by then is stuck
HELD = 48  # connections that are left open, the oldest closed first
_held: deque[socket.socket] = deque()


class Stuck(Exception):
    """The server neither answered nor closed."""


class Outcome(NamedTuple):
    """What a case did: frames (or requests) that were damaged and sent, greetings, frames answered,
    and refusals of any kind.
    """

    sent: int = 0
    greetings: int = 0
    answered: int = 0
    refused: int = 0

    def plus(self, other: Outcome) -> Outcome:
        """Both together."""
        return Outcome(*(a + b for a, b in zip(self, other, strict=True)))


class Stream(NamedTuple):
    """What is written, piece by piece, to port number `port` of a server.

    ending: "end" (a clean end, answers are read), "reset" (gone without a word) or "hold" (left open, silent).
    sent, greetings: how many damaged frames and HELLOs the pieces are. framed: whether answers are frames.
    """

    label: str
    pieces: tuple[bytes, ...]
    ending: str = "end"
    sent: int = 1
    greetings: int = 0
    port: int = 0
    framed: bool = True

    def to_json(self) -> dict[str, Any]:
        """Plain data, for a file."""
        return {**self._asdict(), "pieces": [base64.b64encode(piece).decode() for piece in self.pieces]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Stream:
        """The inverse."""
        return cls(**{**data, "pieces": tuple(base64.b64decode(piece) for piece in data["pieces"])})

    def play(self, ports: list[int]) -> Outcome:
        """Sends it. Raises ConnectionRefusedError: nobody listens. Stuck."""
        sock = socket.create_connection(("127.0.0.1", ports[self.port]), ANSWER_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answered = refused = 0
        try:
            for piece in self.pieces:
                sock.sendall(piece)
            if self.ending == "hold":
                _hold(sock)
                return Outcome(self.sent, self.greetings)
            if self.ending == "end":
                sock.shutdown(socket.SHUT_WR)
                answered, refused = _answers(sock, self.framed)
            else:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except TimeoutError as error:
            raise Stuck(f"nothing came for {ANSWER_S:g} s") from error
        except OSError:  # it was refused while it still spoke
            refused = 1
        sock.close()
        return Outcome(self.sent, self.greetings, answered, refused)


def close_held() -> None:
    """Closes the connections that were left open."""
    while _held:
        _held.popleft().close()


def _hold(sock: socket.socket) -> None:
    _held.append(sock)
    if len(_held) > HELD:
        _held.popleft().close()


def _answers(sock: socket.socket, framed: bool) -> tuple[int, int]:
    """Reads to the end: the answers, and the refusals among them.

    Raises AssertionError: the server sent what is no frame.
    """
    data = bytearray()
    deadline = time.monotonic() + ANSWER_S
    with contextlib.suppress(ConnectionError):
        while piece := sock.recv(1 << 18):
            data += piece
            if time.monotonic() > deadline:
                raise TimeoutError
    if not framed:
        return int(bool(data)), int(not data or b" 200 " not in data[:20])
    answered = refused = at = 0
    while at + HEADER_BYTES <= len(data):
        magic, kind, _, _, length, *_ = HEADER.unpack_from(data, at)
        assert magic == MAGIC, f"the server sent {bytes(data[at : at + HEADER_BYTES])!r}, which is no frame"
        assert kind in set(Kind), f"the server sent a frame of kind {kind}"
        answered += kind not in (Kind.WELCOME, Kind.SPECS)
        refused += kind in (Kind.REFUSED, Kind.ERROR)
        at += HEADER_BYTES + length
    return answered, refused


def split(data: bytes, rng: random.Random) -> tuple[bytes, ...]:
    """The same bytes in pieces."""
    if rng.randrange(12) or len(data) < 4:
        return (data,)
    cuts = sorted(rng.randrange(len(data)) for _ in range(rng.choice((1, 2, 5))))
    return tuple(data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True))
