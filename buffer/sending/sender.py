"""Sends samples from an aisrv to the buffers. Imports neither Reverb nor TensorFlow, which an aisrv does without."""

from __future__ import annotations

import contextlib
import copy
import logging
import select
import socket
import threading
import time
from collections import deque
from typing import Any

import numpy as np

from kaimesh.contract.arrays import Batch, Specs
from kaimesh.contract.errors import MeshError, PeerError, Refused, Stopped
from kaimesh.contract.spaces import Spaces
from kaimesh.process.meter import LOST, Meter
from kaimesh.wire import frame as wire
from kaimesh.wire.client import FrameClient, error_of, refusal_of
from kaimesh.wire.frame import ACK, CONTROL, ERROR, REFUSED

WRITER, REFRESHER = "writer", "refresher"  # who sends samples, and who sends fresh copies
FRAME_BYTES = 1 << 20  # a longer batch travels as several frames
_ENDS = ("samples_acked", "samples_refused", "samples_lost", "samples_unfinished", LOST)
_KEEP_S, _LAST_S = 0.005, 0.05  # what was made longer ago is kept while more comes, and where nothing comes after it
_CONNECT_S = 5.0
_END_S = 1.5  # how long `close` waits for a link's thread; only one whose server does not answer HELLO takes longer
_USED_FRAMES, _RETRY_S = 4, 0.5
_BACK_PRESSURE_S = 7 * 24 * 3600.0  # how long a server may read nothing: as long as its learner may pause


