"""Which of a service's replicas this container is: 0, 1, ..."""

from __future__ import annotations

import os
import re
import socket

REPLICA_VARIABLE = "KAIMESH_REPLICA"  # Swarm fills {{.Task.Slot}} in; Compose leaves the template as it is
_NAMES = (
    re.compile(r"^[^.]+\.(\d+)\.[0-9a-z]+\."),  # Swarm: stack_service.SLOT.task.network
    re.compile(r"^[^.]*-(\d+)\."),  # Compose: project-service-NUMBER.network
)


def number(name: str) -> int | None:
    """The number in a container's name on its network, or None."""
    for pattern in _NAMES:
        if match := pattern.match(name):
            return int(match[1]) - 1
    return None


def index() -> int:
    """This container's number: from the variable, else from its own name as the network's DNS has it, else 0."""
    given = os.environ.get(REPLICA_VARIABLE, "")
    if given.isdigit():
        return max(0, int(given) - 1)
    try:
        name = socket.gethostbyaddr(socket.gethostbyname(socket.gethostname()))[0]
    except OSError:
        return 0
    return number(name) or 0
