"""Proxies that are dead: one takes connections and says nothing, the other refuses them."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager

VARIABLES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "grpc_proxy")


@contextmanager
def dead_proxy(kind: str) -> Iterator[dict[str, str]]:
    """Environment variables that name it. kind: "silent", "refusing". Raises AssertionError: the silent was used."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if kind == "refusing":
            server.close()
        yield dict.fromkeys(VARIABLES, f"http://127.0.0.1:{port}")
        assert kind == "refusing" or not select.select([server], [], [], 0)[0], (
            "something of the mesh went to the proxy"
        )
