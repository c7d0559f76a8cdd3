"""Unexpected exceptions in a server, which are our own bugs: logged with the traceback and counted."""

from __future__ import annotations

import logging
from typing import Protocol

INTERNAL_ERRORS = "internal_errors"  # a counter in the process's status; above 0, a bug was met in this run


class Counts(Protocol):
    """Something that counts by name, such as a process's meter."""

    def count(self, name: str) -> None:
        """Adds one to a counter."""


def internal_error(meter: Counts | None, log: logging.Logger, where: str) -> None:
    """Logs and counts the exception that is being handled. where: what the server was doing."""
    if meter is not None:
        meter.count(INTERNAL_ERRORS)
    log.exception("internal error: %s; please report it with this traceback", where)
