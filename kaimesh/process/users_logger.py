"""The logger that agents and workflows of a folder (`--code`) get: any arguments, in either style of formatting."""

from __future__ import annotations

import logging
from typing import Any


class UsersLogger:
    """Passes messages on to `logger`. They may be formatted already, or have arguments for `%` or for `{}`; one that
    fits neither is logged as it is, with its arguments.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def __getattr__(self, name: str) -> Any:
        return getattr(self._logger, name)

    def debug(self, message: Any, *args: Any, **named: Any) -> None:
        """As logging has it."""
        self._log(logging.DEBUG, message, args, named)

    trace = debug

    def info(self, message: Any, *args: Any, **named: Any) -> None:
        """As logging has it."""
        self._log(logging.INFO, message, args, named)

    success = info

    def warning(self, message: Any, *args: Any, **named: Any) -> None:
        """As logging has it."""
        self._log(logging.WARNING, message, args, named)

    warn = warning

    def error(self, message: Any, *args: Any, **named: Any) -> None:
        """As logging has it."""
        self._log(logging.ERROR, message, args, named)

    def critical(self, message: Any, *args: Any, **named: Any) -> None:
        """As logging has it."""
        self._log(logging.CRITICAL, message, args, named)

    def exception(self, message: Any, *args: Any, **named: Any) -> None:
        """As logging has it: with the traceback of the error that is being handled."""
        self._log(logging.ERROR, message, args, {"exc_info": True, **named})

    def _log(self, level: int, message: Any, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        if self._logger.isEnabledFor(level):
            trace = bool(named.pop("exc_info", False))
            self._logger.log(level, "%s", _formatted(str(message), args, named), exc_info=trace, stacklevel=3)


def _formatted(text: str, args: tuple[Any, ...], named: dict[str, Any]) -> str:
    if not args and not named:
        return text
    try:
        return text % args
    except (TypeError, ValueError):
        pass
    try:
        found = text.format(*args, **named)
    except (LookupError, ValueError, AttributeError):
        found = text
    return found if found != text else " ".join([text, *map(str, args)])
