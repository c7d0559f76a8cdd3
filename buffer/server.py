"""The ingest port: takes rows from writers, and fresh copies, and acknowledges them when they are stored; answers
readers' questions.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from functools import partial
from typing import Any

from kaimesh.buffer.copies import Copies
from kaimesh.buffer.ingest import Ingest
from kaimesh.buffer.sending.sender import REFRESHER, WRITER
from kaimesh.buffer.waiting import Waiting
from kaimesh.config.roles import Right, Rights
from kaimesh.contract.arrays import Specs, view_columns
from kaimesh.contract.errors import MeshError, SampleError
from kaimesh.contract.spaces import Spaces
from kaimesh.contract.untrusted import clean
from kaimesh.process.meter import Meter
from kaimesh.wire.connection import Connection, Hello
from kaimesh.wire.frame import ACK, CONTROL, ERROR, from_json
from kaimesh.wire.gate import OWN_RIGHTS, Caller
from kaimesh.wire.server import FrameServer

# What a request needs; `flush` needs nothing.
_NEEDS = {"describe": Right.DRAW, "wait": Right.DRAW, "pace": Right.PACE, "drop": Right.DROP}
_MOST_FLUSHES = 16  # that one peer may have requested and not got
_IDLE_S = 0.05
_COMING_S = 0.005
_PIECES_S = 0.1  # acknowledgements wait for a frame that is arriving, but no longer than this
_UNDRAWN_S = 0.5  # how long `drain` waits for room in a full table while no reader is connected
_FULL_S = 0.01  # a table that took nothing for this long counts as full
_FULL_POLL_S = 0.005  # while it is full, the loop waits this long for readers' questions instead of waiting in Reverb
_GLANCE_S = 0.001  # and this long in Reverb


_Table = Ingest | Copies


class IngestServer:
    """Serves `ingest`; one thread calls `step` for ever.

    bind: host and port; port 0 picks one. token: the mesh token. rights: of each role in the mesh.
    Raises OSError: the port is taken.
    """

    def __init__(
        self,
        bind: tuple[str, int],
        *,
        token: str,
        rights: Rights = OWN_RIGHTS,
        ingest: Ingest,
        meter: Meter,
        logger: logging.Logger | None = None,
    ) -> None:
        self._ingest, self._meter = ingest, meter
        self._log = logger or logging.getLogger("buffer")
        self._server = FrameServer(
            bind,
            token=token,
            rights=rights,
            roles={
                WRITER: (Right.INSERT,),
                REFRESHER: (Right.REFRESH,),
                "reader": (Right.DRAW, Right.PACE, Right.DROP),
            },
            on_hello=self._on_hello,
            on_close=self._leave,
            meter=meter,
            logger=self._log,
        )
        self.port = self._server.port
        # By table: (value that `stored` must reach, peer, tag)
        self._unacknowledged: dict[_Table, deque[tuple[int, Connection, int]]] = {
            ingest: deque(),
            ingest.copies: deque(),
        }
        self._early: dict[Connection, Specs] = {}  # refreshers who came before a writer said what samples are
        self._flushes: list[tuple[Connection, int]] = []  # requested ones: the peer and the tag
        self._waiting = Waiting()
        # Called inside an insert, so readers that want the undrawn items counted must wait: Reverb is asked for that,
        # and if it did not answer, the writer's frame would be refused.
        ingest.on_items = lambda: self._tell(counted=False)
        self._more = False
        self._rows_came = 0.0  # when the last rows arrived

    def step(self) -> None:
        """One round of the loop: takes the frames that have arrived, writes their rows, acknowledges stored ones."""
        ingest = self._ingest
        came, full = ingest.accepted, ingest.blocked
        wait_s = _FULL_POLL_S if full else _COMING_S if self._more else 0.0
        if ingest.settled:
            wait_s = self._waiting.most_s(_IDLE_S)
        self._server.serve(self._server.poll(wait_s), self._serve)
        self._tell()
        # While a large frame arrives in pieces, more rows are coming, so no time is spent on waiting for Reverb. Only
        # writers count here: a learner that keeps asking must not delay the acknowledgement of the last samples.
        writers = (c for c in self._server.connections if c.state is not None)
        now = time.monotonic()
        if ingest.accepted > came:
            self._rows_came = now
        coming = now - self._rows_came < _PIECES_S and not ingest.blocked and any(c.mid_frame for c in writers)
        self._more = ingest.accepted > came or coming
        timeout_s = _GLANCE_S if full else _FULL_S
        if self._flushes:
            self._answer_flushes(ingest.flush(timeout_s))
        else:  # a full table accepts new frames as soon as only a few items wait for room, so that drawing never pauses
            ingest.flush(timeout_s, partial=False, more=self._more or full)
        self._acknowledge()
        self._tell()
        self._let_in()
        self._hold_back()

    def close(self) -> None:
        """Closes the port and every connection."""
        self._server.stop()

    def drain(self, timeout_s: float) -> bool:
        """Before the end: writes and acknowledges all accepted rows, the open item too; False if the table is full.

        A learner that is connected goes on drawing and makes room, so its questions are answered meanwhile. Without one
        nobody will make room, and the wait is short.
        """
        started = time.monotonic()
        for connection in self._server.connections:
            if connection.state is not None:
                self._server.pause(connection, True)
        while not (done := self._ingest.flush(min(timeout_s, _FULL_S))):
            most_s = timeout_s if self._drawn_from() else min(timeout_s, _UNDRAWN_S)
            if time.monotonic() - started >= most_s:
                break
            self._server.serve(self._server.poll(0.0), self._serve)
            self._tell()
        self._tell()
        self._acknowledge()
        return done

    def _drawn_from(self) -> bool:
        """Whether a reader is connected."""
        hellos = (connection.hello for connection in self._server.connections)
        return any(hello is not None and hello.role == "reader" for hello in hellos)

    def _on_hello(self, connection: Connection, hello: Hello) -> dict[str, Any]:
        if hello.role == "reader":
            return {}
        again = hello.role == REFRESHER
        spaces = None if hello.spaces is None or again else Spaces.from_json(hello.spaces)
        if hello.specs is None:  # the writer has no sample yet
            self._ingest.announce(spaces)
            return {}
        if again and not self._ingest.copies.needed:
            raise SampleError(
                "this buffer has no table for fresh copies, so none was stored; start it with reanalyse_count above 0"
            )
        specs = Specs.from_json(hello.specs)
        if not specs.row_bytes:
            raise SampleError(
                f"samples of {len(specs)} fields and no bytes cannot be stored, so nothing can be learned; give "
                "`learn` at least one value"
            )
        if again and self._ingest.specs is None:  # what a sample is, a writer says
            self._early[connection] = specs
            self._server.pause(connection, True)
            return {}
        self._ingest.declare(specs, spaces)  # copies have the fields of the samples
        connection.state = self._ingest.copies if again else self._ingest
        return {}

    def _let_in(self) -> None:
        """Serves the refreshers who waited for a writer; one who declared other samples is refused."""
        if not self._early or self._ingest.specs is None:
            return
        early, self._early = self._early, {}
        for connection, specs in early.items():
            self._server.pause(connection, False)
            self._server.serve([connection], partial(self._admit, specs=specs))

    def _admit(self, connection: Connection, specs: Specs) -> None:
        self._ingest.declare(specs, None)
        connection.state = self._ingest.copies

    def _leave(self, connection: Connection) -> None:
        self._flushes = [asked for asked in self._flushes if asked[0] is not connection]
        self._early.pop(connection, None)

    def _serve(self, connection: Connection) -> None:
        header = connection.header
        assert header is not None
        try:
            if header.kind == CONTROL:
                answer = self._answer(connection)
                if answer is not None:
                    self._server.send_json(connection, CONTROL, answer, tag=header.tag)
                return
            if connection.state is None:
                raise SampleError(
                    f"{header.rows} samples from a client that declared none; they cannot be read and were not stored. "
                    "Send `specs` in HELLO."
                )
            table: _Table = connection.state
            assert table.specs is not None
            batch = view_columns(connection.payload, table.specs, header.rows)
            accepted = table.insert(batch, connection.payload if header.rows == 1 else None)
            self._unacknowledged[table].append((accepted, connection, header.tag))
        except MeshError as error:
            message = f"{connection.name}: {error}"
            self._log.error("refused: %s", message)
            self._meter.count("refused_frames")
            self._server.send_json(connection, ERROR, {"message": message, "traceback": ""}, tag=header.tag)

    def _answer(self, connection: Connection) -> dict[str, Any] | None:
        """The answer to a request; None if it is sent later."""
        request = from_json(connection.payload)
        action = request.get("do")
        if isinstance(action, str) and action in _NEEDS and connection.caller is not None:
            connection.caller.want(_NEEDS[action], loss=f"the buffer did not {action}")
        if action == "describe":
            return self._ingest.describe(_drawn_of(request, connection.caller))
        if action == "flush":
            assert connection.header is not None
            if sum(asker is connection for asker, _ in self._flushes) >= _MOST_FLUSHES:
                raise SampleError(
                    f"{_MOST_FLUSHES} flushes were asked for and are not done yet; this one was refused: wait for those"
                )
            self._flushes.append((connection, connection.header.tag))
            return None
        if action == "wait":
            assert connection.header is not None
            self._waiting.add(connection, connection.header.tag, request)
            return None
        if action == "pace":
            return {"positions": self._ingest.pace(_most_of(request))}
        if action == "drop":
            self._ingest.drop()
            return {}
        raise SampleError(
            f"{clean(repr(action), 80)} cannot be done here, so nothing was; describe, flush, wait, pace and drop can. "
            "Run the same version of kaimesh at both ends."
        )

    def _answer_flushes(self, done: bool) -> None:
        if done:
            for connection, tag in self._flushes:
                self._server.send_json(connection, CONTROL, {}, tag=tag)
            self._flushes.clear()

    def _tell(self, counted: bool = True) -> None:
        """Answers the readers that wait for items, as far as `Waiting.due` says."""
        for connection, tag, count_undrawn in self._waiting.due(self._ingest.progress, counted=counted):
            answer = self._ingest.with_undrawn() if count_undrawn else self._ingest.progress
            self._server.send_json(connection, CONTROL, answer._asdict(), tag=tag)

    def _acknowledge(self) -> None:
        for table, waiting in self._unacknowledged.items():
            if waiting and waiting[0][0] <= table.stored:
                self._meter.keep()  # before anybody is told that they are stored, they are in the books
            while waiting and waiting[0][0] <= table.stored:
                _, connection, tag = waiting.popleft()
                self._server.send(connection, ACK, [], tag=tag)

    def _hold_back(self) -> None:
        """Stops reading from the writers while the table is full or the learner is behind (back-pressure); sets the
        process's state.
        """
        blocked, behind = self._ingest.blocked, self._ingest.held_back
        for connection in self._server.connections:
            if connection.state is self._ingest:
                self._server.pause(connection, blocked or behind)
        if blocked:
            plan = self._ingest.plan
            assert plan is not None
            rows = plan.capacity_items * plan.rows_per_item
            full = f"the queue is full ({rows:,} samples)"
            paced = "the table takes no more until more samples are drawn from it (reverb_samples_per_insert)"
            self._meter.state("waiting", f"learner: {full if plan.kind == 'queue' else paced}")
        elif behind:
            self._meter.state("waiting", "learner: it is to learn more from what is here first (replay_ratio)")
        elif self._ingest.plan is None:
            self._meter.state("ready", "no aisrv has sent anything yet")
        else:
            self._meter.state("working")


def _drawn_of(request: dict[str, Any], caller: Caller | None) -> int:
    """How many samples have arrived, which the learner alone may say. Raises Denied."""
    drawn = request.get("drawn")
    if type(drawn) is not int or drawn <= 0:
        return 0
    if caller is not None:
        caller.want(Right.PACE, loss=f"the buffer did not count {drawn} samples as drawn")
    return drawn


def _most_of(request: dict[str, Any]) -> float | None:
    """How many positions the learner allows. Raises SampleError: the request has no such number."""
    most = request.get("most")
    if most is None:
        return None
    if type(most) not in (int, float) or not most >= 0:
        raise SampleError(
            f"a pace wants a number of positions, not {clean(repr(most), 80)}; it was not changed. Use this version's "
            "learner."
        )
    return float(most)
