"""The client side of framed TCP: one blocking connection, with a deadline for every call."""

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
from kaimesh.wire.receive_buffer import ReceiveBuffer

_MAX_IOV = 512
_FIRST_BUFFER_BYTES = 1 << 16
_MOST_SPECS = 16  # SPECS frames that may come before one answer
_LONGEST_TEXT = 1 << 16  # characters kept of a server's error
_STOP_CHECK_S = 0.5
_JOINED_BYTES = 1 << 14  # up to this size, joining a frame's buffers costs less than a system call with a list of them


class FrameClient:
    """A connection on which the handshake is done. Not thread-safe. welcome: the server's answer to HELLO.

    If a server sends something invalid, that is a PeerError, as if it were gone. No memory is reserved for a length
    that
    it announces: the buffer grows with the bytes that arrive.

    address: "host:port". stop: ends the wait for the handshake.
    read_ahead: one read may also receive frames after the wanted one; then select() on fileno() does not see these.
    Raises PeerError: nobody listens, or does not answer in time. Refused: the server refused. Stopped: `stop` was set.
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
            raise PeerError(
                f"nothing answers at {address}: {error}; nothing was sent. Look whether that process runs, and at the "
                "key that names its address."
            ) from error
        # Timeouts are set in the kernel: Python's own cost another system call for each read and write.
        self._sock.settimeout(None)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(timeout_s))
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire.enable_keepalive(self._sock)
        self._wait_s = 0.0
        self._read_ahead = read_ahead
        self._most_bytes = wire.MAX_CONTROL_BYTES  # the longest frame accepted; after WELCOME, MAX_FRAME_BYTES
        self._buffer = ReceiveBuffer(_FIRST_BUFFER_BYTES)
        self._view = self._buffer.view
        self._filled = 0  # bytes in the buffer
        self._frame_end = 0  # where the frame ends that `receive` returned last; 0: there is none
        self._answer_specs: Specs | None = None
        self._viewed: tuple[int, int, Batch] | None = None  # the last answer's rows and bytes, and its Batch of views
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
            raise PeerError(
                f"{self.address} answered HELLO with a frame of kind {header.kind}, so the connection was given up. "
                f"Look whether that port is kaimesh's, and of the same version."
            )
        self._most_bytes = wire.MAX_FRAME_BYTES
        return wire.from_json(payload)

    def send(self, kind: int, buffers: list[memoryview | bytes], **header: int) -> None:
        """Writes one frame. Raises PeerError: the peer is gone, or read nothing for `timeout_s`."""
        length = sum(map(len, buffers))
        parts: list[memoryview | bytes] = [wire.encode(kind, length, **header), *buffers]
        try:
            joined = length <= _JOINED_BYTES
            sent = self._sock.send(b"".join(parts)) if joined else self._sock.sendmsg(parts[:_MAX_IOV])
            if sent < HEADER_BYTES + length:
                self._send_rest(parts, sent)
        except OSError as error:
            raise PeerError(
                f"{self.address}: sending failed: {error}; the connection is given up. Its log may say why."
            ) from error

    def _send_rest(self, parts: list[memoryview | bytes], sent: int) -> None:
        for part in parts:
            if sent >= len(part):
                sent -= len(part)
                continue
            self._sock.sendall(memoryview(part)[sent:])
            sent = 0

    def send_rows(self, batch: Batch, specs: Specs, *, method: int = 0, tag: int = 0) -> None:
        """Sends the rows of `batch` in a DATA frame; contiguous columns are not copied."""
        self.send(DATA, wire_buffers(batch, specs), method=method, rows=len(batch), tag=tag)

    def receive(self, timeout_s: float | None = None) -> tuple[Header, memoryview]:
        """The next frame; its payload is valid until the next call.

        Raises Late: it has not arrived completely; call again. PeerError: the peer is gone, or sent no valid frame.
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
        """The next frame other than SPECS; the specs are kept, for `rows` to read the answer with."""
        for _ in range(_MOST_SPECS):
            header, payload = self.receive(timeout_s)
            if header.kind != SPECS:
                return header, payload
            self._viewed = None
            try:
                self._answer_specs = Specs.from_json(wire.from_json(payload).get("specs"))
            except SampleError as error:
                raise PeerError(
                    f"{self.address} describes its answers so that they cannot be read: {error}. The connection is "
                    "given up; run the same version of kaimesh at both ends."
                ) from error
        raise PeerError(
            f"{self.address} described its answers {_MOST_SPECS} times and sent none. The connection is given up; run "
            "the same version of kaimesh at both ends."
        )

    def rows(self, header: Header, payload: memoryview) -> Batch:
        """The rows of the DATA frame that `receive` returned, as views into the receive buffer.

        Frames with equal rows and length give the same Batch object again. Raises AgentError: it is an ERROR frame.
        PeerError: it is a frame of another kind, or has another size than its specs say.
        """
        if (seen := self._viewed) is not None and seen[:2] == (header.rows, header.length) and header.kind == DATA:
            return seen[2]
        if header.kind == ERROR:
            raise error_of(payload)
        if header.kind != DATA or self._answer_specs is None:
            raise self._unexpected(header.kind, "rows were")
        try:
            batch = view_columns(payload, self._answer_specs, header.rows)
        except SampleError as error:
            raise PeerError(
                f"{self.address} sent rows of another size than it described: {error} The connection is given up; run "
                "the same version of kaimesh at both ends."
            ) from error
        self._viewed = (header.rows, header.length, batch)
        return batch

    def receive_rows(self, timeout_s: float | None = None) -> tuple[Header, Batch]:
        """The next answer's rows, as views into the receive buffer. Raises AgentError: the answer is an ERROR frame."""
        header, payload = self.answer(timeout_s)
        return header, self.rows(header, payload)

    def call(self, request: dict[str, Any], timeout_s: float | None = None) -> dict[str, Any]:
        """Sends a CONTROL frame and waits for its answer; no other request may be waiting for one.

        Raises AgentError: the server answered with ERROR. Refused, PeerError.
        """
        self.send(CONTROL, [wire.to_json(request)])
        header, payload = self.receive(timeout_s)
        return self.answer_of(header, payload)

    def answer_of(self, header: Header, payload: memoryview) -> dict[str, Any]:
        """The answer to a CONTROL frame. Raises AgentError: it is an ERROR frame. Refused, PeerError."""
        if header.kind == ERROR:
            raise error_of(payload)
        if header.kind == REFUSED:
            raise refusal_of(payload, f"{self.address} refused a request")
        if header.kind != CONTROL:
            raise self._unexpected(header.kind, "an answer was")
        return wire.from_json(payload)

    def _unexpected(self, kind: int, wanted: str) -> PeerError:
        return PeerError(
            f"{self.address} sent a frame of kind {kind} where {wanted} expected. The connection is given up; run the "
            "same version of kaimesh at both ends."
        )

    def wait_to_send(self, timeout_s: float) -> None:
        """From now on `send` waits up to `timeout_s` for a peer that reads nothing (back-pressure)."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(timeout_s))

    def shutdown(self) -> None:
        """Makes a call that waits for the peer in another thread raise PeerError."""
        with contextlib.suppress(OSError):  # the peer has closed the connection already
            self._sock.shutdown(socket.SHUT_RDWR)

    def end_if_unheard(self) -> None:
        """Makes a `send` in another thread raise PeerError if the peer's machine or network is gone."""
        with contextlib.suppress(OSError):  # the socket is closed already
            if wire.unheard(self._sock):
                self.shutdown()

    def fileno(self) -> int:
        """The socket's file descriptor, for select()."""
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
                self._buffer.grow(size)
                self._view = self._buffer.view
            end = len(self._view) if self._read_ahead else size
            try:
                received = self._sock.recv_into(self._view[self._filled : end])
            except BlockingIOError:
                raise Late(
                    f"{self.address} did not answer within {self._wait_s:g} s, so there is no answer yet; its log says "
                    "what it does"
                ) from None
            except OSError as error:
                raise PeerError(
                    f"{self.address}: receiving failed: {error}; the connection is given up. Its log may say why."
                ) from error
            if received == 0:
                raise PeerError(
                    f"{self.address} closed the connection, so nothing more comes from it; its log says why"
                )
            self._filled += received
            if self._filled < size and time.monotonic() > deadline:
                raise Late(
                    f"{self.address} sent {self._filled} of {size} bytes within {self._wait_s:g} s, so the frame is "
                    "not whole yet; receive again"
                )


def resolved(addresses: Sequence[str]) -> list[str]:
    """`addresses` ("host:port"); each host name that resolves to several IP addresses is replaced by these, sorted.

    In a cluster such a name stands for several replicas. A name with one IP address, or that cannot be resolved now,
    stays as it is.
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
    """The error that an ERROR frame reports. Raises BadFrame: the payload is no JSON object."""
    data = wire.from_json(payload)
    return AgentError(str(data.get("message"))[:_LONGEST_TEXT], str(data.get("traceback", ""))[-_LONGEST_TEXT:])


def refusal_of(payload: memoryview, who: str) -> Refused:
    """The refusal in a REFUSED frame. who: begins the message. Raises BadFrame: the payload is no JSON object."""
    return Refused(f"{who}: {clean(str(wire.from_json(payload).get('reason')))}")


def _timeval(seconds: float) -> bytes:
    """`seconds` as struct timeval, at least 1 ms; zero would mean "for ever"."""
    micros = max(int(seconds * 1e6), 1000)
    return struct.pack("ll", micros // 1_000_000, micros % 1_000_000)
