"""The frame: a fixed header of 32 bytes, then `length` bytes of payload."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Mapping
from enum import IntEnum
from typing import Any, NamedTuple

from kaimesh.contract.errors import PeerError
from kaimesh.contract.json_text import json_text
from kaimesh.contract.untrusted import json_of

PROTOCOL = 1
MAGIC = b"KM\x00\x01"
HEADER = struct.Struct("<4sBBHIIqq")
HEADER_BYTES = HEADER.size
MAX_HELLO_BYTES = 1 << 18  # a peer whose token was not checked yet may send no more
MAX_CONTROL_BYTES = 1 << 22
MAX_FRAME_BYTES = 1 << 30


_IDLE_S, _INTERVAL_S, _PROBES = 5, 5, 3
_SILENT_SENDS = 7  # TCP waits 0.2 s before the first retransmission and doubles it: the seventh is some 25 s later
_LINUX = sys.platform.startswith("linux")


def enable_keepalive(sock: socket.socket) -> None:
    """Makes an idle connection fail within some 20 s if the peer's machine or network is gone (TCP keep-alive).

    It does not fail if the peer's process is only stopped or busy: its kernel still answers.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if _LINUX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _IDLE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _INTERVAL_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)


def unheard(sock: socket.socket) -> bool:
    """Whether the peer's kernel has acknowledged nothing for some 25 s, neither data nor probes.

    For a connection with unacknowledged bytes, on which keep-alive sends nothing. TCP_USER_TIMEOUT would not do: it
    also ends a connection whose peer is alive and does not read, which is back-pressure.
    """
    if not _LINUX:
        return False
    _state, _ca_state, retransmits, probes = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 4)
    return bool(retransmits + probes >= _SILENT_SENDS)


class Kind(IntEnum):
    """The kinds of frames: who sends them, and their payload."""

    HELLO = 1  # client: JSON
    WELCOME = 2  # server: JSON
    REFUSED = 3  # server: JSON {"reason"}, then it closes
    DATA = 4  # rows, both ways
    SPECS = 5  # server: JSON, the specs of the DATA frames that follow
    ACK = 6  # server: the DATA frame with this tag was processed
    ERROR = 7  # server: JSON {"message", "traceback"}, answers one frame; the connection stays open
    CONTROL = 8  # JSON both ways: load_model, info, ...


# The same as plain numbers, for code that runs for every frame: reading an enum's member takes 0.17 us on Python 3.11.
HELLO, WELCOME, REFUSED, DATA, SPECS, ACK, ERROR, CONTROL = map(int, Kind)


class Header(NamedTuple):
    """The 32 bytes before a payload of `length` bytes.

    method: which method is called, numbered by each service. rows: the rows in a DATA frame. tag: chosen by the client;
    an answer has the tag of its request. version: of an actor's answer, the version of the model that made it.
    """

    magic: bytes
    kind: int
    method: int
    flags: int
    length: int
    rows: int
    tag: int
    version: int


class Late(PeerError):
    """A frame did not arrive, or not completely, in time. The connection is still good; the call may be repeated."""


class BadFrame(PeerError):
    """The bytes are not a frame of this protocol, or the frame is longer than allowed."""


def encode(kind: int, length: int, *, method: int = 0, rows: int = 0, tag: int = 0, version: int = 0) -> bytes:
    """The 32 header bytes."""
    return HEADER.pack(MAGIC, kind, method, 0, length, rows, tag, version)


def decode(data: bytes | bytearray | memoryview, max_bytes: int | Mapping[int, int]) -> Header:
    """Reads a header.

    max_bytes: the longest payload allowed; or that by kind, and then other kinds are not allowed.
    Raises BadFrame: the magic is another (no frame of kaimesh, or of another version), or the length or the kind is not
    allowed.
    """
    header = Header._make(HEADER.unpack_from(data))
    limit = max_bytes if isinstance(max_bytes, int) else max_bytes.get(header.kind, -1)
    if header.magic == MAGIC and header.length <= limit:
        return header
    if header.magic != MAGIC:
        raise BadFrame(
            f"the bytes {header.magic!r} do not begin a kaimesh frame of this version ({MAGIC!r}); the connection "
            "ends. Look whether the address is that of the right port, and run the same version of kaimesh at both "
            "ends."
        )
    if isinstance(max_bytes, Mapping) and header.kind not in max_bytes:
        names = ", ".join(kind.name for kind in Kind if kind in max_bytes)
        raise BadFrame(
            f"a frame of kind {header.kind} where {names} may come; the connection ends. Run the same version of "
            "kaimesh at both ends."
        )
    raise BadFrame(
        f"a frame of {header.length} bytes is over the limit of {limit}; the connection ends. Send fewer or smaller "
        "rows in one frame."
    )


def to_json(data: Any) -> bytes:
    """Compact UTF-8 JSON; what is not finite is null.

    Lone surrogates, which file names and error messages may contain, become question marks.
    """
    return json_text(data, compact=True, ensure_ascii=False).encode("utf-8", "replace")


def from_json(payload: bytes | bytearray | memoryview) -> dict[str, Any]:
    """A JSON object. Raises BadFrame: anything else."""
    try:
        data = json_of(payload)
    except ValueError as error:
        raise BadFrame(f"not JSON: {error}; the frame was not read. Send a JSON object in UTF-8.") from error
    if not isinstance(data, dict):
        raise BadFrame(
            f"a JSON object was expected, not {type(data).__name__}; the frame was not read. Send an object, such as "
            '{"do": "describe"}.'
        )
    return data
