"""Whether the ports of a configuration are free, checked before anything is started."""

from __future__ import annotations

import socket

import psutil

from kaimesh.config import Config
from kaimesh.config.check import is_local
from kaimesh.config.roles import every_address
from kaimesh.contract.errors import ConfigError


def check_ports(config: Config) -> None:
    """Raises ConfigError: a port that a process on this machine needs is taken; names the key and who has the port."""
    taken = []
    for key, address in every_address(config.roles_here, config.app):
        host, _, port = address.rpartition(":")
        if is_local(address) and not free(int(port)):
            taken.append(
                f"{key}: port {port} is taken{_holder(int(port))}. Change {key} (--set {key}={host}:<free port>), "
                "or end that process."
            )
    if taken:
        lines = "\n".join(f"  {number}. {text}" for number, text in enumerate(taken, 1))
        raise ConfigError(f"{len(taken)} port{'s' * (len(taken) > 1)} cannot be used; nothing was started.\n{lines}")


def free(port: int) -> bool:
    """Whether nobody listens on `port` of any interface (Reverb listens on all, whatever its address says)."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True


def _holder(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
                if connection.pid is None:
                    break
                command = " ".join(psutil.Process(connection.pid).cmdline())
                return f" by process {connection.pid} ({command[:120]})"
    except psutil.Error:  # another user's process cannot be inspected; the port is taken all the same
        pass
    return ""
