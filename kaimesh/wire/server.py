"""The server side of framed TCP: many non-blocking connections under one epoll, used by one thread."""

from __future__ import annotations

import logging
import select
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kaimesh.config.roles import Right, Rights
from kaimesh.contract.errors import MeshError, Refused
from kaimesh.contract.untrusted import clean
from kaimesh.wire import frame as wire
from kaimesh.wire.connection import Connection, Hello
from kaimesh.wire.frame import BadFrame, Kind
from kaimesh.wire.gate import OWN_RIGHTS, Gate
from kaimesh.wire.hello import hello_of
from kaimesh.wire.internal import Counts, internal_error

# A stranger is a peer that has connected and not yet sent a HELLO with a right token; a guest has.
HANDSHAKE_S = 5.0  # a peer that has not sent HELLO by then is disconnected
STALL_S = 10.0  # a peer that stops in the middle of a frame is disconnected; between frames it may be silent for ever
_MOST_STRANGERS = 128  # one more, and the oldest is disconnected: a client of ours sends HELLO at once
_MOST_GUESTS = 2048
_MOST_BYTES = 1 << 31  # memory that all guests may take together; beyond it, the one that takes most is disconnected
_COUNTED_BYTES = 1 << 20  # that sum is computed only when a peer takes more than this
_WRITE_LIMIT_BYTES = 1 << 28  # a peer with more queued answers, which it does not read, is disconnected
_FINE_WAIT_S = 1e-3  # epoll counts in milliseconds; shorter waits need select()
_PAUSE_S = 3.0  # who has not looked for so long was stopped, and with it perhaps its peers: they get their time anew
_ACCEPT_PAUSE_S = 1.0  # how long no connection is accepted after file descriptors ran out

OnHello = Callable[["Connection", Hello], dict[str, Any]]


