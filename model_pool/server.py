"""The gRPC server around the store. What a peer sends is stored, or refused and logged."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import grpc

from kaimesh.config.roles import Right, Rights
from kaimesh.contract.errors import MeshError
from kaimesh.contract.untrusted import clean
from kaimesh.model_pool import model_pool_pb2 as pb
from kaimesh.model_pool import model_pool_pb2_grpc as pb_grpc
from kaimesh.model_pool.store import FarAhead, NoSuchModel, OutdatedModel, Store
from kaimesh.model_pool.transfer import BadAnnouncement, BadModel, from_proto, pieces_of, to_proto
from kaimesh.process.meter import Meter
from kaimesh.wire import grpc_edge
from kaimesh.wire.gate import OWN_RIGHTS

MAX_WATCHERS = grpc_edge.THREADS - 16  # each occupies a thread; the other threads stay free for calls
MAX_TRANSFER_S = 600.0
MAX_TRANSFERS = 12  # pushes at a time; each occupies a thread
MAX_MESSAGE_BYTES = 4 << 20  # a piece of a model has 1 MiB
_SERVICE = pb.DESCRIPTOR.services_by_name["ModelPool"].full_name
NEEDS: dict[str, tuple[Right, ...]] = {
    f"/{_SERVICE}/Push": (Right.PUSH,),
    f"/{_SERVICE}/Pull": (Right.PULL,),
    f"/{_SERVICE}/List": (Right.PULL,),
    f"/{_SERVICE}/Watch": (Right.PULL,),
}
_CODES: dict[type[MeshError], grpc.StatusCode] = {
    BadAnnouncement: grpc.StatusCode.INVALID_ARGUMENT,
    BadModel: grpc.StatusCode.DATA_LOSS,
    NoSuchModel: grpc.StatusCode.NOT_FOUND,
    OutdatedModel: grpc.StatusCode.FAILED_PRECONDITION,
    FarAhead: grpc.StatusCode.FAILED_PRECONDITION,
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

    def start(self, bind: str, token: str, *, rights: Rights = OWN_RIGHTS, key: str = "model_pool_addr") -> int:
        """Listens; returns the port. token: the mesh token. rights: of each role in the mesh."""
        self._server, port = grpc_edge.serve(
            [lambda server: pb_grpc.add_ModelPoolServicer_to_server(self, server)],
            bind,
            token,
            needs=NEEDS,
            rights=rights,
            key=key,
            max_message_bytes=MAX_MESSAGE_BYTES,
            meter=self._meter,
            logger=self._log,
        )
        return port

    def stop(self, grace_s: float = 1.0) -> None:
        """Ends the watches, and gives other calls `grace_s` to finish."""
        self._stopping.set()
        self._store.wake()
        self._server.stop(grace_s).wait()

    def Push(self, parts: Iterator[pb.Part], context: grpc.ServicerContext) -> pb.Nothing:
        """Takes a model: its announcement, then its bytes."""
        _want_deadline(context, "push")
        if not self._pushes.acquire(blocking=False):
            busy = f"{MAX_TRANSFERS} models are being pushed already, so this one was not taken; push it again"
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, busy)
        try:
            first = next(parts, pb.Part())
            if first.WhichOneof("part") != "model":
                raise BadAnnouncement(
                    "a push begins with the model's announcement; this one did not, and nothing was stored. Send "
                    "`model` before `data`."
                )
            with self._store.receive(from_proto(first.model)) as incoming:
                for part in parts:
                    if not part.data:  # an endless stream of these would occupy a thread for ever
                        raise BadModel(
                            f"model {first.model.id}: a piece without bytes; the model was not stored. Send only "
                            "pieces with bytes."
                        )
                    incoming.write(part.data)
        except MeshError as error:
            self._refuse(context, error, _CODES.get(type(error), grpc.StatusCode.RESOURCE_EXHAUSTED))
        finally:
            self._pushes.release()
        self._meter.count("pushes")
        return pb.Nothing()

    def Pull(self, which: pb.Which, context: grpc.ServicerContext) -> Iterator[pb.Part]:
        """Sends a model: its announcement, then its bytes."""
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
        """Lists the models, oldest first."""
        return pb.Models(models=[to_proto(info) for info in self._store.list()])

    def Watch(self, _request: pb.Nothing, context: grpc.ServicerContext) -> Iterator[pb.Model]:
        """Sends the newest model, then each newer one; if several come before one could be sent, only the newest."""
        if not self._watchers.acquire(blocking=False):
            busy = f"{MAX_WATCHERS} watchers are connected already, the most that one pool serves; start fewer actors"
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, busy)
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
    """Refuses a call without a deadline: a peer that stops sending occupies a thread until then."""
    if context.time_remaining() > MAX_TRANSFER_S:
        context.abort(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"a {what} needs a deadline of at most {MAX_TRANSFER_S:g} s, so this one was refused; set a timeout",
        )
