"""Log lines: text for people, or one JSON object a line for machines that gather the logs of many processes."""

from __future__ import annotations

import io
import logging
import os
import socket
import sys
import time

from kaimesh.contract.json_text import json_text

HOST_VARIABLE = "KAIMESH_HOST"  # the machine's name, where a container knows it


def host() -> str:
    """The machine that this process is on, or its container; a template that nobody filled in is no name."""
    named = os.environ.get(HOST_VARIABLE, "")
    return named if named and "{{" not in named else socket.gethostname()


class JsonLines(logging.Formatter):
    """One object a line: time (ISO 8601, UTC), level, message, process, run, host, and traceback where there is one."""

    def __init__(self, process: str, run: str = "") -> None:
        super().__init__()
        self._tail = {"process": process, "run": run, "host": host()}

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        trace = {"traceback": self.formatException(record.exc_info)} if record.exc_info else {}
        return self.line(record.levelname, record.getMessage(), record.created, trace)

    def line(self, level: str, message: str, when: float, more: dict[str, str] | None = None) -> str:
        """One message as a line of JSON. when: Unix seconds. more: fields to add."""
        seconds, rest = divmod(when, 1)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(rest * 1000):03d}Z"
        return json_text(
            {"time": stamp, "level": level, "message": message, **self._tail, **(more or {})}, ensure_ascii=False
        )


def configure(name: str, level: str = "INFO", form: str = "text", run: str = "") -> logging.Logger:
    """One line per message on stdout, which supervisord or the container engine keeps. form: "text" or "json"."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # half a surrogate pair in an error's words must not cost the line
        sys.stdout.reconfigure(errors="backslashreplace")
    handler = logging.StreamHandler(sys.stdout)
    text = logging.Formatter(f"%(asctime)s %(levelname)-7s {name} | %(message)s", datefmt="%H:%M:%S")
    handler.setFormatter(JsonLines(name, run) if form == "json" else text)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    return logging.getLogger(name)
