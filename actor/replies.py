"""Calls the agent for the rows that wait, and tells each client its part: its answer, or the error that its rows
caused.
"""

from __future__ import annotations

import logging
import traceback
from typing import NamedTuple

from kaimesh.actor.apart import tell_apart
from kaimesh.actor.batcher import Batcher, Lane
from kaimesh.actor.peers import Peer
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
    """Rows `start` up to `start + rows` of a batch, and who is told under which tag."""

    connection: Connection
    tag: int
    start: int
    rows: int


class Replies:
    """What goes out of an actor's port."""

    def __init__(self, frames: FrameServer, batcher: Batcher, meter: Meter, logger: logging.Logger) -> None:
        self._frames, self._batcher, self._meter, self._log = frames, batcher, meter, logger
        self._phase = meter.phase("predict")

    def predict(self, lane: Lane) -> None:
        """Answers all who wait in `lane`."""
        askers, lane.askers = lane.askers, []
        try:
            self._call(lane, askers)
        except Exception:
            internal_error(self._meter, self._log, f"the answers to {_names(askers)}")
            for asker in askers:
                self._frames.refuse(asker.connection, "this actor failed at a prediction; its log says how")

    def _call(self, lane: Lane, askers: list[Request]) -> None:
        try:
            with self._phase:
                answer = self._batcher.run(lane)
        except MeshError as error:
            if len(askers) == 1:
                self.report(askers, error)
            else:
                self._apart(lane, askers)
            return
        assert lane.act_specs is not None
        self._scatter(answer, lane.act_specs, askers)

    def _apart(self, lane: Lane, askers: list[Request]) -> None:
        """What failed for all together: each gets its own answer or error, in the order in which they asked."""
        rows = lane.last(sum(asker.rows for asker in askers))
        with self._phase:
            outcomes = tell_apart(self._batcher, lane, rows, [asker.rows for asker in askers])
        failed: dict[str, list[Request]] = {}
        for asker, outcome in zip(askers, outcomes, strict=True):
            if isinstance(outcome, Batch):
                self._scatter(outcome, outcome.specs, [asker._replace(start=0)])
            else:
                failed.setdefault(f"{outcome}\n{trace_of(outcome)}", []).append(asker)
                self.fail(asker.connection, asker.tag, str(outcome), trace_of(outcome))
        for words, whose in failed.items():
            self._log.error("%s (told to %s)", words, _names(whose))

    def predict_alone(self, connection: Connection, header: Header, lane: Lane, payload: memoryview | bytes) -> None:
        """A request over max_rows, in several calls."""
        rows = view_columns(memoryview(payload), lane.specs, header.rows)
        asker = Request(connection, header.tag, 0, header.rows)
        try:
            with self._phase:
                (answer,) = self._batcher.predict([rows], lane.exploit)
        except MeshError as error:
            self.report([asker], error)
            return
        self._scatter(answer, answer.specs, [asker])

    def _scatter(self, answer: Batch, specs: Specs, askers: list[Request]) -> None:
        """Each asker's rows of every column, in wire layout."""
        version = self._batcher.version
        columns = [(column.tobytes(), column.nbytes // len(answer)) for column in answer.columns.values()]
        for connection, tag, start, rows in askers:
            peer: Peer = connection.state
            if peer.act_specs is not specs:
                if peer.act_specs != specs:
                    self._frames.send_json(connection, SPECS, {"specs": specs.to_json()})
                peer.act_specs = specs
            pieces, length = [b""], 0  # the first is the header, which names the length
            for column, size in columns:
                pieces.append(column[start * size : (start + rows) * size])
                remainder = -(rows * size) % ALIGN_BYTES
                if remainder:
                    pieces.append(_PADDING[:remainder])
                length += rows * size + remainder
            pieces[0] = wire.encode(DATA, length, rows=rows, tag=tag, version=version)
            self._frames.write(connection, b"".join(pieces))

    def report(self, askers: list[Request], error: MeshError) -> None:
        """Every one of them gets the agent's own exception; the actor goes on."""
        trace = trace_of(error)
        self._log.error("%s (told to %s)\n%s", error, _names(askers), trace)
        for asker in askers:
            self.fail(asker.connection, asker.tag, str(error), trace)

    def fail(self, connection: Connection, tag: int, message: str, trace: str = "") -> None:
        """An ERROR frame."""
        self._frames.send_json(connection, ERROR, {"message": message, "traceback": trace}, tag=tag)


def _names(askers: list[Request]) -> str:
    return ", ".join(asker.connection.name for asker in askers)


def trace_of(error: MeshError) -> str:
    """Of the agent's own exception."""
    cause = error.__cause__
    return "".join(traceback.format_exception(cause)) if isinstance(error, AgentError) and cause else ""
