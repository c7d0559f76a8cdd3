"""Errors that are our own bugs: logged with their traceback and counted, wherever a server goes on after one."""

from __future__ import annotations

import logging
from typing import Protocol

INTERNAL_ERRORS = "internal_errors"  # a counter of the process's status; a run in which it is not 0 has met a bug


class Counts(Protocol):
    """What a process counts with, such as its meter."""

    def count(self, name: str) -> None:
        """Adds one to a counter."""


def internal_error(meter: Counts | None, log: logging.Logger, where: str) -> None:
    """Logs the exception that is being handled, which nobody expected at `where`, and counts it."""
    if meter is not None:
        meter.count(INTERNAL_ERRORS)
    log.exception("internal error: %s; please report it with this traceback", where)
