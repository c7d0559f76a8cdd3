"""gRPC around the store. Whatever a peer sends ends in the store or in a logged refusal."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import grpc

from kaimesh.contract.errors import MeshError
from kaimesh.contract.untrusted import clean
from kaimesh.model_pool import model_pool_pb2 as pb
from kaimesh.model_pool import model_pool_pb2_grpc as pb_grpc
from kaimesh.model_pool.store import NoSuchModel, Store
from kaimesh.model_pool.transfer import BadAnnouncement, BadModel, from_proto, pieces_of, to_proto
from kaimesh.process.meter import Meter
from kaimesh.wire import grpc_edge

MAX_WATCHERS = grpc_edge.THREADS - 16  # each holds a thread; the rest stays free for calls
MAX_TRANSFER_S = 600.0
MAX_TRANSFERS = 12  # pushes at a time: each holds a thread
MAX_MESSAGE_BYTES = 4 << 20  # a piece of a model has 1 MiB
_CODES: dict[type[MeshError], grpc.StatusCode] = {
    BadAnnouncement: grpc.StatusCode.INVALID_ARGUMENT,
    BadModel: grpc.StatusCode.DATA_LOSS,
    NoSuchModel: grpc.StatusCode.NOT_FOUND,
}


class ModelPoolServer(pb_grpc.ModelPoolServicer):  # type: ignore[misc]
    """Serves one store. Counters: pushes, pulls, refused; gauge watchers."""

    def __init__(self, store: Store, meter: Meter, logger: logging.Logger | None = None) -> None:
        self._store, self._meter = store, meter
        self._log = logger or logging.getLogger("model_pool")
        self._stopping = threading.Event()
        self._watchers = threading.BoundedSemaphore(MAX_WATCHERS)
        self._pushes = threading.BoundedSemaphore(MAX_TRANSFERS)
        self._count_lock, self._watching = threading.Lock(), 0

    def start(self, bind: str, token: str, *, key: str = "model_pool_addr") -> int:
        """Listens; returns the port."""
        self._server, port = grpc_edge.serve(
            [lambda server: pb_grpc.add_ModelPoolServicer_to_server(self, server)],
            bind,
            token,
            key=key,
            max_message_bytes=MAX_MESSAGE_BYTES,
            meter=self._meter,
            logger=self._log,
        )
        return port

    def stop(self, grace_s: float = 1.0) -> None:
        """Ends the watches, lets other calls finish for `grace_s`."""
        self._stopping.set()
        self._store.wake()
        self._server.stop(grace_s).wait()

    def Push(self, parts: Iterator[pb.Part], context: grpc.ServicerContext) -> pb.Nothing:
        """A model's announcement, then its bytes."""
        _want_deadline(context, "push")
        if not self._pushes.acquire(blocking=False):
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{MAX_TRANSFERS} models are being pushed already")
        try:
            first = next(parts, pb.Part())
            if first.WhichOneof("part") != "model":
                raise BadAnnouncement("a push begins with the model's announcement")
            with self._store.receive(from_proto(first.model)) as incoming:
                for part in parts:
                    if not part.data:  # it would hold a thread, and never end
                        raise BadModel(f"model {first.model.id}: a piece without bytes")
                    incoming.write(part.data)
        except MeshError as error:
            self._refuse(context, error, _CODES.get(type(error), grpc.StatusCode.RESOURCE_EXHAUSTED))
        finally:
            self._pushes.release()
        self._meter.count("pushes")
        return pb.Nothing()

    def Pull(self, which: pb.Which, context: grpc.ServicerContext) -> Iterator[pb.Part]:
        """The announcement, then the bytes."""
        _want_deadline(context, "pull")
        try:
            info, files = self._store.open(which.id)
        except MeshError as error:
            self._refuse(context, error, _CODES.get(type(error), grpc.StatusCode.ABORTED))
        yield pb.Part(model=to_proto(info))
        for piece in pieces_of(files):
            yield pb.Part(data=piece)
        self._meter.count("pulls")

    def List(self, _request: pb.Nothing, _context: grpc.ServicerContext) -> pb.Models:
        """What is there."""
        return pb.Models(models=[to_proto(info) for info in self._store.list()])

    def Watch(self, _request: pb.Nothing, context: grpc.ServicerContext) -> Iterator[pb.Model]:
        """The newest model, and every newer one; those that are superseded before they could be sent are skipped."""
        if not self._watchers.acquire(blocking=False):
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{MAX_WATCHERS} watchers are connected already")
        self._count_watchers(1)
        try:
            known = None
            while context.is_active() and not self._stopping.is_set():
                if (newest := self._store.wait_newer(known, 0.5)) is not None:
                    known = newest
                    yield to_proto(newest)
        finally:
            self._watchers.release()
            self._count_watchers(-1)

    def _count_watchers(self, change: int) -> None:
        with self._count_lock:
            self._watching += change
            self._meter.gauge("watchers", self._watching)

    def _refuse(self, context: grpc.ServicerContext, error: MeshError, code: grpc.StatusCode) -> None:
        self._meter.count("refused")
        self._log.warning("refused a call from %s: %s", context.peer(), clean(str(error)))
        grpc_edge.refuse(context, error, code)


def _want_deadline(context: grpc.ServicerContext, what: str) -> None:
    """A peer that stalls holds a thread until its call's deadline; refuses a call that has none."""
    if context.time_remaining() > MAX_TRANSFER_S:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"a {what} needs a deadline of at most {MAX_TRANSFER_S:g} s")
