"""An aisrv's connection to one of the actors, and the requests that it has sent and that are not answered yet."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from kaimesh.contract.arrays import Batch, Specs
from kaimesh.contract.errors import AgentError, MeshError, PeerError, Refused, SampleError, Stopped
from kaimesh.contract.predicting import LATEST, REANALYSE, ModelId, only_latest
from kaimesh.contract.spaces import Spaces
from kaimesh.contract.untrusted import clean
from kaimesh.process.meter import Meter
from kaimesh.wire import frame as wire
from kaimesh.wire.client import FrameClient, refusal_of, resolved
from kaimesh.wire.frame import CONTROL, REFUSED, BadFrame, Header, Late

PLAYER, REANALYSER = "player", "reanalyser"  # as what a client connects
_CHECK_S = 0.5  # how often a wait looks at `stop` and updates the meter
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 1.0
_CONNECT_S = 10.0


_Column = tuple[str, np.dtype[Any], tuple[int, ...]]  # name, dtype and shape of one row


class _Request(NamedTuple):
    tag: int
    batch: Batch
    exploit: bool


class ActorClient:
    """Gets predictions from one of the actors at `addrs`, and from the next one when that dies. Not thread-safe.

    Requests without an answer are sent again to the next actor, so the caller only notices a pause. While no actor
    answers, it waits for ever, because the supervisor starts them again; the meter says for how long it has waited.

    addrs: "host:port"; a host name with several IP addresses stands for as many actors. name: the caller's, unique in
    the mesh. turn: the caller's number among all callers; caller i uses actor i modulo the number of actors, which
    spreads callers evenly. None: by the hash of `name`, which often puts four callers on one of two actors.
    spaces: of the caller's environment; agents with `setup` need them. timeout_s: how long it waits for one answer
    before it uses the next actor. role: as what it connects; a REANALYSER's requests are for the agent's `reanalyse`.

    Every call raises Stopped when `stop` is set, Refused if an actor does not accept this client (token, observations),
    and AgentError, with the original traceback, if the agent raised.
    """

    def __init__(
        self,
        addrs: Sequence[str],
        *,
        token: str,
        name: str,
        meter: Meter,
        stop: threading.Event,
        spaces: Spaces | None,
        timeout_s: float,
        turn: int | None = None,
        role: str = PLAYER,
    ) -> None:
        self._addrs, self._token, self._name, self._meter, self._stop = tuple(addrs), token, name, meter, stop
        self._spaces, self._timeout_s, self._role = spaces, timeout_s, role
        hashed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        self._turn = hashed if turn is None else turn  # selects the actor; one more after each actor that failed
        self._specs: Specs | None = None
        self._columns: list[_Column] = []  # the same as `_specs`, to compare a batch with
        self._client: FrameClient | None = None
        self._unanswered: deque[_Request] = deque()
        self._early: deque[tuple[Batch, int] | AgentError] = deque()  # answers that came while `_control` waited
        self._tag = 0
        self._waiting = False

    @property
    def address(self) -> str | None:
        """The address of the actor that it is connected to; None: of none."""
        return self._client.address if self._client is not None else None

    def send(self, batch: Batch, exploit: bool = False, model: ModelId = LATEST) -> None:
        """See Policy.send. `batch` must not change before its answer is received, because it may be sent again.

        model: "latest" only: an actor predicts with one model for all its clients (see `load_model`). Raises MeshError:
        `model` is not "latest".
        """
        only_latest(model, "an actor")
        if self._stop.is_set():
            raise Stopped
        if not _fits(batch, self._columns):
            self._declare(batch)
        self._tag += 1
        request = _Request(self._tag, batch, exploit)
        self._unanswered.append(request)
        if self._client is None:
            self._connect("not connected")
            return
        try:
            self._write(self._client, request)
        except PeerError as error:
            self._use_next(error)

    def receive(self) -> tuple[Batch, int]:
        """See Policy.receive. The columns are views of the receive buffer, valid until the next call of any method."""
        if self._early:
            answer = self._early.popleft()
            if isinstance(answer, AgentError):
                raise answer
            return answer
        if not self._unanswered:
            raise MeshError("receive() was called, but nothing was asked, so no answer will come; call send() first")
        while True:
            client = self._client or self._connect("not connected")
            answered = self._frame_of(client)
            if answered is None:  # it uses the next actor now, which has got the same requests
                continue
            try:
                return self._answer(client, *answered)
            except AgentError:
                raise
            except PeerError as error:
                self._leave_invalid(error)

    def predict(self, batch: Batch, exploit: bool = False) -> tuple[Batch, int]:
        """`send` and `receive`."""
        self.send(batch, exploit)
        return self.receive()

    def load_model(self, id: int | str) -> int:
        """Has the actor predict with another model of the pool: "latest", "random" or an id; returns its version.

        After an id or "random", the actor keeps that model, for all its clients, until a client asks for "latest".
        """
        return self._control({"do": "load_model", "id": id})

    def version(self) -> int:
        """The version of the model that the actor predicts with now; -1: it has none yet."""
        return self._control({"do": "version"})

    def close(self) -> None:
        """Ends the connection. It does not wait for open requests."""
        if self._client is not None:
            self._client.close()
            self._client = None
        self._unanswered.clear()

    def _declare(self, batch: Batch) -> None:
        """Closes the connection, because observations of other specs than before need a new handshake."""
        if self._unanswered:
            raise SampleError(
                f"observations changed from {self._specs} to {batch.specs} while {len(self._unanswered)} predictions "
                "were under way, and their answers would be lost; receive those first"
            )
        self._specs = batch.specs
        self._columns = [(name, column.dtype, column.shape[1:]) for name, column in batch.columns.items()]
        if self._client is not None:
            self._client.close()
            self._client = None

    def _write(self, client: FrameClient, request: _Request) -> None:
        assert self._specs is not None
        method = REANALYSE if self._role == REANALYSER else int(request.exploit)
        client.send_rows(request.batch, self._specs, method=method, tag=request.tag)

    def _answer(self, client: FrameClient, header: Header, payload: memoryview) -> tuple[Batch, int]:
        """The answer to the oldest open request.

        Raises AgentError: the answer is an error. PeerError: it is the answer to another request, or has another number
        of rows.
        """
        request = self._unanswered[0]
        if header.tag != request.tag:
            raise PeerError(
                f"{client.address} answered request {header.tag}, not {request.tag}; answers come in order, so the "
                "next actor is asked"
            )
        try:
            answer = client.rows(header, payload)
        except AgentError:
            self._unanswered.popleft()
            raise
        if header.rows != len(request.batch):
            raise PeerError(
                f"{client.address} answered {header.rows} rows for {len(request.batch)} observations; the next actor "
                "is asked"
            )
        self._unanswered.popleft()
        return answer, header.version

    def _leave_invalid(self, error: PeerError) -> None:
        """After an invalid answer: a pause, since the next actor may be the same process, then as `_use_next`."""
        self._wait(f"actor: {error}")
        if self._stop.wait(_FIRST_PAUSE_S):
            raise Stopped
        self._use_next(error)

    def _control(self, request: dict[str, Any]) -> int:
        """Sends a CONTROL request; returns the version in its answer. Answers to earlier requests are kept."""
        self._tag += 1
        tag, sent_to = self._tag, None
        while True:
            client = self._client or self._connect("not connected")
            if client is not sent_to:
                sent_to = client
                try:
                    client.send(CONTROL, [wire.to_json(request)], tag=tag)
                except PeerError as error:
                    self._use_next(error)
                    continue
            answered = self._frame_of(client)
            if answered is None:
                continue
            try:
                if answered[0].tag == tag:
                    return _version_of(client.answer_of(*answered))
                self._keep_early(client, *answered)
            except Refused:
                raise
            except PeerError as error:
                self._leave_invalid(error)

    def _keep_early(self, client: FrameClient, header: Header, payload: memoryview) -> None:
        """Copies the answer to an earlier request, for a later `receive`."""
        if not self._unanswered:
            raise PeerError(
                f"{client.address} answered request {header.tag}, which is not under way; the next actor is asked"
            )
        try:
            answer, version = self._answer(client, header, payload)
        except AgentError as error:
            self._early.append(error)
            return
        columns = {name: column.copy() for name, column in answer.columns.items()}
        self._early.append((Batch(columns), version))

    def _frame_of(self, client: FrameClient) -> tuple[Header, memoryview] | None:
        """The next answer of `client`; None: it failed, and the next actor is connected. Raises Stopped, Refused."""
        waited_s = 0.0
        while True:
            try:
                answer = client.answer(_CHECK_S)
                if answer[0].kind == REFUSED:
                    raise refusal_of(answer[1], f"{client.address} refused {self._name}")
                self._wait_is_over()
                return answer
            except Late:
                waited_s += _CHECK_S
                self._wait(f"actor {client.address}: no answer for {waited_s:.0f} s of {self._timeout_s:g} s")
                if waited_s >= self._timeout_s:
                    self._use_next(PeerError(f"no answer within {self._timeout_s:g} s; the next actor is asked"))
                    return None
            except Refused:
                raise
            except BadFrame as error:
                self._leave_invalid(error)
                return None
            except PeerError as error:
                self._use_next(error)
                return None

    def _use_next(self, error: PeerError) -> None:
        """Connects to the next actor, and sends it all open requests."""
        self._leave()
        self._connect(str(error))

    def _leave(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
        self._turn += 1

    def _connect(self, why: str) -> FrameClient:
        """Tries one actor after the other until one has accepted this client and all its open requests."""
        began, pause_s, tried = time.monotonic(), _FIRST_PAUSE_S, 0
        while True:
            actors = resolved(self._addrs)
            try:
                self._client = client = self._greet(actors[self._turn % len(actors)])
                for request in self._unanswered:
                    self._write(client, request)
                self._wait_is_over()
                return client
            except Refused:
                raise
            except PeerError as error:
                why = str(error)
                self._leave()
            tried += 1
            self._wait(f"actor {', '.join(self._addrs)}: none answers for {time.monotonic() - began:.0f} s ({why})")
            if tried % len(actors) == 0:
                if self._stop.wait(pause_s):
                    raise Stopped
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _greet(self, address: str) -> FrameClient:
        hello = {
            "specs": None if self._specs is None else self._specs.to_json(),
            "spaces": None if self._spaces is None else self._spaces.to_json(),
        }
        return FrameClient(
            address,
            token=self._token,
            role=self._role,
            name=self._name,
            hello=hello,
            timeout_s=min(self._timeout_s, _CONNECT_S),
            stop=self._stop,
            read_ahead=True,
        )

    def _wait(self, blocked_on: str) -> None:
        if self._stop.is_set():
            raise Stopped
        self._waiting = True
        self._meter.state("waiting", blocked_on)

    def _wait_is_over(self) -> None:
        if self._waiting:
            self._waiting = False
            self._meter.state("working")


def _version_of(answer: dict[str, Any]) -> int:
    version = answer.get("version")
    if not isinstance(version, int):
        raise PeerError(f"an actor answered with no version, but {clean(repr(answer), 80)}; the next actor is asked")
    return version


def _fits(batch: Batch, wanted: list[_Column]) -> bool:
    """Whether `batch` has exactly the columns `wanted`; False if `wanted` is empty."""
    columns = batch.columns
    if not wanted or len(columns) != len(wanted):
        return False
    for name, dtype, shape in wanted:
        column = columns.get(name)
        if column is None or column.dtype != dtype or column.shape[1:] != shape:
            return False
    return True
