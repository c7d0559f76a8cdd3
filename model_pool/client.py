"""The client of the model pool, for the learner and the actors."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc

from kaimesh.contract.errors import PeerError
from kaimesh.model_pool import model_pool_pb2 as pb
from kaimesh.model_pool import model_pool_pb2_grpc as pb_grpc
from kaimesh.model_pool.transfer import BadModel, check, from_proto, open_files, pieces_of, take, to_proto
from kaimesh.training.checkpoint import ModelInfo
from kaimesh.wire.grpc_edge import Channel

_WATCH_S = 86_400.0  # the deadline of a watch, after which it is renewed
_STOP_POLL_S = 0.1
_RETRY_S = 0.2


class ModelPoolClient:
    """A connection to the pool at `addr` ("host:port"). Connects on the first call, and again after it was lost.

    Any thread may call any method. All raise PeerError if the pool is gone, too slow, or refuses.
    timeout_s: the deadline of one call.
    """

    def __init__(self, addr: str, token: str, *, timeout_s: float = 60.0, logger: logging.Logger | None = None) -> None:
        self._channel = Channel(addr, token, "model_pool")
        self._metadata, self._timeout_s = self._channel.metadata, timeout_s
        self._stub = pb_grpc.ModelPoolStub(self._channel.grpc)
        self._log = logger or logging.getLogger("kaimesh.model_pool.client")

    def push(self, folder: Path, info: ModelInfo) -> None:
        """Sends the model's files from `folder`. Raises MeshError: one of them is gone."""
        files = open_files(folder, info)

        def parts() -> Iterator[pb.Part]:
            yield pb.Part(model=to_proto(info))
            for piece in pieces_of(files):
                yield pb.Part(data=piece)

        with self._channel.errors(f"push model {info.id}"):
            self._stub.Push(parts(), timeout=self._timeout_s, metadata=self._metadata)

    def list(self) -> list[ModelInfo]:
        """The models in the pool, oldest first."""
        with self._channel.errors("list"):
            answer = self._stub.List(pb.Nothing(), timeout=self._timeout_s, metadata=self._metadata)
        return [_checked(model) for model in answer.models]

    def pull(self, id: int | str, into: Path) -> ModelInfo:
        """Fetches a model ("latest", "random" or its id) to `into/model.ckpt-<id>.*`; the files appear once verified.

        The caller deletes old files in `into`. Raises Refused: there is no such model. BadModel: the pool sent another
        model, or none.
        """
        into.mkdir(parents=True, exist_ok=True)
        with self._channel.errors(f"pull model {id}"):
            call = self._stub.Pull(pb.Which(id=str(id)), timeout=self._timeout_s, metadata=self._metadata)
            try:
                first = next(call, pb.Part())
                if first.WhichOneof("part") != "model":
                    raise BadModel(
                        "the pool's answer does not begin with a model, so none was loaded; run the same version of "
                        "kaimesh at both ends"
                    )
                info = _checked(first.model)
                if str(id) not in ("latest", "random", str(info.id)):
                    raise BadModel(
                        f"the pool sent model {info.id} when it was asked for {id}, so none was loaded; run the same "
                        "version of kaimesh at both ends"
                    )
                return take(into, info, (part.data for part in call))
            finally:
                call.cancel()

    def watch(self, stop: threading.Event) -> Iterator[ModelInfo]:
        """Yields the newest model at once, if there is one, and then each newer one; ends within 0.2 s of `stop`.

        If several models arrive before the caller asks for the next, only the newest is yielded. Reconnects for ever,
        and logs once that it does.
        """
        known: ModelInfo | None = None
        complained = False
        while not stop.is_set():
            try:
                for info in _Watch(self._channel, self._stub).until(stop):
                    if complained:
                        self._log.info("model_pool at %s answers again", self._channel.address)
                        complained = False
                    if info != known:
                        known = info
                        yield info
            except PeerError as error:
                if not complained:
                    self._log.warning("%s; trying again", error)
                complained = True
                stop.wait(_RETRY_S)

    def close(self) -> None:
        """Closes the connection; calls that wait for an answer end."""
        self._channel.close()


def _checked(model: pb.Model) -> ModelInfo:
    """The model that the pool describes. Raises BadModel: the description is invalid."""
    info = from_proto(model)
    check(info)
    return info


class _Watch:
    """One Watch call. A thread reads it, so that the caller can notice `stop`; a model not taken yet is replaced."""

    def __init__(self, channel: Channel, stub: pb_grpc.ModelPoolStub) -> None:
        self._channel, self._stub = channel, stub
        self._changed = threading.Condition()
        self._newest: ModelInfo | None = None
        self._ended: PeerError | None = None

    def until(self, stop: threading.Event) -> Iterator[ModelInfo]:
        """The models as they come. Raises PeerError: the connection ended."""
        call = self._stub.Watch(pb.Nothing(), timeout=_WATCH_S, metadata=self._channel.metadata)
        reader = threading.Thread(target=self._read, args=(call,), name="model_pool watch", daemon=True)
        reader.start()
        try:
            while not stop.is_set():
                with self._changed:
                    self._changed.wait_for(lambda: self._newest is not None or self._ended is not None, _STOP_POLL_S)
                    newest, self._newest = self._newest, None
                    if newest is None and self._ended is not None:
                        raise self._ended
                if newest is not None:
                    yield newest
        finally:
            call.cancel()

    def _read(self, call: grpc.Call) -> None:
        ended: PeerError | None = None
        try:
            with self._channel.errors("watch"):
                for model in call:  # type: ignore[attr-defined]
                    with self._changed:
                        self._newest = _checked(model)
                        self._changed.notify_all()
        except PeerError as error:
            ended = error
        with self._changed:
            self._ended = ended or PeerError(
                f"model_pool at {self._channel.address} ended the watch; no models come now"
            )
            self._changed.notify_all()
