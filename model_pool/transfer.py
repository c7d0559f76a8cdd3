"""Turns a model's files into a stream of bytes, and such a stream into verified files; a model's protobuf form."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from kaimesh.contract.errors import MeshError, PeerError
from kaimesh.model_pool import model_pool_pb2 as pb
from kaimesh.training import checkpoint
from kaimesh.training.checkpoint import FileInfo, ModelInfo

PIECE_BYTES = 1 << 20
_MAX_FILES = 256


class BadModel(PeerError):
    """The announcement or the bytes of a model are invalid or incomplete."""


class BadAnnouncement(BadModel):
    """The announcement of a model is invalid, so its bytes are not read."""


def to_proto(info: ModelInfo) -> pb.Model:
    """The protobuf message for a model."""
    return pb.Model(id=info.id, time=info.time, files=[pb.File(**file._asdict()) for file in info.files])


def from_proto(model: pb.Model) -> ModelInfo:
    """The inverse of `to_proto`."""
    return ModelInfo(model.id, tuple(FileInfo(f.name, f.bytes, f.sha256) for f in model.files), model.time)


def check(info: ModelInfo) -> None:
    """Checks a description that may come from anyone, see checkpoint.check. Raises BadAnnouncement: it is invalid."""
    try:
        checkpoint.check(info)
    except ValueError as error:
        raise BadAnnouncement(str(error)) from None
    if len(info.files) > _MAX_FILES:
        raise BadAnnouncement(
            f"model {info.id} has {len(info.files)} files, and the pool takes at most {_MAX_FILES}, so it was not "
            "taken; write fewer files in save_model"
        )


def open_files(folder: Path, info: ModelInfo) -> list[BinaryIO]:
    """The model's files, all opened, so that they can be read even if they are removed.

    Raises MeshError: one is gone.
    """
    with contextlib.ExitStack() as stack:
        try:
            files: list[BinaryIO] = [stack.enter_context((folder / file.name).open("rb")) for file in info.files]
        except FileNotFoundError as error:
            raise MeshError(
                f"{error.filename} is gone; model {info.id} cannot be sent. Ask for `latest`: a newer one may be there."
            ) from error
        stack.pop_all()
        return files


def pieces_of(files: Sequence[BinaryIO]) -> Iterator[bytes]:
    """The content of the opened files, one after the other, in pieces of at most PIECE_BYTES; closes the files."""
    with contextlib.ExitStack() as stack:
        for file in files:
            stack.enter_context(file)
        for file in files:
            while piece := file.read(PIECE_BYTES):
                yield piece


class Incoming:
    """Receives a model into a working folder, which is deleted at the end of the context unless it was moved.

    Use as a context: `write` all bytes, call `finish`, then move `working` or the files in it.
    """

    def __init__(self, working: Path, info: ModelInfo) -> None:
        check(info)
        self.info, self.working = info, working
        self._index, self._left, self._digest = -1, 0, hashlib.sha256()
        self._file: BinaryIO | None = None

    def __enter__(self) -> Incoming:
        self.working.mkdir(parents=True)
        self._next_file()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
        shutil.rmtree(self.working, ignore_errors=True)

    def write(self, data: bytes) -> None:
        """Writes the next bytes. Raises BadModel: more came than announced, or a file's digest is wrong."""
        view = memoryview(data)
        while len(view):
            if self._file is None:
                raise BadModel(
                    f"model {self.info.id}: more bytes came than the {self.info.bytes:,} announced; it was not kept. "
                    "Send the files that were announced."
                )
            piece = view[: self._left]
            self._file.write(piece)
            self._digest.update(piece)
            self._left -= len(piece)
            view = view[len(piece) :]
            if not self._left:
                self._next_file()

    def finish(self) -> None:
        """Call it after the last `write`. Raises BadModel: bytes are missing."""
        if self._file is not None:
            name = self.info.files[self._index].name
            raise BadModel(
                f"model {self.info.id}: {self._left:,} bytes of {name} never came; it was not kept. Send it again, "
                "whole."
            )

    def _next_file(self) -> None:
        """Closes the finished file and opens the next one that has bytes."""
        while True:
            if self._file is not None:
                self._file.close()
                self._file = None
                expected = self.info.files[self._index]
                if self._digest.hexdigest() != expected.sha256:
                    raise BadModel(
                        f"{expected.name} arrived damaged: sha256 {self._digest.hexdigest()[:12]}..., announced "
                        f"{expected.sha256[:12]}...; it was not kept. Send it again."
                    )
            self._index += 1
            if self._index == len(self.info.files):
                return
            self._digest, self._left = hashlib.sha256(), self.info.files[self._index].bytes
            self._file = (self.working / self.info.files[self._index].name).open("wb")
            if self._left:
                return


def take(into: Path, info: ModelInfo, pieces: Iterator[bytes]) -> ModelInfo:
    """Writes a model's bytes to `into/model.ckpt-<id>.*`; the files appear only when all of them are verified.

    Raises BadModel: the bytes are not what `info` announces.
    """
    working = into / f".pull-{info.id}-{threading.get_ident()}-{time.monotonic_ns()}"
    with Incoming(working, info) as incoming:
        for piece in pieces:
            incoming.write(piece)
        incoming.finish()
        for file in info.files:
            (working / file.name).replace(into / file.name)
    return info