class FrameServer:
    """Accepts connections, checks their HELLO and returns whole frames; invalid input ends in a logged refusal.

    token: the mesh token. rights: of each role in the mesh, whose tokens are derived from it.
    roles: as what a client may connect, and which rights it needs for that: one of these, or none if there are none.
    on_hello: called for each HELLO with a right token; returns the content of WELCOME, or raises MeshError to refuse.
    `connection.caller` says who it is. on_close: called when a connection whose HELLO was accepted ends.
    meter: counts `internal_errors`, our own bugs, and `denied`.
    """

    def __init__(
        self,
        bind: tuple[str, int],
        *,
        token: str,
        roles: Mapping[str, tuple[Right, ...]],
        on_hello: OnHello,
        rights: Rights = OWN_RIGHTS,
        on_close: Callable[[Connection], None] | None = None,
        meter: Counts | None = None,
        logger: logging.Logger | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gate = Gate(token, rights, meter)
        self._roles, self._on_hello, self._on_close, self._meter = roles, on_hello, on_close, meter
        self._log = logger or logging.getLogger("kaimesh.wire")
        self._clock = clock
        self._epoll = select.epoll()
        self._connections: dict[int, Connection] = {}  # by file descriptor
        self._strangers: dict[int, Connection] = {}  # those that have not shown the token, oldest first
        self._leftover: list[Connection] = []  # whose buffers already hold bytes of the next frame
        self._served: list[Connection] = []  # what the last poll() returned
        self._last_sweep = clock()
        self._deaf_since: float | None = None  # since when no connection is accepted; None: they are
        self.refused = 0
        self._listener = socket.create_server(bind, backlog=256)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._epoll.register(self._listener, select.EPOLLIN)

    @property
    def connections(self) -> list[Connection]:
        """The peers whose HELLO was accepted."""
        return [connection for connection in self._connections.values() if connection.hello is not None]

    def poll(self, timeout_s: float) -> list[Connection]:
        """Connections that hold one whole frame each (`header`, `payload`); waits up to `timeout_s` for the first.

        The frames that the last call returned are released first. Raises nothing, whatever a peer does.
        """
        for connection in self._served:
            if connection.release():
                self._leftover.append(connection)
        ready: list[Connection] = []
        self._served = ready
        leftover, self._leftover = self._leftover, []
        for connection in leftover:
            if connection.paused:
                self._leftover.append(connection)
            elif not connection.closed:
                self._read(connection, ready)
        for fd, events in self._wait(0.0 if ready else timeout_s):
            peer = self._connections.get(fd)
            if peer is None:  # the listener; or a peer that this loop has just closed: then nobody is accepted
                self._accept()
                continue
            if peer.writes and events & ~select.EPOLLIN:  # writing also reports an error of the socket
                self._flush(peer)
            if events & ~select.EPOLLOUT and not (peer.paused or peer.complete or peer.closed):
                self._read(peer, ready)
        self._sweep()
        return ready

    def serve(self, connections: Iterable[Connection], take: Callable[[Connection], Any]) -> None:
        """Calls `take` for each of the `connections` that poll() returned; an exception refuses that peer and no other.

        The peer gets the message of a MeshError. Any other exception is our bug: it is logged with its traceback and
        counted.
        """
        for connection in connections:
            try:
                take(connection)
            except Exception as error:
                self._fail(connection, error)

    def _fail(self, connection: Connection, error: Exception) -> None:
        """Refuses a peer because of the exception that is being handled."""
        if isinstance(error, MeshError):
            self.refuse(connection, str(error))
            return
        if isinstance(error, MemoryError):
            self.refuse(connection, f"there is no memory for it ({error}); send smaller frames")
            return
        internal_error(self._meter, self._log, f"an exception while serving {connection.name}")
        self.refuse(connection, "this server failed at what came from here; its log has the traceback")

    def _wait(self, timeout_s: float) -> list[tuple[int, int]]:
        if 0 < timeout_s < _FINE_WAIT_S:
            select.select([self._epoll], [], [], timeout_s)
            timeout_s = 0.0
        return self._epoll.poll(timeout_s)

    def send(self, connection: Connection, kind: int, buffers: list[memoryview | bytes], **header: int) -> None:
        """Writes a frame whose payload is `buffers`, one after the other. Never blocks, never raises."""
        self.write(connection, b"".join((wire.encode(kind, sum(map(len, buffers)), **header), *buffers)))

    def write(self, connection: Connection, frame: bytes) -> None:
        """Writes a frame; queues the part that the socket does not take now. Never blocks, never raises."""
        if connection.closed:
            return
        sent = 0
        if not connection.writes:
            try:
                sent = connection.sock.send(frame)
            except BlockingIOError:
                pass
            except OSError as error:
                self.close(connection, f"writing failed: {error}")
                return
            if sent == len(frame):
                return
        connection.writes.append(memoryview(frame)[sent:])
        connection.queued += len(frame) - sent
        self._watch(connection)
        if connection.queued > _WRITE_LIMIT_BYTES:
            self.close(connection, "it does not read its answers")
        elif connection.queued > _COUNTED_BYTES:
            self._bound()

    def send_json(self, connection: Connection, kind: int, data: dict[str, Any], **header: int) -> None:
        """Writes a frame whose payload is `data` as JSON."""
        self.send(connection, kind, [wire.to_json(data)], **header)

    def pause(self, connection: Connection, paused: bool) -> None:
        """Stops or resumes reading from one peer, whose socket then fills up: back-pressure.

        That a paused peer has disconnected is noticed when it is resumed.
        """
        if connection.closed or paused == connection.paused:
            return
        connection.paused = paused
        self._watch(connection)

    def refuse(self, connection: Connection, reason: str) -> None:
        """Sends one peer the reason (REFUSED), and disconnects it."""
        if connection.closed:
            return
        self.refused += 1
        reason = clean(reason)
        if not connection.writes:  # behind queued writes it would not be sent before the socket closes
            self.send_json(connection, Kind.REFUSED, {"reason": reason})
        self.close(connection, f"refused: {reason}")

    def close(self, connection: Connection, why: str, *, expected: bool = False) -> None:
        """Disconnects one peer and logs why. expected: logs at DEBUG level."""
        if connection.closed:
            return
        connection.closed = True
        if connection.watched:
            self._epoll.unregister(connection.sock)
        del self._connections[connection.sock.fileno()]
        self._strangers.pop(connection.sock.fileno(), None)
        connection.sock.close()
        self._log.log(logging.DEBUG if expected else logging.WARNING, "%s: connection closed: %s", connection.name, why)
        if connection.hello is not None and self._on_close is not None:
            try:
                self._on_close(connection)
            except Exception:
                internal_error(self._meter, self._log, f"the end of {connection.name}")

    def stop(self) -> None:
        """Closes the listener and every connection."""
        for connection in list(self._connections.values()):
            self.close(connection, "the server stops", expected=True)
        self._listener.close()
        self._epoll.close()

    def _watch(self, connection: Connection) -> None:
        """Registers for epoll the events that matter for this peer now; none if it is paused with nothing to write."""
        events = (0 if connection.paused else select.EPOLLIN) | (select.EPOLLOUT if connection.writes else 0)
        if events == connection.watched:
            return
        if not connection.watched:
            self._epoll.register(connection.sock, events)
        elif events:
            self._epoll.modify(connection.sock, events)
        else:
            self._epoll.unregister(connection.sock)
        connection.watched = events

    def _accept(self) -> None:
        try:
            sock, address = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):  # the peer has disconnected already
            return
        except OSError as error:  # no file descriptor is left: the listener would wake epoll again and again
            self._log.warning("could not accept a connection (trying again in %.0f s): %s", _ACCEPT_PAUSE_S, error)
            self._epoll.unregister(self._listener)
            self._deaf_since = self._clock()
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire.enable_keepalive(sock)
        connection = Connection(sock, f"{address[0]}:{address[1]}", self._clock())
        self._connections[sock.fileno()] = self._strangers[sock.fileno()] = connection
        self._watch(connection)
        if len(self._strangers) > _MOST_STRANGERS:
            oldest = next(iter(self._strangers.values()))
            self.refuse(oldest, f"{_MOST_STRANGERS} newer connections wait for a HELLO; send yours at once")

    def _read(self, connection: Connection, ready: list[Connection]) -> None:
        try:
            connection.fill()
        except BlockingIOError:
            connection.progress = self._clock()
            if connection.held_bytes > _COUNTED_BYTES:
                self._bound()
            return
        except BadFrame as error:
            self.refuse(connection, str(error))
            return
        except OSError as error:
            self.close(connection, str(error), expected=not connection.mid_frame)
            return
        except MemoryError as error:
            self._fail(connection, error)
            return
        if connection.hello is not None:
            ready.append(connection)
            return
        self._shake_hands(connection)
        if connection.release():  # the client sent more without waiting for WELCOME
            self._leftover.append(connection)

    def _shake_hands(self, connection: Connection) -> None:
        assert connection.header is not None
        try:
            hello, caller = hello_of(connection.header, connection.payload, self._gate)
            if hello.role not in self._roles:
                raise Refused(
                    f"role {hello.role!r}; this port serves {', '.join(self._roles)}, and would not understand others. "
                    "Correct the address: it is another process's."
                )
            caller.want(*self._roles[hello.role], loss=f"{hello.name} was not connected as {hello.role}")
            connection.caller = caller
            if len(self._connections) - len(self._strangers) >= _MOST_GUESTS:
                raise Refused(
                    f"{_MOST_GUESTS} clients are connected, the most that one server takes; start another one"
                )
            connection.name = f"{hello.name} ({connection.name})"
            welcome = self._on_hello(connection, hello)
        except Exception as error:
            self._fail(connection, error)
            return
        self._strangers.pop(connection.sock.fileno(), None)
        connection.hello = hello.model_copy(update={"specs": None, "spaces": None})
        self.send_json(connection, Kind.WELCOME, {"protocol": wire.PROTOCOL, **welcome})

    def _bound(self) -> None:
        """If all guests together take too much memory, disconnects the one that takes most.

        Connections whose frame is being served are left alone. Strangers are not counted, so they cannot push out
        anybody; they have limits of their own.
        """
        guests = self.connections
        if sum(connection.held_bytes for connection in guests) <= _MOST_BYTES:
            return
        waiting = (connection for connection in guests if not connection.complete)
        largest = max(waiting, key=lambda connection: connection.held_bytes, default=None)
        if largest is not None:
            self.refuse(
                largest,
                f"all peers together occupy more than {_MOST_BYTES} bytes, and this one {largest.held_bytes} of them; "
                "send smaller frames, and read the answers",
            )

    def _flush(self, connection: Connection) -> None:
        try:
            while connection.writes:
                sent = connection.sock.send(connection.writes[0])
                connection.queued -= sent
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
        if (since_s := now - self._last_sweep) < 1.0:
            return
        self._last_sweep = now
        if since_s > _PAUSE_S:
            for connection in self._connections.values():
                connection.opened = connection.progress = now
        if self._deaf_since is not None and now - self._deaf_since >= _ACCEPT_PAUSE_S:
            self._deaf_since = None
            self._epoll.register(self._listener, select.EPOLLIN)
        for connection in list(self._connections.values()):
            if connection.hello is None and now - connection.opened > HANDSHAKE_S:
                self.refuse(connection, f"no HELLO within {HANDSHAKE_S:.0f} s; send it at once")
            elif connection.awaits_more and now - connection.progress > STALL_S:
                self.refuse(connection, f"stalled for {STALL_S:.0f} s in the middle of a frame; send frames whole")
