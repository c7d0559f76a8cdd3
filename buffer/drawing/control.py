"""What the reader asks of buffers besides rows: what they hold, when there is more, and to drop it."""

from __future__ import annotations

import threading
import time
from typing import Any, Protocol

from kaimesh.buffer.items import Progress
from kaimesh.contract.errors import PeerError
from kaimesh.wire.client import FrameClient

_ANSWER_S = 5.0


class Control(Protocol):
    """What a reader asks a buffer's ingest side; `kaimesh.buffer.ingest.Ingest` itself can be one, in the same process."""

    def describe(self) -> dict[str, Any]:
        """See buffer/ingest. Raises PeerError: it does not answer."""

    def drop(self) -> None:
        """Empties the table. Raises PeerError: it does not answer."""

    def await_items(self, known: int, enough: int, left: bool, timeout_s: float) -> Progress:
        """How many items went in, once that are `enough` more than `known`, or fewer and no more come, or a new life's; after a second at
        the latest, whatever it is then.

        left: at once, and with how many are left to be drawn. Raises PeerError: it does not answer.
        """


class RemoteControl:
    """A buffer's ingest port, connected again where it was lost. One thread calls it; another one may call `end`.

    answer_s: how long it waits for a connection and for an answer.
    """

    def __init__(self, address: str, token: str, name: str) -> None:
        self._address, self._token, self._name = address, token, name
        self._client: FrameClient | None = None
        self._lost_at: float | None = None
        self._stop = threading.Event()
        self.answer_s = _ANSWER_S

    def describe(self) -> dict[str, Any]:
        """See Control."""
        return self._call({"do": "describe"})

    def drop(self) -> None:
        """See Control."""
        self._call({"do": "drop"})

    def await_items(self, known: int, enough: int, left: bool, timeout_s: float) -> Progress:
        """See Control."""
        del timeout_s  # the server's own is a second
        answer = self._call({"do": "wait", "known": known, "enough": enough, "left": left})
        counts: list[Any] = [answer.get(name) for name in Progress._fields]
        progress = Progress(*counts)
        if not all(type(count) is int for count in progress) or (left and progress.left < 0):
            raise PeerError(f"{self._address} answered a wait with {answer!s:.80}, which are no counts of items")
        return progress

    def end(self) -> None:
        """Ends, from another thread, a call that is under way: it raises."""
        self._stop.set()
        if (client := self._client) is not None:
            client.shutdown()

    def close(self) -> None:
        """Closes the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _call(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            if self._client is None:
                self._client = FrameClient(
                    self._address,
                    token=self._token,
                    role="reader",
                    name=self._name,
                    timeout_s=self.answer_s,
                    stop=self._stop,
                )
            answer = self._client.call(request, self.answer_s)
            self._lost_at = None
            return answer
        except PeerError as error:
            self.close()
            self._lost_at = self._lost_at or time.monotonic()
            raise PeerError(
                f"{self._address} does not answer since {time.monotonic() - self._lost_at:.0f} s ({error})"
            ) from error
