"""The client half of framed TCP: one blocking connection, with a deadline on every call."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Sequence
from typing import Any

from kaimesh.contract.arrays import Batch, Specs, view_columns, wire_buffers
from kaimesh.contract.errors import AgentError, PeerError, Refused, SampleError, Stopped
from kaimesh.contract.untrusted import clean
from kaimesh.wire import frame as wire
from kaimesh.wire.frame import CONTROL, DATA, ERROR, HEADER_BYTES, HELLO, REFUSED, SPECS, WELCOME, Header, Late
from kaimesh.wire.room import Room

_MAX_IOV = 512
_FIRST_BUFFER_BYTES = 1 << 16
_MOST_SPECS = 16  # that may come before one answer
_LONGEST_TEXT = 1 << 16  # of a server's error
_STOP_CHECK_S = 0.5
_JOINED_BYTES = 1 << 14  # up to which copying a frame costs less than a list of its buffers


class FrameClient:
    """A connection that has shaken hands. Not thread-safe; `welcome` is what the server said.

    What a server sends that makes no sense is a PeerError, as if it were gone; a length that it claims reserves nothing.

    address: "host:port". stop: ends the wait for the handshake.
    read_ahead: one system call may take the next frames too; then fileno() says nothing about frames that are here already.
    Raises PeerError: nobody listens, or it does not answer in time. Refused: it said no. Stopped.
    """

    def __init__(
        self,
        address: str,
        *,
        token: str,
        role: str,
        name: str,
        hello: dict[str, Any] | None = None,
        timeout_s: float = 10.0,
        stop: threading.Event | None = None,
        read_ahead: bool = False,
    ) -> None:
        self.address = address
        self.timeout_s = timeout_s
        host, _, port = address.rpartition(":")
        try:
            self._sock = socket.create_connection((host, int(port)), timeout_s if stop is None else min(timeout_s, 1.0))
        except OSError as error:
            raise PeerError(f"nothing answers at {address}: {error}") from error
        # The kernel's timeouts: Python's own would cost one more system call per read and write.
        self._sock.settimeout(None)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(timeout_s))
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire.notice_death(self._sock)
        self._wait_s = 0.0
        self._read_ahead = read_ahead
        self._most_bytes = wire.MAX_CONTROL_BYTES  # of a frame; rows may be longer, once there is a WELCOME
        self._room = Room(_FIRST_BUFFER_BYTES)
        self._view = self._room.view
        self._filled = 0  # bytes in the buffer
        self._frame_end = 0  # where the frame ends that was handed out; 0: none was
        self._answer_specs: Specs | None = None
        self._viewed: tuple[int, int, Batch] | None = None  # rows and bytes of the last answer, and the views of it
        try:
            self.welcome = self._shake_hands(
                {"protocol": wire.PROTOCOL, "token": token, "role": role, "name": name, **(hello or {})}, stop
            )
        except BaseException:
            self.close()
            raise

    def _shake_hands(self, message: dict[str, Any], stop: threading.Event | None) -> dict[str, Any]:
        self.send(HELLO, [wire.to_json(message)])
        deadline = time.monotonic() + self.timeout_s
        while True:
            try:
                header, payload = self.receive(self.timeout_s if stop is None else min(self.timeout_s, _STOP_CHECK_S))
                break
            except Late:
                if stop is not None and stop.is_set():
                    raise Stopped from None
                if time.monotonic() >= deadline:
                    raise
        if header.kind == REFUSED:
            raise refusal_of(payload, f"{self.address} refused {message['name']}")
        if header.kind != WELCOME:
            raise PeerError(f"{self.address} answered HELLO with a frame of kind {header.kind}")
        self._most_bytes = wire.MAX_FRAME_BYTES
        return wire.from_json(payload)

    def send(self, kind: int, buffers: list[memoryview | bytes], **header: int) -> None:
        """Writes one frame. Raises PeerError: the peer is gone, or took nothing for `timeout_s`."""
        length = sum(map(len, buffers))
        parts: list[memoryview | bytes] = [wire.encode(kind, length, **header), *buffers]
        try:
            joined = length <= _JOINED_BYTES
            sent = self._sock.send(b"".join(parts)) if joined else self._sock.sendmsg(parts[:_MAX_IOV])
            if sent < HEADER_BYTES + length:
                self._send_rest(parts, sent)
        except OSError as error:
            raise PeerError(f"{self.address}: sending failed: {error}") from error

    def _send_rest(self, parts: list[memoryview | bytes], sent: int) -> None:
        for part in parts:
            if sent >= len(part):
                sent -= len(part)
                continue
            self._sock.sendall(memoryview(part)[sent:])
            sent = 0

    def send_rows(self, batch: Batch, specs: Specs, *, method: int = 0, tag: int = 0) -> None:
        """A DATA frame with the rows of `batch`, without copying contiguous columns."""
        self.send(DATA, wire_buffers(batch, specs), method=method, rows=len(batch), tag=tag)

    def receive(self, timeout_s: float | None = None) -> tuple[Header, memoryview]:
        """The next frame; the payload is valid until the next call.

        Raises Late: not all of it came in time; call again. PeerError: the peer is gone, or this is not a frame.
        """
        wait_s = self.timeout_s if timeout_s is None else timeout_s
        if wait_s != self._wait_s:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(wait_s))
            self._wait_s = wait_s
        if self._frame_end:
            rest = self._filled - self._frame_end
            if rest:
                self._view[:rest] = bytes(self._view[self._frame_end : self._filled])
            self._filled, self._frame_end = rest, 0
        if self._filled < HEADER_BYTES:
            self._fill(HEADER_BYTES)
        header = wire.decode(self._view, self._most_bytes)
        size = HEADER_BYTES + header.length
        if self._filled < size:
            self._fill(size)
        self._frame_end = size
        return header, self._view[HEADER_BYTES:size]

    def answer(self, timeout_s: float | None = None) -> tuple[Header, memoryview]:
        """The next frame that is not SPECS; those are kept for `rows`."""
        for _ in range(_MOST_SPECS):
            header, payload = self.receive(timeout_s)
            if header.kind != SPECS:
                return header, payload
            self._viewed = None
            try:
                self._answer_specs = Specs.from_json(wire.from_json(payload).get("specs"))
            except SampleError as error:
                raise PeerError(f"{self.address} describes its answers so that they cannot be read: {error}") from error
        raise PeerError(f"{self.address} described its answers {_MOST_SPECS} times and sent none")

    def rows(self, header: Header, payload: memoryview) -> Batch:
        """The rows of the DATA frame that `receive` returned, as views into the receive buffer: the same ones as long as
        answers have the same form. Raises AgentError for an ERROR frame, PeerError for others.
        """
        if (seen := self._viewed) is not None and seen[:2] == (header.rows, header.length) and header.kind == DATA:
            return seen[2]
        if header.kind == ERROR:
            raise error_of(payload)
        if header.kind != DATA or self._answer_specs is None:
            raise PeerError(f"{self.address} sent a frame of kind {header.kind} where rows were expected")
        try:
            batch = view_columns(payload, self._answer_specs, header.rows)
        except SampleError as error:
            raise PeerError(f"{self.address} sent rows of another size: {error}") from error
        self._viewed = (header.rows, header.length, batch)
        return batch

    def receive_rows(self, timeout_s: float | None = None) -> tuple[Header, Batch]:
        """The next DATA frame as views into the receive buffer; reads past SPECS. Raises AgentError for an ERROR frame."""
        header, payload = self.answer(timeout_s)
        return header, self.rows(header, payload)

    def call(self, request: dict[str, Any], timeout_s: float | None = None) -> dict[str, Any]:
        """One CONTROL round trip, with nothing else under way. Raises AgentError: the server's own code failed at it."""
        self.send(CONTROL, [wire.to_json(request)])
        header, payload = self.receive(timeout_s)
        return self.answer_of(header, payload)

    def answer_of(self, header: Header, payload: memoryview) -> dict[str, Any]:
        """What a server says to a CONTROL frame. Raises AgentError: its own code failed. Refused, PeerError."""
        if header.kind == ERROR:
            raise error_of(payload)
        if header.kind == REFUSED:
            raise refusal_of(payload, f"{self.address} refused a request")
        if header.kind != CONTROL:
            raise PeerError(f"{self.address} sent a frame of kind {header.kind} where an answer was expected")
        return wire.from_json(payload)

    def wait_to_send(self, timeout_s: float) -> None:
        """From now on a `send` may wait so long for a peer that reads nothing (back-pressure)."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(timeout_s))

    def shutdown(self) -> None:
        """Ends, from another thread, a call that waits for the peer; it raises PeerError."""
        with contextlib.suppress(OSError):  # the peer was quicker
            self._sock.shutdown(socket.SHUT_RDWR)

    def end_if_unheard(self) -> None:
        """Ends, from another thread, a `send` whose peer's machine or network is gone; it raises PeerError."""
        with contextlib.suppress(OSError):  # it is closed already
            if wire.unheard(self._sock):
                self.shutdown()

    def fileno(self) -> int:
        """For select()."""
        return self._sock.fileno()

    def close(self) -> None:
        """Closes the socket."""
        self._sock.close()

    def _fill(self, size: int) -> None:
        """Reads until the buffer holds `size` bytes."""
        deadline = time.monotonic() + self._wait_s
        while self._filled < size:
            if self._filled == len(self._view):
                self._viewed = None
                self._room.grow(size)
                self._view = self._room.view
            end = len(self._view) if self._read_ahead else size
            try:
                received = self._sock.recv_into(self._view[self._filled : end])
            except BlockingIOError:
                raise Late(f"{self.address} did not answer within {self._wait_s:g} s") from None
            except OSError as error:
                raise PeerError(f"{self.address}: receiving failed: {error}") from error
            if received == 0:
                raise PeerError(f"{self.address} closed the connection")
            self._filled += received
            if self._filled < size and time.monotonic() > deadline:
                raise Late(f"{self.address} sent {self._filled} of {size} bytes within {self._wait_s:g} s")


