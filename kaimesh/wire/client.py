"""The client half of framed TCP: one blocking connection, with a deadline on every call."""

from __future__ import annotations

import socket
import time
from typing import Any

from kaimesh.arrays import Batch, Specs, view_columns, wire_buffers
from kaimesh.errors import AgentError, PeerError, Refused
from kaimesh.wire import frame as wire
from kaimesh.wire.frame import HEADER_BYTES, Header, Kind

_MAX_IOV = 512


class FrameClient:
    """A connection that has shaken hands. Not thread-safe; `welcome` is what the server said.

    address: "host:port". Raises PeerError: nobody listens, or it does not answer in time. Refused: it said no.
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
    ) -> None:
        self.address = address
        self.timeout_s = timeout_s
        host, _, port = address.rpartition(":")
        try:
            self._sock = socket.create_connection((host, int(port)), timeout_s)
        except OSError as error:
            raise PeerError(f"nothing answers at {address}: {error}") from error
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray(4096)
        self._view = memoryview(self._buffer)
        self._answer_specs: Specs | None = None
        message = {"protocol": wire.PROTOCOL, "token": token, "role": role, "name": name, **(hello or {})}
        self.send(Kind.HELLO, [wire.to_json(message)])
        header, payload = self.receive()
        data = wire.from_json(payload)
        if header.kind != Kind.WELCOME:
            self.close()
            raise Refused(f"{address} refused {name}: {data.get('reason', data)}")
        self.welcome = data

    def send(self, kind: Kind, buffers: list[memoryview | bytes], **header: int) -> None:
        """Writes one frame. Raises PeerError: the peer is gone, or took nothing for `timeout_s`."""
        length = sum(map(len, buffers))
        parts: list[memoryview | bytes] = [wire.encode(kind, length, **header), *buffers]
        try:
            sent = self._sock.sendmsg(parts[:_MAX_IOV])
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
        self.send(Kind.DATA, wire_buffers(batch, specs), method=method, rows=len(batch), tag=tag)

    def receive(self, timeout_s: float | None = None) -> tuple[Header, memoryview]:
        """The next frame; the payload is valid until the next call. Raises PeerError: late, gone, or not a frame."""
        self._sock.settimeout(self.timeout_s if timeout_s is None else timeout_s)
        self._fill(0, HEADER_BYTES)
        header = wire.decode(self._view, wire.MAX_FRAME_BYTES)
        size = HEADER_BYTES + header.length
        if size > len(self._buffer):
            self._buffer = bytearray(size)
            self._view = memoryview(self._buffer)
        self._fill(HEADER_BYTES, size)
        return header, self._view[HEADER_BYTES:size]

    def receive_rows(self, timeout_s: float | None = None) -> tuple[Header, Batch]:
        """The next DATA frame as views into the receive buffer; reads past SPECS. Raises AgentError for an ERROR frame."""
        while True:
            header, payload = self.receive(timeout_s)
            if header.kind == Kind.SPECS:
                self._answer_specs = Specs.from_json(wire.from_json(payload)["specs"])
                continue
            if header.kind == Kind.ERROR:
                data = wire.from_json(payload)
                raise AgentError(str(data.get("message")), str(data.get("traceback", "")))
            if header.kind != Kind.DATA or self._answer_specs is None:
                raise PeerError(f"{self.address} sent a frame of kind {header.kind} where rows were expected")
            return header, view_columns(payload, self._answer_specs, header.rows)

    def call(self, request: dict[str, Any], timeout_s: float | None = None) -> dict[str, Any]:
        """One CONTROL round trip. Raises AgentError: the server's own code failed at it."""
        self.send(Kind.CONTROL, [wire.to_json(request)])
        header, payload = self.receive(timeout_s)
        data = wire.from_json(payload)
        if header.kind == Kind.ERROR:
            raise AgentError(str(data.get("message")), str(data.get("traceback", "")))
        return data

    def fileno(self) -> int:
        """For select()."""
        return self._sock.fileno()

    def close(self) -> None:
        """Closes the socket."""
        self._sock.close()

    def _fill(self, start: int, end: int) -> None:
        deadline = time.monotonic() + (self._sock.gettimeout() or 0.0)
        while start < end:
            try:
                received = self._sock.recv_into(self._view[start:end])
            except TimeoutError as error:
                raise PeerError(f"{self.address} did not answer within {self._sock.gettimeout()} s") from error
            except OSError as error:
                raise PeerError(f"{self.address}: receiving failed: {error}") from error
            if received == 0:
                raise PeerError(f"{self.address} closed the connection")
            start += received
            if start < end and time.monotonic() > deadline:
                raise PeerError(f"{self.address} sent {start} of {end} bytes within {self._sock.gettimeout()} s")
