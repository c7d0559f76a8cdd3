"""Whether a Reverb server answers. A draw cannot tell: if the server dies, it neither ends nor fails."""

from __future__ import annotations

import logging
import threading
import time

import reverb

_PROBE_S = 1.0
_PROBE_TIMEOUT_S = 2


class Probe:
    """Asks the server at `address` once a second, in a thread of its own."""

    def __init__(self, address: str, logger: logging.Logger) -> None:
        self._address, self._log = address, logger
        self._silent_since: float | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"probe {address}", daemon=True)
        self._thread.start()

    @property
    def silent_s(self) -> float:
        """Seconds since the server stopped answering; 0 while it answers."""
        since = self._silent_since
        return 0.0 if since is None else time.monotonic() - since

    def close(self) -> None:
        """Ends the thread soon; does not wait for an answer of the server."""
        self._closed.set()

    def _run(self) -> None:
        client = reverb.Client(self._address)
        while True:
            try:
                client.server_info(timeout=_PROBE_TIMEOUT_S)
                if self._silent_since is not None:
                    self._log.info(
                        "%s answers again after %.0f s; Reverb draws from it within 10 s", self._address, self.silent_s
                    )
                    self._silent_since = None
            except (reverb.errors.ReverbError, RuntimeError) as error:
                if self._silent_since is None and not self._closed.is_set():
                    self._log.warning("%s does not answer: %s", self._address, str(error).splitlines()[0])
                    self._silent_since = time.monotonic()
            if self._closed.wait(_PROBE_S):
                return
