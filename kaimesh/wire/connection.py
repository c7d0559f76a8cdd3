"""One peer of a FrameServer: its socket, its receive buffer, and what is still to be written to it."""

from __future__ import annotations

import socket
from collections import deque
from typing import Any

from kaimesh.wire import frame as wire
from kaimesh.wire.frame import HEADER_BYTES, Header

FIRST_BUFFER_BYTES = 4096

Hello = dict[str, Any]


class Connection:
    """One peer. `header` and `payload` are the current frame's, valid until the server is polled again.

    hello: what it said, once it was welcomed. state: the service's own. complete: a whole frame stands in the buffer.
    opened, progress: when it came and when its last bytes came, by the server's clock.
    """

    __slots__ = (
        "_buffer",
        "_filled",
        "_view",
        "complete",
        "header",
        "hello",
        "name",
        "opened",
        "progress",
        "sock",
        "state",
        "writes",
    )

    def __init__(self, sock: socket.socket, name: str, now: float) -> None:
        self.sock = sock
        self.name = name
        self.opened = now
        self.progress = now
        self.hello: Hello | None = None
        self.state: Any = None
        self.header: Header | None = None
        self.complete = False
        self.writes: deque[memoryview] = deque()
        self._buffer = bytearray(FIRST_BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._filled = 0

    @property
    def payload(self) -> memoryview:
        """The payload of the frame that `poll` returned."""
        assert self.header is not None
        return self._view[HEADER_BYTES : HEADER_BYTES + self.header.length]

    @property
    def mid_frame(self) -> bool:
        """Whether bytes have come that no released frame held."""
        return self._filled > 0

    def fill(self) -> None:
        """Reads what has come, until a frame is complete. Raises BadFrame, ConnectionError, BlockingIOError (no more yet)."""
        while True:
            if self.header is None and self._filled >= HEADER_BYTES:
                limit = wire.MAX_FRAME_BYTES if self.hello is not None else wire.MAX_HELLO_BYTES
                self.header = wire.decode(self._view, limit)
                self._reserve(HEADER_BYTES + self.header.length)
            if self.header is not None and self._filled >= HEADER_BYTES + self.header.length:
                self.complete = True
                return
            received = self.sock.recv_into(self._view[self._filled :])
            if received == 0:
                raise ConnectionResetError("closed by the peer" + (" in the middle of a frame" if self._filled else ""))
            self._filled += received

    def release(self) -> None:
        """Forgets the frame that was served; bytes of the next one that came along stay."""
        if not self.complete:
            return
        assert self.header is not None
        end = HEADER_BYTES + self.header.length
        rest = self._filled - end
        if rest:
            self._view[:rest] = bytes(self._view[end : self._filled])
        self._filled = rest
        self.header = None
        self.complete = False

    def _reserve(self, size: int) -> None:
        if size <= len(self._buffer):
            return
        grown = bytearray(size)
        grown[: self._filled] = self._view[: self._filled]
        self._buffer, self._view = grown, memoryview(grown)