class SampleSender:
    """Sends samples to the buffers at `addrs`, a frame to each in turn, from a thread for each.

    It connects at once, so that the learner gets `spaces` and can make the first model before there is any sample.
    At most `window` samples, or one frame, are not acknowledged; beyond that `put` blocks. role: WRITER, or REFRESHER.

    Counters. Every sample counts in samples_made, in samples_sent if it was sent, and in the end in one of
    samples_acked: the buffer has stored it. samples_refused: the buffer did not take it (it holds NaN, for example).
    samples_lost: the connection ended before the buffer acknowledged it. samples_unfinished: `put` found no room for it
    before the stop. lost_in_kill: a former life made it, and was killed before it knew. A buffer may have stored what
    is lost or lost_in_kill.
    """

    def __init__(
        self,
        addrs: list[str],
        *,
        token: str,
        name: str,
        window: int,
        meter: Meter,
        stop: threading.Event,
        spaces: Spaces | None = None,
        role: str = WRITER,
        logger: logging.Logger | None = None,
    ) -> None:
        self._window, self._meter, self._stop, self._turn = window, meter, stop, 0
        self._name, self._token, self._spaces, self._role = name, token, spaces, role
        self._log = logger or logging.getLogger("samples")
        self._specs: Specs | None = None
        self._changed = threading.Condition()
        self._under_way = 0  # samples, queued or sent, whose outcome is not known yet
        self._asked = 0  # flushes that were requested and not confirmed
        self._error: MeshError | None = None
        self._links = [_Link(self, address) for address in addrs]
        before = [meter.inherited.get(name, 0) for name in ("samples_made", *_ENDS)]
        if (left := before[0] - sum(before[1:])) > 0:  # a life before was killed
            meter.count(LOST, left)
        self._used: list[Batch] = []  # frames that were sent, whose memory is used again
        for link in self._links:
            link.start()

    def put(self, batch: Batch) -> None:
        """Copies `batch` and sends it in the background; the first call fixes the fields, shapes and dtypes.

        Raises SampleError: other fields, shapes or dtypes. Stopped: `stop` was set while it waited for room; the rows
        that are left count as samples_unfinished. Refused, AgentError: a buffer refused an earlier batch.
        """
        if self._specs is None:
            self._specs = batch.specs
        checked = Batch.of(batch, self._specs)
        self._meter.count("samples_made", len(checked))
        rows = max(1, FRAME_BYTES // max(self._specs.row_bytes, 1))
        for start in range(0, len(checked), rows):
            frame = checked[start : start + rows]
            try:
                self._wait_for_room(len(frame))
            except (Stopped, MeshError):
                self._meter.count("samples_unfinished", len(checked) - start)
                raise
            with self._changed:
                self._under_way += len(frame)
            self._next_link().give(self._copy(frame))

    def flush(self, timeout_s: float) -> bool:
        """Waits until every sample is stored or lost; False if it took too long. Raises what `put` raises."""
        if self._specs is None:
            return True
        deadline = time.monotonic() + timeout_s
        with self._changed:
            self._asked += len(self._links)
        for link in self._links:
            link.ask_for_flush()
        with self._changed:
            while self._under_way or self._asked:
                self._raise_error()
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    return False
                self._changed.wait(min(left_s, 0.5))
        self._raise_error()
        return True

    def close(self) -> None:
        """Ends at once; samples without an acknowledgement count as lost."""
        for link in self._links:
            link.close()

    def _copy(self, batch: Batch) -> Batch:
        """A copy, in the memory of an earlier frame: for large rows, fresh memory costs as much time as the copy."""
        with self._changed:
            used = self._used.pop() if self._used and len(self._used[-1]) == len(batch) else None
        if used is None:
            return Batch({name: np.array(column, order="C") for name, column in batch.columns.items()})
        for name, column in batch.columns.items():
            np.copyto(used.columns[name], column)
        return used

    def _reuse(self, batch: Batch) -> None:
        with self._changed:
            if len(self._used) < _USED_FRAMES:
                self._used.append(batch)

    def _wait_for_room(self, samples: int) -> None:
        waited = False
        with self._changed:
            while True:
                self._raise_error()
                if self._stop.is_set():
                    raise Stopped
                if not self._under_way or self._under_way + samples <= self._window:
                    if waited:
                        self._meter.state("working")
                    return
                waited = True
                for link in self._links:
                    link.end_if_unheard()
                troubles = [link.trouble for link in self._links if link.trouble]
                self._meter.state(
                    "waiting",
                    f"buffer: {'; '.join(troubles) or f'{self._under_way} samples are not stored yet'}",
                )
                self._changed.wait(0.2)

    def _next_link(self) -> _Link:
        """The next link in turn; skips servers that do not answer, unless none does."""
        links = [link for link in self._links if not link.trouble] or self._links
        self._turn += 1
        return links[self._turn % len(links)]

    def _raise_error(self) -> None:
        if self._error is not None:
            raise copy.copy(self._error)  # a copy for each: an error raised again and again collects tracebacks

    def _settled(self, counter: str, samples: int) -> None:
        self._meter.count(counter, samples)
        with self._changed:
            self._under_way -= samples
            self._changed.notify_all()

    def _flushed(self) -> None:
        with self._changed:
            self._asked -= 1
            self._changed.notify_all()

    def _failed(self, error: MeshError) -> None:
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()

    def _connect(self, address: str, specs: Specs | None) -> FrameClient:
        hello: dict[str, Any] = {
            "specs": None if specs is None else specs.to_json(),
            "spaces": None if self._spaces is None else self._spaces.to_json(),
        }
        client = FrameClient(
            address, token=self._token, role=self._role, name=self._name, hello=hello, timeout_s=_CONNECT_S,
            stop=self._stop,
        )  # fmt: skip
        client.wait_to_send(_BACK_PRESSURE_S)
        return client


class _Link:
    """The thread for one server: connects, sends frames, takes acknowledgements; connects again when it was cut off."""

    def __init__(self, sender: SampleSender, address: str) -> None:
        self._sender, self.address = sender, address
        self.trouble = ""
        self._queue: deque[Batch | None] = deque()  # None: request a flush, which stores partly filled items too
        self._sent: deque[tuple[int, int]] = deque()  # tag and rows of each frame not answered yet; rows 0: a flush
        self._tag, self._closed = 0, False
        self._kept_at, self._unkept = 0.0, False  # whether something was sent or answered since
        self._client: FrameClient | None = None
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._thread = threading.Thread(target=self._run, name=f"samples to {address}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def give(self, batch: Batch) -> None:
        self._queue.append(batch)
        self._wake()

    def ask_for_flush(self) -> None:
        self._queue.append(None)
        self._wake()

    def end_if_unheard(self) -> None:
        if (client := self._client) is not None:
            client.end_if_unheard()

    def close(self) -> None:
        self._closed = True
        self._wake()
        if (client := self._client) is not None:
            client.shutdown()  # makes a send that waits for the server fail
        if self._thread.is_alive():
            self._thread.join(_END_S)
        self._give_up()  # on frames that were added after the thread had ended
        self._wake_in.close()
        self._wake_out.close()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # the socket is full of bytes that wake the thread anyway
            self._wake_in.send(b"x")

    def _run(self) -> None:
        while not self._closed:
            try:
                specs = self._sender._specs
                self._client = self._sender._connect(self.address, specs)
                self.trouble = ""
                self._talk(self._client, specs)
            except Stopped:
                break
            except Refused as error:
                self._sender._failed(error)
                break
            except PeerError as error:
                if not self._closed:
                    self._wait_for_server(error)
            except Exception as error:  # `put` must raise it: it would wait for this thread for ever
                self._sender._log.exception("sending samples to %s failed", self.address)
                failed = MeshError(
                    f"sending samples to {self.address} failed: {type(error).__name__}: {error}; no more are sent "
                    "there. The log has the traceback; please report it."
                )
                self._sender._failed(error if isinstance(error, MeshError) else failed)
                break
            finally:
                self._lose()
        self._give_up()

    def _talk(self, client: FrameClient, specs: Specs | None) -> None:
        """Sends and listens until `close`. specs: those declared in HELLO; None: returns at the first sample.

        A connection that declared no specs cannot carry samples, so the caller connects again.
        """
        while not self._closed:
            self._keep()
            while self._queue:
                if specs is None:
                    return
                batch = self._queue.popleft()
                self._tag += 1
                if batch is None:
                    self._sent.append((self._tag, 0))
                    client.send(CONTROL, [wire.to_json({"do": "flush"})], tag=self._tag)
                    continue
                self._sent.append((self._tag, len(batch)))
                self._sender._meter.count("samples_sent", len(batch))
                self._unkept = True
                client.send_rows(batch, specs, tag=self._tag)
                self._sender._reuse(batch)
            sockets, wait_s = [client.fileno(), self._wake_out.fileno()], _LAST_S if self._unkept else 1.0
            readable, _, _ = select.select(sockets, [], [], wait_s)
            if self._wake_out.fileno() in readable:
                self._wake_out.recv(4096)
            if client.fileno() in readable:
                self._unkept = True
                self._hear(client)

    def _keep(self) -> None:
        """Keeps the counters: what was made is in the books before it is sent, or soon after."""
        if (self._queue or self._unkept) and (now := time.monotonic()) - self._kept_at > _KEEP_S:
            self._kept_at, self._unkept = now, False
            self._sender._meter.keep()

    def _hear(self, client: FrameClient) -> None:
        header, payload = client.receive(_CONNECT_S)
        if header.kind == REFUSED:
            raise PeerError(str(refusal_of(payload, self.address)))
        # Answers come in order, but an ERROR comes before the ACKs of earlier frames that are not stored yet.
        rows = next((rows for tag, rows in self._sent if tag == header.tag), None)
        if rows is None:
            raise PeerError(f"{self.address} acknowledged frame {header.tag}, which is not under way; connecting again")
        if header.kind not in ((ACK if rows else CONTROL), ERROR):
            raise PeerError(
                f"{self.address} sent a frame of kind {header.kind} where an acknowledgement was expected; connecting "
                "again"
            )
        error = error_of(payload) if header.kind == ERROR else None
        self._sent.remove((header.tag, rows))
        if error is not None:
            self._sender._failed(error)
        if rows:
            self._sender._settled("samples_refused" if error else "samples_acked", rows)
        else:
            self._sender._flushed()

    def _give_up(self) -> None:
        while self._queue:
            if (batch := self._queue.popleft()) is not None:
                self._sender._settled("samples_lost", len(batch))

    def _lose(self) -> None:
        """Counts the frames without an answer as lost: the server may have stored them, so they are not sent again."""
        if self._client is not None:
            self._client.close()
            self._client = None
        while self._sent:
            _, rows = self._sent.popleft()
            if rows:
                self._sender._settled("samples_lost", rows)
            else:
                self._sender._flushed()

    def _wait_for_server(self, error: PeerError) -> None:
        if not self.trouble:
            self._sender._log.warning("%s: %s; trying again", self.address, error)
        self.trouble = str(error)
        self._sender._stop.wait(_RETRY_S)
