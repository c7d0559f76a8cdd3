"""The actor's loop, in one thread, which alone uses the agent and the sockets.

    time      ---------------------------------------------------------------------------------->
    loop      poll | swap weights if newer | gather rows | predict | send answers | poll | ......
    clients   send requests                              | send requests of the next batch ......
    models    pulls newer weights into a folder, in a thread of its own .........................

It is greedy: the requests that arrived during one batch make up the next one; those of reanalyse wait for their turn
(actor/turns). With `max_wait_s` it waits for more rows, but not longer than connected clients can be expected to send
some: each of them as many as its largest request so far.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from kaimesh.actor.batcher import Batcher, Lane
from kaimesh.actor.client import PLAYER, REANALYSER
from kaimesh.actor.models import Model, Models
from kaimesh.actor.peers import Admission, Peer
from kaimesh.actor.replies import Replies, Request, trace_of
from kaimesh.actor.requests import Version, check_pin, request_of
from kaimesh.actor.turns import Turns
from kaimesh.config.roles import Right, Rights
from kaimesh.contract.errors import AgentError, Denied, MeshError, Refused, SampleError
from kaimesh.process.meter import Meter
from kaimesh.wire.connection import Connection
from kaimesh.wire.frame import CONTROL, DATA, Header
from kaimesh.wire.gate import OWN_RIGHTS
from kaimesh.wire.server import FrameServer

_MOST_LOADS = 64  # load_model requests of clients that are not done yet
_HOLDING_POLL_S = 0.02


class ActorServer:
    """Serves the predictions of `batcher` at the address `bind`. Call `step` again and again.

    Nothing that a client sends makes it raise. Clients are refused if the agent's setup raises for their spaces. Rows
    that are not finite are answered with an error. An error of the agent is sent to the clients whose rows caused it,
    as far as that can be found out.

    token: the mesh token. rights: of each role in the mesh.
    models: brings newer weights; None: there are none. max_wait_s: see above; 0: greedy. reanalyse_share: of the rows
    that are searched while play asks too.
    """

    def __init__(
        self,
        bind: tuple[str, int],
        *,
        token: str,
        rights: Rights = OWN_RIGHTS,
        batcher: Batcher,
        models: Models | None,
        meter: Meter,
        max_wait_s: float = 0.0,
        reanalyse_share: float = 0.5,
        logger: logging.Logger | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._batcher, self._models, self._meter, self._clock = batcher, models, meter, clock
        self._max_wait_s = max_wait_s
        self._log = logger or logging.getLogger("actor")
        self._waiting: list[Lane] = []  # lanes with rows, in the order of their first request
        self._deadline = 0.0
        self._held: deque[tuple[Connection, Header, bytes]] = deque()  # requests that came before the first model
        self._turns = Turns(reanalyse_share, batcher.max_rows, clock)
        self._loads: list[tuple[Connection, int, Future[Model]]] = []  # load_model requests, with their tags
        self._admission = Admission(batcher)
        self._pinned = False  # True: a client chose the model, and newer ones are not loaded
        self._loaded: Model | None = None
        self._expected_rows = 0  # if every client sends as many rows as in its largest request
        self._wait_phase = meter.phase("wait")
        self._frames = FrameServer(
            bind,
            token=token,
            rights=rights,
            roles={PLAYER: (Right.PREDICT, Right.PIN), REANALYSER: (Right.PREDICT,)},
            on_hello=self._admission.greet,
            on_close=self._leave,
            meter=meter,
            logger=self._log,
        )
        self._replies = Replies(self._frames, batcher, meter, self._log)
        self.port = self._frames.port

    def step(self, timeout_s: float = 0.5) -> None:
        """Waits up to `timeout_s` for requests and serves them. Raises AgentError: loading the first model raised."""
        with self._wait_phase:
            ready = self._frames.poll(self._poll_s(timeout_s))
        self._update_weights()
        if self._held and self._can_serve():
            self._serve_held()
        self._frames.serve(ready, self._take_frame)
        if self._turns:
            self._turns.serve(self._search_again, playing=bool(self._waiting))
        if self._waiting and not self._worth_waiting():
            self._flush()
        self._publish_state(bool(ready))

    def close(self) -> None:
        """Closes the port and every connection."""
        self._frames.stop()

    # Requests

    def _take_frame(self, connection: Connection) -> None:
        assert connection.header is not None
        if not connection.closed:  # it may have been closed after it was read
            self._take(connection, connection.header, connection.payload)

    def _leave(self, connection: Connection) -> None:
        self._expected_rows -= connection.state.most_rows
        self._admission.leave(connection)
        self._turns.leave(connection)
        self._held = deque(held for held in self._held if held[0] is not connection)
        for load in [load for load in self._loads if load[0] is connection]:
            self._loads.remove(load)
            if not load[2].cancel():
                load[2].add_done_callback(self._discard)

    def _take(self, connection: Connection, header: Header, payload: memoryview | bytes) -> None:
        if header.kind == DATA:
            if self._can_serve():
                self._gather(connection, header, payload)
            else:
                self._hold(connection, header, payload)
        elif header.kind == CONTROL:
            self._control(connection, header, payload)
        else:
            self._frames.refuse(
                connection,
                f"an actor takes no frame of kind {header.kind} and closes the connection; send DATA or CONTROL",
            )

    def _gather(self, connection: Connection, header: Header, payload: memoryview | bytes) -> None:
        peer: Peer = connection.state
        rows, tag = header.rows, header.tag
        try:
            lane, plan = peer.lane_of(header)
        except Refused as error:
            self._frames.refuse(connection, str(error))
            return
        except SampleError as error:
            self._replies.fail(connection, tag, str(error))
            return
        if peer.again:
            self._frames.pause(connection, not self._turns.add(connection, header, payload))
            return
        if rows > peer.most_rows:
            self._expected_rows += rows - peer.most_rows
            peer.most_rows = rows
        if lane.rows + rows > lane.max_rows:
            self._flush()
            if rows > lane.max_rows:
                self._replies.predict_alone(connection, header, lane, payload)
                self._turns.played(rows)
                return
        start = lane.rows
        lane.add(
            payload, plan.offsets, rows
        )  # before the rest, because it may raise MemoryError, and then nothing must have changed
        if start == 0:
            if not self._waiting:
                self._deadline = self._clock() + self._max_wait_s
            self._waiting.append(lane)
        lane.requests.append(Request(connection, tag, start, rows))

    def _search_again(self, connection: Connection, header: Header, payload: bytes) -> None:
        """Answers a request of reanalyse, whose turn it is."""
        self._frames.pause(connection, False)
        self._meter.count("reanalysed_rows", header.rows)
        lane = connection.state.lanes[header.method]
        self._frames.serve([connection], lambda peer: self._replies.predict_alone(peer, header, lane, payload))

    def _control(self, connection: Connection, header: Header, payload: memoryview | bytes) -> None:
        try:
            request = request_of(payload)
            check_pin(connection.caller, request, self._pinned)
        except (SampleError, Denied) as error:
            self._replies.fail(connection, header.tag, str(error))
            return
        if isinstance(request, Version):
            self._send_version(connection, header.tag)
        elif not self._can_serve():
            self._hold(connection, header, payload)
        elif request.id == "latest":
            self._pinned = False
            self._update_weights()
            self._send_version(connection, header.tag)
        elif self._models is None:
            self._replies.fail(
                connection, header.tag, 'this actor has no model pool, so it keeps its model; ask for "latest" only'
            )
        elif len(self._loads) >= _MOST_LOADS:
            self._replies.fail(
                connection,
                header.tag,
                f"{_MOST_LOADS} models were asked for and are not loaded yet, so this one is not loaded; ask later",
            )
        else:
            self._loads.append((connection, header.tag, self._models.fetch(request.id)))

    def _hold(self, connection: Connection, header: Header, payload: memoryview | bytes) -> None:
        """Keeps a request until there is a model; until then, nothing more is read from this client."""
        self._held.append((connection, header, bytes(payload)))
        self._frames.pause(connection, True)

    # Weights

    def _can_serve(self) -> bool:
        """Whether there is a model to predict with.

        A prepared agent without a model would act at random, and no learner has this model. Any other agent may predict
        with the weights that it has at its start.
        """
        return not self._batcher.wants_spaces or (
            self._admission.is_set_up and (self._batcher.version >= 0 or self._models is None)
        )

    def _update_weights(self) -> None:
        """Between two batches: sets the agent up, loads the models that clients asked for, or the newest one."""
        if self._batcher.wants_spaces and not self._admission.is_set_up and not self._set_up():
            return
        done = [load for load in self._loads if load[2].done()]
        self._loads = [load for load in self._loads if load not in done]
        for connection, tag, future in done:
            if connection.closed:  # the answer to an earlier load may have closed it, too
                self._discard(future)
            else:
                self._load_chosen(connection, tag, future)
        if self._models is None or self._pinned:
            return
        newest = self._models.take()
        if newest is not None and newest != self._loaded:
            self._load_newest(newest)

    def _set_up(self) -> bool:
        """Calls the agent's setup; whether it succeeded. If not, the clients that declared the spaces are refused."""
        spaces = self._admission.spaces
        if spaces is None:
            return False
        try:
            self._batcher.setup(spaces)
        except AgentError as error:
            self._log.error("%s, for %s\n%s", error, spaces, trace_of(error))
            for connection in self._frames.connections:
                if connection.state.spaces == spaces:
                    self._frames.refuse(connection, f"{error}, for {spaces}; the actor's log has the traceback")
            return False
        self._admission.is_set_up = True
        return True

    def _load(self, model: Model) -> None:
        with self._meter.phase("load"):
            self._batcher.load(model.folder, model.id)
        self._loaded = model
        self._meter.info["model_version"] = model.id

    def _load_newest(self, model: Model) -> None:
        """Loads it. One that the agent refuses ends the actor only if there is none before it to predict with."""
        try:
            self._load(model)
        except AgentError as error:
            if self._loaded is None:
                raise
            self._meter.count("models_refused")
            self._log.warning(
                "model %d was refused, so this actor goes on with model %d until there is another one: %s",
                model.id,
                self._batcher.version,
                error,
            )
            self._loaded = model  # is not tried again

    def _load_chosen(self, connection: Connection, tag: int, future: Future[Model]) -> None:
        """Loads the model that a client chose, and answers the client."""
        assert self._models is not None
        try:
            model = future.result()
            try:
                self._load(model)
                self._pinned = True
            finally:
                self._models.discard(model)
        except MeshError as error:
            self._replies.report([Request(connection, tag, 0, 0)], error)
            return
        self._send_version(connection, tag)

    def _discard(self, future: Future[Model]) -> None:
        """Removes a model whose client is gone. Called from any thread."""
        if self._models is not None and not future.cancelled() and future.exception() is None:
            self._models.discard(future.result())

    # Timing

    def _poll_s(self, timeout_s: float) -> float:
        if self._waiting:
            return max(0.0, self._deadline - self._clock())
        if self._turns:
            timeout_s = min(timeout_s, self._turns.idle_s)
        return min(timeout_s, _HOLDING_POLL_S) if self._held or self._loads else timeout_s

    def _worth_waiting(self) -> bool:
        """Whether more rows may come before the deadline.

        Lanes are never left waiting beside one another: a client's answers must keep the order of its requests.
        """
        if self._max_wait_s == 0 or len(self._waiting) > 1 or self._clock() >= self._deadline:
            return False
        lane = self._waiting[0]
        return lane.rows < min(lane.max_rows, self._expected_rows)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for lane in waiting:
            rows = lane.rows
            self._replies.predict(lane)
            self._turns.played(rows)

    def _send_version(self, connection: Connection, tag: int) -> None:
        self._frames.send_json(connection, CONTROL, {"version": self._batcher.version}, tag=tag)

    def _serve_held(self) -> None:
        """Serves the requests that were held until there was a model."""
        held, self._held = self._held, deque()
        for connection, header, payload in held:
            self._frames.pause(connection, False)
            if not connection.closed:
                self._frames.serve([connection], partial(self._take, header=header, payload=payload))

    def _publish_state(self, busy: bool) -> None:
        if self._held:
            self._meter.state("waiting", f"model_pool: no model yet ({len(self._held)} requests are held)")
        elif busy:
            self._meter.state("working")
        else:
            clients = len(self._frames.connections)
            self._meter.state(
                "ready", f"aisrv: no request from {clients} connections" if clients else "aisrv: nobody is connected"
            )
