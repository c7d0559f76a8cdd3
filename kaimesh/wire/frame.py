"""The frame: a fixed header of 32 bytes, then `length` bytes of payload."""

from __future__ import annotations

import json
import socket
import struct
import sys
from collections.abc import Mapping
from enum import IntEnum
from typing import Any, NamedTuple

from kaimesh.contract.errors import PeerError
from kaimesh.contract.untrusted import json_of

PROTOCOL = 1
MAGIC = b"KM\x00\x01"
HEADER = struct.Struct("<4sBBHIIqq")
HEADER_BYTES = HEADER.size
MAX_HELLO_BYTES = 1 << 18  # of what a peer may say before it has shown the token
MAX_CONTROL_BYTES = 1 << 22
MAX_FRAME_BYTES = 1 << 30


_IDLE_S, _INTERVAL_S, _PROBES = 5, 5, 3
_SILENT_SENDS = 7  # they double their distance from 0.2 s: the seventh comes some 25 s after the first
_LINUX = sys.platform.startswith("linux")


def notice_death(sock: socket.socket) -> None:
    """From now on a peer whose machine or network is gone ends a connection that is idle within some 20 s.

    A process that merely stands still keeps it: its kernel goes on answering.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if _LINUX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _IDLE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _INTERVAL_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)


def unheard(sock: socket.socket) -> bool:
    """Whether the peer's kernel has acknowledged nothing of what was sent, or asked, for some 25 s.

    For a connection that has bytes under way, which keep-alive leaves alone. Not TCP_USER_TIMEOUT: that also ends one whose peer
    lives and has no room, which is back-pressure.
    """
    if not _LINUX:
        return False
    _state, _ca_state, retransmits, probes = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 4)
    return bool(retransmits + probes >= _SILENT_SENDS)


class Kind(IntEnum):
    """What a frame is."""

    HELLO = 1  # client: JSON
    WELCOME = 2  # server: JSON
    REFUSED = 3  # server: JSON {"reason"}, then it closes
    DATA = 4  # rows, both ways
    SPECS = 5  # server: JSON, the specs of the DATA frames that follow
    ACK = 6  # server: the DATA frame of this tag is done with
    ERROR = 7  # server: JSON {"message", "traceback"}, answers one frame; the connection lives on
    CONTROL = 8  # JSON both ways: load_model, info, ...


# The same as plain numbers, for what is done for every frame: a look at an enum's member costs 0.17 us on Python 3.11.
HELLO, WELCOME, REFUSED, DATA, SPECS, ACK, ERROR, CONTROL = map(int, Kind)


class Header(NamedTuple):
    """rows: of a DATA frame. version: the model version that made an answer. method: a small number, by role."""

    magic: bytes
    kind: int
    method: int
    flags: int
    length: int
    rows: int
    tag: int
    version: int


class Late(PeerError):
    """Nothing, or not the whole frame, came in time. The connection is whole: the same call may be made again."""


class BadFrame(PeerError):
    """The bytes are not a frame of this protocol, or a frame over the limit."""


def encode(kind: int, length: int, *, method: int = 0, rows: int = 0, tag: int = 0, version: int = 0) -> bytes:
    """The 32 header bytes."""
    return HEADER.pack(MAGIC, kind, method, 0, length, rows, tag, version)


def decode(data: bytes | bytearray | memoryview, max_bytes: int | Mapping[int, int]) -> Header:
    """Reads a header. Raises BadFrame: another magic (not kaimesh, or another version), or a length over `max_bytes`.

    max_bytes: by kind, where only some kinds may come; another is a BadFrame as well.
    """
    header = Header._make(HEADER.unpack_from(data))
    limit = max_bytes if isinstance(max_bytes, int) else max_bytes.get(header.kind, -1)
    if header.magic == MAGIC and header.length <= limit:
        return header
    if header.magic != MAGIC:
        raise BadFrame(f"the bytes {header.magic!r} do not begin a kaimesh frame of this version ({MAGIC!r})")
    if isinstance(max_bytes, Mapping) and header.kind not in max_bytes:
        names = ", ".join(kind.name for kind in Kind if kind in max_bytes)
        raise BadFrame(f"a frame of kind {header.kind} where {names} may come")
    raise BadFrame(f"a frame of {header.length} bytes is over the limit of {limit}")


def to_json(data: Any) -> bytes:
    """Compact UTF-8 JSON. A lone surrogate, which a file name or an exception may hold, becomes a question mark."""
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


def from_json(payload: bytes | bytearray | memoryview) -> dict[str, Any]:
    """A JSON object. Raises BadFrame: anything else."""
    try:
        data = json_of(payload)
    except ValueError as error:
        raise BadFrame(f"not JSON: {error}") from error
    if not isinstance(data, dict):
        raise BadFrame(f"a JSON object was expected, not {type(data).__name__}")
    return data
