"""Finds which of a service's replicas this container is: 0, 1, ..."""

from __future__ import annotations

import os
import re
import socket
import struct
from pathlib import Path

REPLICA_VARIABLE = "KAIMESH_REPLICA"  # Swarm fills {{.Task.Slot}} in; Compose leaves the template as it is
_NAMES = (
    re.compile(r"^[^.]+\.(\d+)\.[0-9a-z]+\."),  # Swarm: stack_service.SLOT.task.network
    re.compile(r"^[^.]*-(\d+)\."),  # Compose: project-service-NUMBER.network
)
_TIMEOUT_S = 2.0
_HEADER = struct.Struct(">6H")
_POINTER, _FIXED_BYTES, _QUESTION = 12, 10, 0x0100  # PTR record; bytes between an answer's name and its data; recursion


def index() -> int:
    """This container's number: from the variable, else from its name as the engine's DNS has it, else 0."""
    given = os.environ.get(REPLICA_VARIABLE, "")
    if given.isdigit():
        return max(0, int(given) - 1)
    try:
        name = name_of(socket.gethostbyname(socket.gethostname()), _resolver())
    except (OSError, ValueError, IndexError, struct.error):
        return 0
    return number(name) or 0


def number(name: str) -> int | None:
    """The number in a container's name on its network, or None."""
    for pattern in _NAMES:
        if match := pattern.match(name):
            return int(match[1]) - 1
    return None


def name_of(address: str, resolver: tuple[str, int]) -> str:
    """The name that the DNS server at `resolver` gives for an IPv4 address.

    socket.gethostbyaddr would take the container's id from /etc/hosts instead. Raises OSError: no answer. ValueError:
    no name.
    """
    labels = [*reversed(address.split(".")), "in-addr", "arpa"]
    name = b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"
    question = _HEADER.pack(1, _QUESTION, 1, 0, 0, 0) + name + struct.pack(">2H", _POINTER, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(_TIMEOUT_S)
        sock.sendto(question, resolver)
        answer = sock.recv(1500)
    if not _HEADER.unpack_from(answer)[3]:
        raise ValueError(
            f"{resolver[0]} has no name for {address}, so this replica's number is not known; start it as a service's "
            "container"
        )
    _, start = _read_name(answer, len(question))
    return _read_name(answer, start + _FIXED_BYTES)[0]


def _read_name(message: bytes, at: int) -> tuple[str, int]:
    """The name at `at` in a DNS message, and where it ends. Pointers to earlier parts of the message are followed."""
    labels, end = [], 0
    while (length := message[at]) != 0:
        if length >= 0xC0:
            end = end or at + 2
            at = struct.unpack_from(">H", message, at)[0] & 0x3FFF
            continue
        labels.append(message[at + 1 : at + 1 + length].decode())
        at += 1 + length
    return ".".join(labels) + ".", end or at + 1


def _resolver() -> tuple[str, int]:
    for line in Path("/etc/resolv.conf").read_text().splitlines():
        match line.split():
            case ["nameserver", address]:
                return address, 53
    raise ValueError(
        "/etc/resolv.conf names no server, so this replica's number cannot be looked up; give the container a network "
        "with DNS"
    )
