"""What the reader asks of the buffers' ingest ports: what they hold, whether there are new items, to drop all."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, Protocol

from kaimesh.buffer.drawing.accounts import Accounts
from kaimesh.buffer.drawing.total import Total
from kaimesh.buffer.items import Progress
from kaimesh.contract.errors import PeerError
from kaimesh.wire.client import FrameClient

_ANSWER_S = 5.0


class Control(Protocol):
    """What a reader asks one buffer.

    `kaimesh.buffer.ingest.Ingest` implements it too, for a buffer in the same process.
    """

    def describe(self, drawn: int = 0) -> dict[str, Any]:
        """See buffer/ingest. Raises PeerError: the buffer does not answer."""

    def drop(self) -> None:
        """Empties the table. Raises PeerError: the buffer does not answer."""

    def pace(self, most: float | None) -> int:
        """Lets it take `most` positions over all its lives, None: what a first learn needs.

        Returns how many it has taken. Raises PeerError: the buffer does not answer.
        """
        ...

    def await_items(self, known: int, enough: int, count_undrawn: bool, timeout_s: float) -> Progress:
        """Waits until there are new items; returns how many were given to Reverb so far.

        It returns when `enough` items more than `known` were given, when fewer were and no more come, when the count is
        below `known` because the buffer has restarted, and after a second in any case.

        count_undrawn: returns at once, with the number of items that are still to be drawn.
        Raises PeerError: the buffer does not answer.
        """


class Controls:
    """All buffers of a learner, asked together. One thread calls it. accounts: of queues; None: others."""

    def __init__(self, controls: Sequence[Control], accounts: Accounts | None = None) -> None:
        self.each = list(controls)
        self._accounts = accounts
        self._inserted = [Total() for _ in controls]
        self._drawn = [Total() for _ in controls]
        self._positions = [Total() for _ in controls]

    def describe(self) -> list[dict[str, Any]]:
        """What each buffer that answers says of itself. Raises PeerError: none answers."""
        answers, errors = [], []
        for index, (control, inserted, drawn) in enumerate(zip(self.each, self._inserted, self._drawn, strict=True)):
            try:
                data = control.describe(0 if self._accounts is None else self._accounts.drawn(index))
            except PeerError as error:
                errors.append(error)
                continue
            inserted.update(data.get("inserted", 0))
            drawn.update(data.get("sampled", 0))
            if self._accounts is not None and "sampled" in data:
                self._accounts.heard(index, data["sampled"])
            answers.append(data)
        if not answers:
            raise errors[0]
        return answers

    def pace(self, more: float | None) -> int:
        """Lets each buffer take `more` positions than it had by its last answer, None: what a first learn needs.

        Returns the positions that all have ever taken. Raises PeerError: none answers.
        """
        errors = []
        for control, positions in zip(self.each, self._positions, strict=True):
            try:
                positions.update(control.pace(None if more is None else positions.last + more))
            except PeerError as error:
                errors.append(error)
        if len(errors) == len(self.each):
            raise errors[0]
        return sum(positions.total for positions in self._positions)

    @property
    def inserted(self) -> int:
        """Rows ever inserted, by the last answers of all buffers, over their restarts."""
        return sum(total.total for total in self._inserted)

    @property
    def drawn(self) -> int:
        """Rows drawn since the first answer, in the same way."""
        return sum(total.since_first for total in self._drawn)

    def settle(self) -> None:
        """At the end: all rows that the buffers' last answers count as drawn are in the accounts."""
        for index, drawn in enumerate(self._drawn):
            if self._accounts is not None:
                self._accounts.settle(index, drawn.last)

    def drop(self) -> None:
        """Empties every table. Raises PeerError: a buffer does not answer."""
        for control in self.each:
            control.drop()

    def limit_wait(self, seconds: float) -> None:
        """From now on waits no longer than `seconds` for the answers of all buffers together."""
        for control in self.each:
            if isinstance(control, RemoteControl):
                control.answer_s = seconds / len(self.each)

    def close(self) -> None:
        """Closes the connections."""
        for control in self.each:
            if isinstance(control, RemoteControl):
                control.close()


class RemoteControl:
    """The connection to a buffer's ingest port; connects again after it was lost.

    One thread calls it; another one may call `end`. answer_s: how long it waits for a connection and for an answer.
    """

    def __init__(self, address: str, token: str, name: str) -> None:
        self._address, self._token, self._name = address, token, name
        self._client: FrameClient | None = None
        self._lost_at: float | None = None
        self._stop = threading.Event()
        self.answer_s = _ANSWER_S

    def describe(self, drawn: int = 0) -> dict[str, Any]:
        """See Control."""
        return self._call({"do": "describe", "drawn": drawn})

    def drop(self) -> None:
        """See Control."""
        self._call({"do": "drop"})

    def pace(self, most: float | None) -> int:
        """See Control."""
        positions = self._call({"do": "pace", "most": most}).get("positions")
        if type(positions) is not int:
            raise PeerError(
                f"{self._address} answered with {positions!s:.80} positions; it is asked again. Run the same version "
                "of kaimesh at both ends."
            )
        return positions

    def await_items(self, known: int, enough: int, count_undrawn: bool, timeout_s: float) -> Progress:
        """See Control."""
        del timeout_s  # the server answers within a second
        answer = self._call({"do": "wait", "known": known, "enough": enough, "count_undrawn": count_undrawn})
        counts: list[Any] = [answer.get(name) for name in Progress._fields]
        progress = Progress(*counts)
        if not all(type(count) is int for count in progress) or (count_undrawn and progress.undrawn < 0):
            raise PeerError(
                f"{self._address} answered a wait with {answer!s:.80}, which are no counts of items; it is asked "
                "again. Run the same version of kaimesh at both ends."
            )
        return progress

    def end(self) -> None:
        """Makes a call in another thread raise."""
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
