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
    closed: it is gone. paused: it is not read. opened: when it came, by the server's clock. progress: when a frame under
    way last grew. watched: the events that it is polled for.
    """

    __slots__ = (
        "_buffer",
        "_filled",
        "_needed",
        "_view",
        "closed",
        "complete",
        "header",
        "hello",
        "name",
        "opened",
        "paused",
        "progress",
        "sock",
        "state",
        "watched",
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
        self.closed = False
        self.paused = False
        self.watched = 0
        self.writes: deque[memoryview] = deque()
        self._buffer = bytearray(FIRST_BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._filled = 0
        self._needed = HEADER_BYTES  # bytes of the frame, as far as is known

    @property
    def payload(self) -> memoryview:
        """The payload of the frame that `poll` returned."""
        return self._view[HEADER_BYTES : self._needed]

    @property
    def mid_frame(self) -> bool:
        """Whether bytes have come that no released frame held."""
        return self._filled > 0

    @property
    def awaits_more(self) -> bool:
        """Whether more bytes of a frame should come."""
        return self._filled > 0 and not (self.complete or self.paused)

    def fill(self) -> None:
        """Reads what has come, until a frame is complete. Raises BadFrame, ConnectionError, BlockingIOError (no more yet)."""
        while True:
            if self._filled < self._needed:
                received = self.sock.recv_into(self._view[self._filled :] if self._filled else self._view)
                if received == 0:
                    where = " in the middle of a frame" if self._filled else ""
                    raise ConnectionResetError("closed by the peer" + where)
                self._filled += received
            elif self.header is None:
                limit = wire.MAX_FRAME_BYTES if self.hello is not None else wire.MAX_HELLO_BYTES
                self.header = wire.decode(self._view, limit)
                self._needed = HEADER_BYTES + self.header.length
                if self._needed > len(self._buffer):
                    self._grow(self._needed)
            else:
                self.complete = True
                return

    def release(self) -> None:
        """Forgets the frame that was served; bytes of the next one that came along stay."""
        if not self.complete:
            return
        rest = self._filled - self._needed
        if rest:
            self._view[:rest] = bytes(self._view[self._needed : self._filled])
        self._filled, self._needed = rest, HEADER_BYTES
        self.header = None
        self.complete = False

    def _grow(self, size: int) -> None:
        grown = bytearray(size)
        grown[: self._filled] = self._view[: self._filled]
        self._buffer, self._view = grown, memoryview(grown)
