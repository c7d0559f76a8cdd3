"""Whether a container's process is ready: by the status that it publishes, and by using its ports as its peers do.

It imports little: a health check runs every few seconds in every container.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from kaimesh.config.roles import BUFFER, MONITOR, ROLES, Ask, role_of
from kaimesh.operate.cluster import places
from kaimesh.process.clocks import age_s
from kaimesh.process.documents import read_json
from kaimesh.process.run_dir import TOKEN_FILE_VARIABLE, TOKEN_VARIABLE
from kaimesh.wire import frame as wire
from kaimesh.wire.frame import Kind
from kaimesh.wire.proxies import open_here

TIMEOUT_S = 4.0
OLD_S = 20.0
REVERB_INFO = "/deepmind.reverb.ReverbService/ServerInfo"
HEALTH = "/grpc.health.v1.Health/Check"


class NotReady(Exception):
    """Why not."""


def probe() -> int:
    """Prints one line; returns 0 if this container's process is ready, else 1."""
    try:
        print(check(str(read_json(places.CHILD).get("name", ""))))
    except Exception as error:  # the engine reads one line; a process that answers in any unexpected way is not ready
        print(f"not ready: {error if isinstance(error, NotReady | OSError) else repr(error)}")
        return 1
    return 0


def check(name: str) -> str:
    """What was found of the process `name`. Raises NotReady, OSError, ValueError."""
    role = role_of(name)
    if role == places.TENSORBOARD:
        return http(places.CURVES_PORT)
    said = [status(places.RUNS, name, time.time())]
    row = ROLES.get(role) or places.roles()[role]
    for key, ask in row.probes:
        said.append(f"{key}: {ASK[ask](port_of(key, row.own.get('addresses')))}")
    return "; ".join(said)


def status(runs: Path, name: str, now: float) -> str:
    """The state that the process published. Raises NotReady: none, an old one, or a bad one."""
    said = last_status(runs, name, now)
    if not said:
        raise NotReady("the process has not said anything yet")
    state, age = said.get("state"), age_s(said, now)
    if state in ("starting", "failed", None):
        raise NotReady(f"{state}: {said.get('blocked_on', '')}")
    if age > OLD_S and state != "done":
        raise NotReady(f"silent for {age:.0f} s")
    return str(state)


def last_status(runs: Path, name: str, now: float) -> dict[str, Any]:
    """The newest status of the process in any run; {} if there is none that can be read. now: wall time, s."""
    found = [read_json(path) for path in runs.glob(f"*/status/{name}.json")] if name else []
    return min(found, key=lambda status: age_s(status, now), default={})


def port_of(key: str, addresses: Sequence[str] | None = None) -> int:
    """The port of an address key: of the first one in `addresses`, else in the key's environment variable."""
    value = addresses[0] if addresses else os.environ[key]
    address = json.loads(value)[0] if value.startswith("[") else value
    return int(str(address).rpartition(":")[2])


def token() -> str:
    """The mesh token."""
    return os.environ.get(TOKEN_VARIABLE, "").strip() or Path(os.environ[TOKEN_FILE_VARIABLE]).read_text().strip()


def handshake(role: str, port: int) -> str:
    """Shakes hands as `role` with framed TCP. Raises NotReady: refused."""
    with _greet(role, port):
        return "welcome"


def ingest(port: int) -> str:
    """The ingest port, and Reverb behind it once the first aisrv has declared its samples. Raises NotReady."""
    with _greet("reader", port) as sock:
        payload = wire.to_json({"do": "describe"})
        sock.sendall(wire.encode(Kind.CONTROL, len(payload)) + payload)
        _, answer = _frame(sock)
    if wire.from_json(memoryview(answer))["specs"] is None:
        return "welcome; no aisrv has declared its samples yet"
    return f"welcome; Reverb {grpc_call(REVERB_INFO, port_of(BUFFER.keys[0]))}"


def grpc_call(method: str, port: int) -> str:
    """A gRPC call with an empty message. Raises NotReady."""
    import grpc

    with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            channel.unary_unary(method, bytes, bytes)(b"", timeout=TIMEOUT_S, metadata=(("kaimesh-token", token()),))
        except grpc.RpcError as error:
            raise NotReady(f"{method}: {error.code().name}") from error
    return "answers"


def http(port: int) -> str:
    """A web page."""
    with open_here(f"http://127.0.0.1:{port}/", TIMEOUT_S) as answer:
        return f"HTTP {answer.status}"


def tcp(port: int) -> str:
    """Whether somebody accepts connections."""
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_S):
        return "accepts connections"


def status_json() -> str:
    """What the monitor in this container shows."""
    url = f"http://127.0.0.1:{port_of(MONITOR.probes[-1][0])}/status.json"
    with open_here(url, TIMEOUT_S) as answer:
        return str(answer.read().decode())


def _greet(role: str, port: int) -> socket.socket:
    payload = wire.to_json({"protocol": wire.PROTOCOL, "token": token(), "role": role, "name": "health check"})
    sock = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
    try:
        sock.sendall(wire.encode(Kind.HELLO, len(payload)) + payload)
        kind, answer = _frame(sock)
        if kind != Kind.WELCOME:
            raise NotReady(answer.decode(errors="replace"))
    except BaseException:
        sock.close()
        raise
    return sock


def _frame(sock: socket.socket) -> tuple[int, bytes]:
    header = wire.decode(_read(sock, wire.HEADER_BYTES), wire.MAX_HELLO_BYTES)
    return header.kind, _read(sock, header.length)


def _read(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            raise NotReady("the connection was closed")
        data += piece
    return data


ASK: dict[Ask, Callable[[int], str]] = {
    "player": partial(handshake, "player"),
    "reader": partial(handshake, "reader"),
    "ingest": ingest,
    "grpc": partial(grpc_call, HEALTH),
    "http": http,
    "tcp": tcp,
}