def stand_for(addresses: Sequence[str]) -> list[str]:
    """Every "host:port" that `addresses` stand for: a cluster's name for several replicas is each of theirs, in a fixed order.

    A name of one machine, or that nobody knows now, stays as it is.
    """
    found: list[str] = []
    for address in addresses:
        host, _, port = address.rpartition(":")
        try:
            hosts = sorted(
                {info[4][0] for info in socket.getaddrinfo(host, int(port), socket.AF_INET, socket.SOCK_STREAM)}
            )
        except OSError:
            hosts = []
        found += [address] if len(hosts) < 2 else [f"{host}:{port}" for host in hosts]
    return found


def error_of(payload: memoryview) -> AgentError:
    """What an ERROR frame says. Raises BadFrame: nothing that can be read."""
    data = wire.from_json(payload)
    return AgentError(str(data.get("message"))[:_LONGEST_TEXT], str(data.get("traceback", ""))[-_LONGEST_TEXT:])


def refusal_of(payload: memoryview, who: str) -> Refused:
    """What a REFUSED frame says. Raises BadFrame: nothing that can be read."""
    return Refused(f"{who}: {clean(str(wire.from_json(payload).get('reason')))}")


def _timeval(seconds: float) -> bytes:
    """struct timeval; zero would mean "for ever"."""
    micros = max(int(seconds * 1e6), 1000)
    return struct.pack("ll", micros // 1_000_000, micros % 1_000_000)
