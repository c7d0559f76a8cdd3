"""The mesh's own connections go past a proxy that the user's environment names; his own code's go through it as before.

gRPC, and with it Reverb, whose channels nobody can give options to, obeys http_proxy even on 127.0.0.1. Only gRPC's own variable is
set, for the mesh's hosts alone: downloads and other HTTP read no_proxy, which stays what it was.
"""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Iterable, MutableMapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kaimesh.config import App

VARIABLE = "no_grpc_proxy"
_USERS = "no_proxy"  # gRPC reads it only where there is no VARIABLE
_HERE = ("127.0.0.1", "localhost", "::1")


def hosts_of(app: App) -> list[str]:
    """Every host that a process of this mesh connects to."""
    addresses = [*app.buffer_addrs, *app.buffer_ingest_addrs, *app.actor_addrs, app.learner_addr, app.model_pool_addr]
    return [address.rpartition(":")[0] for address in (*addresses, app.monitor_addr) if address]


def bypass(hosts: Iterable[str] = (), environ: MutableMapping[str, str] = os.environ) -> None:
    """Lets gRPC reach `hosts`, and this machine, without a proxy; what the user excepted stays excepted.

    Call it before the first channel and before threads that read the environment. Children inherit it.
    """
    known = environ.get(VARIABLE, environ.get(_USERS, ""))
    merged = [*filter(None, (entry.strip() for entry in known.split(","))), *_HERE, *hosts]
    value = ",".join(dict.fromkeys(merged))
    if environ.get(VARIABLE) != value:
        environ[VARIABLE] = value


def open_here(url: str, timeout_s: float) -> Any:
    """As urllib's `urlopen`, for a page of this machine: through no proxy."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=timeout_s)
