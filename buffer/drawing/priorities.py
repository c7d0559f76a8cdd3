"""Sends new priorities to Reverb in the background: a thread for each server sends what has gathered since."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

import numpy as np
import reverb

from kaimesh.process.meter import Meter

_MOST_WAITING = 1 << 17  # samples per server; while a server does not answer, memory must not fill up
_CLOSE_S = 0.5


class PriorityWriter:
    """Updates the table `name` at `addresses`.

    Counters: priorities_written, priorities_lost (the server did not answer).

    If a sample gets several priorities, the last one counts. Reverb ignores those of samples that it has removed.
    """

    def __init__(self, addresses: Sequence[str], name: str, meter: Meter, logger: logging.Logger) -> None:
        self._servers = [_Server(address, name, meter, logger) for address in addresses]

    def write(self, servers: np.ndarray, keys: np.ndarray, priorities: np.ndarray) -> None:
        """Updates samples in the background. servers: int64 `[B]`, indices into `addresses`. keys: uint64 `[B]`."""
        for index, server in enumerate(self._servers):
            here = np.flatnonzero(servers == index)
            if len(here):
                server.give(dict(zip(keys[here].tolist(), priorities[here].tolist(), strict=True)))

    def close(self) -> None:
        """Sends what is waiting, but waits at most half a second for each server."""
        for server in self._servers:
            server.close()


class _Server:
    """One server's thread: Reverb's call has no deadline and retries until the server is back."""

    def __init__(self, address: str, name: str, meter: Meter, logger: logging.Logger) -> None:
        self._address, self._name, self._meter, self._log = address, name, meter, logger
        self._changed = threading.Condition()
        self._waiting: dict[int, float] = {}
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"priorities {address}", daemon=True)
        self._thread.start()

    def give(self, priorities: dict[int, float]) -> None:
        with self._changed:
            self._waiting |= priorities
            if len(self._waiting) > _MOST_WAITING:
                self._meter.count("priorities_lost", len(self._waiting))
                self._waiting = {}
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(_CLOSE_S)

    def _run(self) -> None:
        client = reverb.Client(self._address)
        while (priorities := self._take()) is not None:
            try:
                client.mutate_priorities(self._name, priorities)
            except (reverb.errors.ReverbError, RuntimeError) as error:
                self._meter.count("priorities_lost", len(priorities))
                self._log.warning("%s: new priorities were lost (%s)", self._address, str(error).splitlines()[0])
                continue
            self._meter.count("priorities_written", len(priorities))

    def _take(self) -> dict[int, float] | None:
        """Waits for new priorities and returns them; None after `close`."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting) or self._closed)
            taken, self._waiting = self._waiting, {}
            return taken or None
