"""One peer of a FrameServer: its socket, its receive buffer, and what is still to be written to it."""

from __future__ import annotations

import socket
from collections import deque
from typing import Any

from kaimesh.wire import frame as wire
from kaimesh.wire.frame import CONTROL, DATA, HEADER_BYTES, HELLO, Header
from kaimesh.wire.hello import Hello
from kaimesh.wire.room import Room

__all__ = ["Connection", "Hello"]

FIRST_BUFFER_BYTES = 4096
TURN_BYTES = 1 << 22  # of one peer, before the others have their turn
STRANGER = {HELLO: wire.MAX_HELLO_BYTES}  # what may come, and how long it may be, before the token
GUEST = {DATA: wire.MAX_FRAME_BYTES, CONTROL: wire.MAX_CONTROL_BYTES}  # and after it


class Connection:
    """One peer. `header` and `payload` are the current frame's, valid until the server is polled again.

    hello: what it said, once it was welcomed. state: the service's own. complete: a whole frame stands in the buffer.
    closed: it is gone. paused: it is not read. opened: when it came, by the server's clock. progress: when a frame under
    way last grew. watched: the events that it is polled for. queued: bytes in `writes`.

    A length that a peer claims reserves nothing: the buffer at most doubles, when it is full of bytes that have come.
    """

    __slots__ = (
        "_filled",
        "_needed",
        "_room",
        "_view",
        "closed",
        "complete",
        "header",
        "hello",
        "name",
        "opened",
        "paused",
        "progress",
        "queued",
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
        self.queued = 0
        self._room = Room(FIRST_BUFFER_BYTES)
        self._view = self._room.view
        self._filled = 0
        self._needed = HEADER_BYTES  # bytes of the frame, as far as is known

    @property
    def payload(self) -> memoryview:
        """The payload of the frame that `poll` returned."""
        return self._view[HEADER_BYTES : self._needed]

    @property
    def held_bytes(self) -> int:
        """Memory that this peer occupies."""
        return len(self._view) + self.queued

    @property
    def mid_frame(self) -> bool:
        """Whether bytes have come that no released frame held."""
        return self._filled > 0

    @property
    def awaits_more(self) -> bool:
        """Whether more bytes of a frame should come."""
        return self._filled > 0 and not (self.complete or self.paused)

    def fill(self) -> None:
        """Reads what has come, until a frame is complete. Raises BadFrame, ConnectionError; BlockingIOError: no more yet, or the
        next turn is another peer's.
        """
        most = self._filled + TURN_BYTES
        while True:
            if self._filled < self._needed:
                if self._filled == len(self._view):
                    self._room.grow(self._needed)
                    self._view = self._room.view
                received = self.sock.recv_into(self._view[self._filled :] if self._filled else self._view)
                if received == 0:
                    where = " in the middle of a frame" if self._filled else ""
                    raise ConnectionResetError("closed by the peer" + where)
                self._filled += received
                if most < self._filled < self._needed:
                    raise BlockingIOError
            elif self.header is None:
                self.header = wire.decode(self._view, STRANGER if self.hello is None else GUEST)
                self._needed = HEADER_BYTES + self.header.length
            else:
                self.complete = True
                return

    def release(self) -> bool:
        """Forgets the frame that was served; bytes of the next one that came along stay. Whether there are any."""
        if not self.complete:
            return self._filled > 0
        rest = self._filled - self._needed
        if rest:
            self._view[:rest] = bytes(self._view[self._needed : self._filled])
        self._filled, self._needed = rest, HEADER_BYTES
        self.header = None
        self.complete = False
        return rest > 0
