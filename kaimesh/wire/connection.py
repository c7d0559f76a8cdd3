"""One peer of a FrameServer: its socket, its receive buffer and its queued writes."""

from __future__ import annotations

import socket
from collections import deque
from typing import Any

from kaimesh.wire import frame as wire
from kaimesh.wire.frame import CONTROL, DATA, HEADER_BYTES, HELLO, Header
from kaimesh.wire.gate import Caller
from kaimesh.wire.hello import Hello
from kaimesh.wire.receive_buffer import ReceiveBuffer

__all__ = ["Caller", "Connection", "Hello"]

FIRST_BUFFER_BYTES = 4096
TURN_BYTES = 1 << 22  # read from one peer before the next one is served
STRANGER = {HELLO: wire.MAX_HELLO_BYTES}  # frames that a peer may send before its token was checked, and their bytes
GUEST = {DATA: wire.MAX_FRAME_BYTES, CONTROL: wire.MAX_CONTROL_BYTES}  # the same afterwards


class Connection:
    """One peer. `header` and `payload` belong to the current frame and are valid until the server is polled again.

    hello: its HELLO, after it was accepted; None before. caller: who it is, once its token was checked.
    state: free for the service that uses the server.
    complete: the buffer holds a whole frame. closed: the connection has ended. paused: nothing is read from it.
    opened: when it connected, and progress: when bytes of an unfinished frame last arrived; both by the server's clock.
    watched: the epoll events that are registered for it. queued: bytes in `writes`.

    No memory is reserved for a length that a peer announces: the buffer doubles, at most, when arrived bytes fill it.
    """

    __slots__ = (
        "_buffer",
        "_filled",
        "_needed",
        "_view",
        "caller",
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
        self.caller: Caller | None = None
        self.state: Any = None
        self.header: Header | None = None
        self.complete = False
        self.closed = False
        self.paused = False
        self.watched = 0
        self.writes: deque[memoryview] = deque()
        self.queued = 0
        self._buffer = ReceiveBuffer(FIRST_BUFFER_BYTES)
        self._view = self._buffer.view
        self._filled = 0
        self._needed = HEADER_BYTES  # bytes of the whole frame; of its header alone until that has arrived

    @property
    def payload(self) -> memoryview:
        """The payload of the frame that `poll` returned."""
        return self._view[HEADER_BYTES : self._needed]

    @property
    def held_bytes(self) -> int:
        """Memory that this peer takes: its receive buffer and its queued writes."""
        return len(self._view) + self.queued

    @property
    def mid_frame(self) -> bool:
        """Whether the buffer holds bytes of a frame that is not served yet."""
        return self._filled > 0

    @property
    def awaits_more(self) -> bool:
        """Whether a frame has begun to arrive and its peer must send the rest."""
        return self._filled > 0 and not (self.complete or self.paused)

    def fill(self) -> None:
        """Reads what has arrived, up to the end of the current frame.

        Raises BadFrame, ConnectionError. BlockingIOError: no more has arrived, or TURN_BYTES were read.
        """
        most = self._filled + TURN_BYTES
        while True:
            if self._filled < self._needed:
                if self._filled == len(self._view):
                    self._buffer.grow(self._needed)
                    self._view = self._buffer.view
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
        """Removes the served frame from the buffer; returns whether it also holds bytes of the next one."""
        if not self.complete:
            return self._filled > 0
        rest = self._filled - self._needed
        if rest:
            self._view[:rest] = bytes(self._view[self._needed : self._filled])
        self._filled, self._needed = rest, HEADER_BYTES
        self.header = None
        self.complete = False
        return rest > 0
