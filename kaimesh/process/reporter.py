"""Sends the content of a process's status file to a cluster's monitor, once a second, over framed TCP.

The mesh does not need the monitor: while it is away nothing waits for it, and when it is back it gets the newest
status.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from kaimesh.contract.errors import MeshError
from kaimesh.process.meter import Meter
from kaimesh.wire.client import FrameClient

ROLE = "reporter"
_ANSWER_S = 5.0
_RETRY_S = 1.0


class Reporter:
    """Sends each snapshot of `meter` to `address`, in a thread of its own. If the monitor is slow, some are left out.

    Counters are sent as counted since this process started. The monitor adds them up over restarts, on whatever
    machine.
    """

    def __init__(self, address: str, token: str, meter: Meter, logger: logging.Logger) -> None:
        self._address, self._token, self._meter, self._log = address, token, meter, logger
        self._latest: dict[str, Any] | None = None
        self._wake, self._closed = threading.Event(), threading.Event()
        self._client: FrameClient | None = None
        self._complaint = ""
        meter.listeners.append(self._take)
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Sends the last status, if it can; returns within some seconds."""
        self._closed.set()
        self._wake.set()
        self._thread.join(2 * _ANSWER_S)

    def _take(self, snapshot: dict[str, Any]) -> None:
        self._latest = snapshot
        self._wake.set()

    def _run(self) -> None:
        last = False
        while not last:
            self._wake.wait()
            self._wake.clear()
            last = self._closed.is_set()
            snapshot, self._latest = self._latest, None
            if snapshot is not None:
                self._tell(snapshot)
        if self._client is not None:
            self._client.close()

    def _tell(self, snapshot: dict[str, Any]) -> None:
        before = self._meter.inherited
        counters = {name: value - before.get(name, 0) for name, value in snapshot["counters"].items()}
        life = f"{snapshot['host']}/{snapshot['pid']}/{snapshot['started']:.3f}"
        try:
            if self._client is None:
                self._client = FrameClient(
                    self._address, token=self._token, role=ROLE, name=snapshot["name"], timeout_s=_ANSWER_S
                )
            self._client.call({"status": _text_cleaned({**snapshot, "counters": counters, "life": life})})
            self._complaint = ""
        except MeshError as error:  # whatever is wrong with the monitor, this process goes on
            if self._client is not None:
                self._client.close()
                self._client = None
            if not self._complaint:
                self._log.warning("the monitor: %s; trying again, training goes on", error)
            self._complaint = str(error)
            self._closed.wait(_RETRY_S)


def _text_cleaned(snapshot: dict[str, Any]) -> dict[str, Any]:
    """The snapshot with text that is not valid Unicode (such as a path in an error message) escaped."""
    return {
        name: value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
        for name, value in snapshot.items()
    }
