"""Keeps the mesh's own connections away from an HTTP proxy that the user's environment variables name.

gRPC uses http_proxy even for 127.0.0.1, and so does Reverb, whose channels take no options. So the variable that only
gRPC reads is set, for the mesh's hosts. Downloads and other HTTP of the user's code read no_proxy, which stays as it
is.
"""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Iterable, MutableMapping
from typing import Any

VARIABLE = "no_grpc_proxy"
_USERS = "no_proxy"  # gRPC reads it only if VARIABLE is not set
_HERE = ("127.0.0.1", "localhost", "::1")


def hosts_of(addresses: Iterable[str]) -> list[str]:
    """The hosts of a mesh's addresses, "host:port" (kaimesh.config.Config.addresses)."""
    return [address.rpartition(":")[0] for address in addresses]


def bypass(hosts: Iterable[str] = (), environ: MutableMapping[str, str] = os.environ) -> None:
    """Lets gRPC reach `hosts` and this machine without a proxy, in addition to the hosts that the user has excepted.

    Call it before the first gRPC channel and before threads that read the environment. Child processes inherit it.
    """
    known = environ.get(VARIABLE, environ.get(_USERS, ""))
    merged = [*filter(None, (entry.strip() for entry in known.split(","))), *_HERE, *hosts]
    value = ",".join(dict.fromkeys(merged))
    if environ.get(VARIABLE) != value:
        environ[VARIABLE] = value


def open_here(url: str, timeout_s: float) -> Any:
    """urllib's `urlopen` without a proxy, for a page of this machine."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=timeout_s)
