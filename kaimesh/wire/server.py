"""The server half of framed TCP: many non-blocking connections under one selector, owned by one thread."""

from __future__ import annotations

import hmac
import logging
import select
import selectors
import socket
import time
from collections.abc import Callable
from typing import Any

from kaimesh.errors import MeshError, Refused
from kaimesh.wire import frame as wire
from kaimesh.wire.connection import Connection, Hello
from kaimesh.wire.frame import HEADER_BYTES, BadFrame, Kind

HANDSHAKE_S = 5.0  # a peer that has not said HELLO by then is dropped
STALL_S = 10.0  # a peer that stops in the middle of a frame is dropped; between frames it may be silent for ever
_WRITE_LIMIT_BYTES = 1 << 28  # a peer that does not read its answers is dropped
_MAX_IOV = 512  # the kernel takes 1024 buffers at once
_FINE_WAIT_S = 1e-3  # epoll counts in milliseconds; shorter waits need select()
_ACCEPT_PAUSE_S = 1.0  # when no file descriptor is left

OnHello = Callable[["Connection", Hello], dict[str, Any]]


class FrameServer:
    """Listens, shakes hands, and hands over whole frames; everything a stranger can send ends in a logged refusal.

    on_hello: called with each accepted HELLO; returns what WELCOME says, or raises MeshError to refuse.
    on_close: called when a connection that had been welcomed goes.
    """

    def __init__(
        self,
        bind: tuple[str, int],
        *,
        token: str,
        roles: tuple[str, ...],
        on_hello: OnHello,
        on_close: Callable[[Connection], None] | None = None,
        logger: logging.Logger | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._token, self._roles, self._on_hello, self._on_close = token, roles, on_hello, on_close
        self._log = logger or logging.getLogger("kaimesh.wire")
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._connections: set[Connection] = set()
        self._leftover: list[Connection] = []
        self._served: list[Connection] = []
        self._paused: set[Connection] = set()
        self._last_sweep = clock()
        self._deaf_since: float | None = None  # since when no connection is accepted
        self.refused = 0
        self._listener = socket.create_server(bind, backlog=256)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._selector.register(self._listener, selectors.EVENT_READ, None)

    @property
    def connections(self) -> list[Connection]:
        """The peers that have shaken hands."""
        return [connection for connection in self._connections if connection.hello is not None]

    def poll(self, timeout_s: float) -> list[Connection]:
        """Connections with one whole frame each (`header`, `payload`); waits up to `timeout_s` for the first.

        Frames that the last call returned are released first. Never raises for what a peer does.
        """
        for connection in self._served:
            connection.release()
            if connection.mid_frame:
                self._leftover.append(connection)
        ready: list[Connection] = []
        self._served = ready
        leftover, self._leftover = self._leftover, []
        for connection in leftover:
            if connection in self._paused:
                self._leftover.append(connection)
            elif connection in self._connections:
                self._read(connection, ready)
        for key, events in self._select(0.0 if ready else timeout_s):
            connection = key.data
            if connection is None:
                self._accept()
                continue
            if events & selectors.EVENT_WRITE:
                self._flush(connection)
            if events & selectors.EVENT_READ and not connection.complete and connection in self._connections:
                self._read(connection, ready)
        self._sweep()
        return ready

    def _select(self, timeout_s: float) -> list[tuple[selectors.SelectorKey, int]]:
        if 0 < timeout_s < _FINE_WAIT_S:
            select.select([self._selector], [], [], timeout_s)
            timeout_s = 0.0
        return self._selector.select(timeout_s)

    def send(self, connection: Connection, kind: Kind, buffers: list[memoryview | bytes], **header: int) -> None:
        """Writes a frame, or queues what the socket does not take; the queue keeps copies. Never blocks, never raises."""
        if connection not in self._connections:
            return
        length = sum(map(len, buffers))
        parts: list[memoryview | bytes] = [wire.encode(kind, length, **header), *buffers]
        if not connection.writes:
            try:
                sent = connection.sock.sendmsg(parts[:_MAX_IOV])
            except BlockingIOError:
                sent = 0
            except OSError as error:
                self.close(connection, f"writing failed: {error}")
                return
            if sent == HEADER_BYTES + length:
                return
        else:
            sent = 0
        connection.writes.append(memoryview(b"".join(parts))[sent:])
        self._watch(connection)
        if sum(map(len, connection.writes)) > _WRITE_LIMIT_BYTES:
            self.close(connection, "it does not read its answers")

    def send_json(self, connection: Connection, kind: Kind, data: dict[str, Any], **header: int) -> None:
        """A frame with a JSON payload."""
        self.send(connection, kind, [wire.to_json(data)], **header)

    def pause(self, connection: Connection, paused: bool) -> None:
        """Stops (or resumes) reading from one peer: back-pressure through its socket.

        That a paused peer is gone shows when it is resumed.
        """
        if connection not in self._connections or paused == (connection in self._paused):
            return
        (self._paused.add if paused else self._paused.discard)(connection)
        self._watch(connection)

    def refuse(self, connection: Connection, reason: str) -> None:
        """Tells one peer why, and drops it."""
        if connection not in self._connections:
            return
        self.refused += 1
        self.send_json(connection, Kind.REFUSED, {"reason": reason})
        self.close(connection, f"refused: {reason}")

    def close(self, connection: Connection, why: str, *, expected: bool = False) -> None:
        """Drops one peer and logs why."""
        if connection not in self._connections:
            return
        self._connections.discard(connection)
        self._paused.discard(connection)
        if connection.sock in self._selector.get_map():
            self._selector.unregister(connection.sock)
        connection.sock.close()
        self._log.log(logging.DEBUG if expected else logging.WARNING, "%s: connection closed: %s", connection.name, why)
        if connection.hello is not None and self._on_close is not None:
            self._on_close(connection)

    def stop(self) -> None:
        """Closes the listener and every connection."""
        for connection in list(self._connections):
            self.close(connection, "the server stops", expected=True)
        self._listener.close()
        self._selector.close()

    def _watch(self, connection: Connection) -> None:
        """Selects for what this peer is wanted for now; not at all if it is paused and owes nothing."""
        read = 0 if connection in self._paused else selectors.EVENT_READ
        events = read | (selectors.EVENT_WRITE if connection.writes else 0)
        if connection.sock not in self._selector.get_map():
            if events:
                self._selector.register(connection.sock, events, connection)
        elif events:
            self._selector.modify(connection.sock, events, connection)
        else:
            self._selector.unregister(connection.sock)

    def _accept(self) -> None:
        try:
            sock, address = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):  # the peer is gone already
            return
        except OSError as error:  # no file descriptor is left: the listener would wake the selector for ever
            self._log.warning("could not accept a connection (trying again in %.0f s): %s", _ACCEPT_PAUSE_S, error)
            self._selector.unregister(self._listener)
            self._deaf_since = self._clock()
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(sock, f"{address[0]}:{address[1]}", self._clock())
        self._connections.add(connection)
        self._selector.register(sock, selectors.EVENT_READ, connection)

    def _read(self, connection: Connection, ready: list[Connection]) -> None:
        connection.progress = self._clock()
        try:
            connection.fill()
        except BlockingIOError:
            return
        except BadFrame as error:
            self.refuse(connection, str(error))
            return
        except OSError as error:
            self.close(connection, str(error), expected=not connection.mid_frame)
            return
        if connection.hello is not None:
            ready.append(connection)
            return
        self._shake_hands(connection)
        connection.release()
        if connection.mid_frame:  # it did not wait for the WELCOME
            self._leftover.append(connection)

    def _shake_hands(self, connection: Connection) -> None:
        assert connection.header is not None
        try:
            if connection.header.kind != Kind.HELLO:
                raise Refused(f"the first frame is of kind {connection.header.kind}, not HELLO")
            hello = wire.from_json(connection.payload)
            if hello.get("protocol") != wire.PROTOCOL:
                raise Refused(
                    f"protocol {hello.get('protocol')!r}; this server speaks {wire.PROTOCOL}; update the older side"
                )
            if not hmac.compare_digest(str(hello.get("token", "")).encode(), self._token.encode()):
                raise Refused("wrong token; set KAIMESH_TOKEN, or share the run directory's `token` file")
            if hello.get("role") not in self._roles:
                raise Refused(f"role {hello.get('role')!r}; this port serves {', '.join(self._roles)}")
            connection.name = f"{hello.get('name', '?')!s:.64} ({connection.name})"
            welcome = self._on_hello(connection, hello)
        except MeshError as error:
            self.refuse(connection, str(error))
            return
        connection.hello = hello
        self.send_json(connection, Kind.WELCOME, {"protocol": wire.PROTOCOL, **welcome})

    def _flush(self, connection: Connection) -> None:
        try:
            while connection.writes:
                sent = connection.sock.send(connection.writes[0])
                if sent == len(connection.writes[0]):
                    connection.writes.popleft()
                else:
                    connection.writes[0] = connection.writes[0][sent:]
        except BlockingIOError:
            pass
        except OSError as error:
            self.close(connection, f"writing failed: {error}")
            return
        self._watch(connection)

    def _sweep(self) -> None:
        now = self._clock()
        if now - self._last_sweep < 1.0:
            return
        self._last_sweep = now
        if self._deaf_since is not None and now - self._deaf_since >= _ACCEPT_PAUSE_S:
            self._deaf_since = None
            self._selector.register(self._listener, selectors.EVENT_READ, None)
        for connection in list(self._connections):
            if connection.hello is None and now - connection.opened > HANDSHAKE_S:
                self.refuse(connection, f"no HELLO within {HANDSHAKE_S:.0f} s")
            elif connection.mid_frame and connection not in self._paused and now - connection.progress > STALL_S:
                self.refuse(connection, f"stalled for {STALL_S:.0f} s in the middle of a frame")
