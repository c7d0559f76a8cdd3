"""What the reader asks of buffers besides rows: what they hold, and to drop it."""

from __future__ import annotations

import time
from typing import Any, Protocol

from kaimesh.errors import PeerError
from kaimesh.wire.client import FrameClient

_ANSWER_S = 5.0


class Control(Protocol):
    """What a reader asks a buffer's ingest side; `buffer.ingest.Ingest` itself can be one, in the same process."""

    def describe(self) -> dict[str, Any]:
        """See buffer/ingest. Raises PeerError: it does not answer."""

    def drop(self) -> None:
        """Empties the table. Raises PeerError: it does not answer."""


class RemoteControl:
    """A buffer's ingest port, connected again where it was lost."""

    def __init__(self, address: str, token: str, name: str) -> None:
        self._address, self._token, self._name = address, token, name
        self._client: FrameClient | None = None
        self._lost_at: float | None = None

    def describe(self) -> dict[str, Any]:
        """See Control."""
        return self._call({"do": "describe"})

    def drop(self) -> None:
        """See Control."""
        self._call({"do": "drop"})

    def close(self) -> None:
        """Closes the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _call(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            if self._client is None:
                self._client = FrameClient(
                    self._address, token=self._token, role="reader", name=self._name, timeout_s=_ANSWER_S
                )
            answer = self._client.call(request)
            self._lost_at = None
            return answer
        except PeerError as error:
            self.close()
            self._lost_at = self._lost_at or time.monotonic()
            raise PeerError(
                f"{self._address} does not answer since {time.monotonic() - self._lost_at:.0f} s ({error})"
            ) from error
