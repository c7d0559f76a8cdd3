"""Calls the agent for the rows of a lane, and sends each client its part of the answer, or the error of its rows."""

from __future__ import annotations

import logging
import traceback
from typing import NamedTuple

from kaimesh.actor.batcher import Batcher, Lane
from kaimesh.actor.peers import Peer
from kaimesh.actor.retry import retry_in_halves
from kaimesh.contract.arrays import ALIGN_BYTES, Batch, Specs, view_columns
from kaimesh.contract.errors import AgentError, MeshError
from kaimesh.process.meter import Meter
from kaimesh.wire import frame as wire
from kaimesh.wire.connection import Connection
from kaimesh.wire.frame import DATA, ERROR, SPECS, Header
from kaimesh.wire.internal import internal_error
from kaimesh.wire.server import FrameServer

_PADDING = bytes(ALIGN_BYTES)


class Request(NamedTuple):
    """A request: rows `start` up to `start + rows` of a lane, and the connection and the tag of its answer."""

    connection: Connection
    tag: int
    start: int
    rows: int


class Replies:
    """Sends an actor's answers."""

    def __init__(self, frames: FrameServer, batcher: Batcher, meter: Meter, logger: logging.Logger) -> None:
        self._frames, self._batcher, self._meter, self._log = frames, batcher, meter, logger
        self._phase, self._answer_phase = meter.phase("predict"), meter.phase("answer")

    def predict(self, lane: Lane) -> None:
        """Answers all requests in `lane`, and empties it."""
        requests, lane.requests = lane.requests, []
        try:
            self._call(lane, requests)
        except Exception:
            internal_error(self._meter, self._log, f"the answers to {_names(requests)}")
            for request in requests:
                self._frames.refuse(
                    request.connection,
                    "this actor failed at a prediction, so it is not answered; the actor's log has the traceback",
                )

    def _call(self, lane: Lane, requests: list[Request]) -> None:
        try:
            with self._phase:
                answer = self._batcher.run(lane)
        except MeshError as error:
            if len(requests) == 1:
                self.report(requests, error)
            else:
                self._retry(lane, requests)
            return
        assert lane.act_specs is not None
        self._scatter(answer, lane.act_specs, requests)

    def _retry(self, lane: Lane, requests: list[Request]) -> None:
        """After a call that failed: sends each request its own answer or error, in the order of the requests."""
        rows = lane.last(sum(request.rows for request in requests))
        with self._phase:
            outcomes = retry_in_halves(self._batcher, lane, rows, [request.rows for request in requests])
        failed: dict[str, list[Request]] = {}
        for request, outcome in zip(requests, outcomes, strict=True):
            if isinstance(outcome, Batch):
                self._scatter(outcome, outcome.specs, [request._replace(start=0)])
            else:
                failed.setdefault(f"{outcome}\n{trace_of(outcome)}", []).append(request)
                self.fail(request.connection, request.tag, str(outcome), trace_of(outcome))
        for text, affected in failed.items():
            self._log.error("%s (sent to %s)", text, _names(affected))

    def predict_alone(self, connection: Connection, header: Header, lane: Lane, payload: memoryview | bytes) -> None:
        """Answers a request of more than max_rows rows, by several calls of the agent."""
        rows = view_columns(memoryview(payload), lane.specs, header.rows)
        request = Request(connection, header.tag, 0, header.rows)
        try:
            with self._phase:
                (answer,) = self._batcher.predict([rows], lane.method)
        except MeshError as error:
            self.report([request], error)
            return
        self._scatter(answer, answer.specs, [request])

    def _scatter(self, answer: Batch, specs: Specs, requests: list[Request]) -> None:
        with self._answer_phase:
            self._send(answer, specs, requests)

    def _send(self, answer: Batch, specs: Specs, requests: list[Request]) -> None:
        """Sends each request its rows of every column, in wire layout."""
        version = self._batcher.version
        columns = [(column.tobytes(), column.nbytes // len(answer)) for column in answer.columns.values()]
        for connection, tag, start, rows in requests:
            peer: Peer = connection.state
            if peer.act_specs is not specs:
                if peer.act_specs != specs:
                    self._frames.send_json(connection, SPECS, {"specs": specs.to_json()})
                peer.act_specs = specs
            pieces, length = [b""], 0  # the first piece becomes the header, which contains the length
            for column, size in columns:
                pieces.append(column[start * size : (start + rows) * size])
                remainder = -(rows * size) % ALIGN_BYTES
                if remainder:
                    pieces.append(_PADDING[:remainder])
                length += rows * size + remainder
            pieces[0] = wire.encode(DATA, length, rows=rows, tag=tag, version=version)
            self._frames.write(connection, b"".join(pieces))

    def report(self, requests: list[Request], error: MeshError) -> None:
        """Sends `error`, with the agent's traceback, as the answer to every request, and logs it."""
        trace = trace_of(error)
        self._log.error("%s (sent to %s)\n%s", error, _names(requests), trace)
        for request in requests:
            self.fail(request.connection, request.tag, str(error), trace)

    def fail(self, connection: Connection, tag: int, message: str, trace: str = "") -> None:
        """Sends an ERROR frame."""
        self._frames.send_json(connection, ERROR, {"message": message, "traceback": trace}, tag=tag)


def _names(requests: list[Request]) -> str:
    return ", ".join(request.connection.name for request in requests)


def trace_of(error: MeshError) -> str:
    """The traceback of the agent's own exception; "": `error` has another cause."""
    cause = error.__cause__
    return "".join(traceback.format_exception(cause)) if isinstance(error, AgentError) and cause else ""
