"""A model as one run of bytes, and back into files that are verified before anyone sees them; its protobuf form."""

from __future__ import annotations

import contextlib
import hashlib
import math
import re
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
MAX_ID = 2**53  # beyond it a number in JSON is not exact
_MAX_FILES = 256
_MAX_NAME_BYTES = 200  # file systems take 255
_SHA256 = re.compile(r"[0-9a-f]{64}")


class BadModel(PeerError):
    """What was announced or sent is not a whole model."""


class BadAnnouncement(BadModel):
    """What was announced can be no model, whatever is sent after it."""


def to_proto(info: ModelInfo) -> pb.Model:
    """The message for a model."""
    return pb.Model(id=info.id, time=info.time, files=[pb.File(**file._asdict()) for file in info.files])


def from_proto(model: pb.Model) -> ModelInfo:
    """The inverse of `to_proto`."""
    return ModelInfo(model.id, tuple(FileInfo(f.name, f.bytes, f.sha256) for f in model.files), model.time)


def check(info: ModelInfo) -> None:
    """Refuses what a stranger could announce: foreign file names, absurd numbers. Raises BadAnnouncement."""
    if not 0 <= info.id <= MAX_ID or not 0 < len(info.files) <= _MAX_FILES:
        raise BadAnnouncement(
            f"a model has an id of 0 to 2^53 and 1 to {_MAX_FILES} files; this one: id {info.id}, {len(info.files)} files"
        )
    if not math.isfinite(info.time):
        raise BadAnnouncement(f"model {info.id} was made at {info.time}; that is no time")
    if len({file.name for file in info.files}) < len(info.files):
        raise BadAnnouncement(f"two files of model {info.id} have the same name")
    for file in info.files:
        _check_name(file.name, info.id)
        if file.bytes < 0 or not _SHA256.fullmatch(file.sha256):
            raise BadAnnouncement(f"{file.name}: size {file.bytes} or sha256 {file.sha256!r:.80} is impossible")


def _check_name(name: str, id: int) -> None:
    prefix = checkpoint.prefix(id)
    plain = name.isprintable() and "/" not in name and len(name.encode("utf-8", "replace")) <= _MAX_NAME_BYTES
    if not plain or not name.startswith(prefix) or name == prefix:
        raise BadAnnouncement(
            f"{name!r:.300} is no file of model {id}; the names are {prefix}<ext>, of at most {_MAX_NAME_BYTES} printable bytes"
        )


def open_files(folder: Path, info: ModelInfo) -> list[BinaryIO]:
    """The model's files, all opened: whoever removes them later does not disturb the reader. Raises MeshError: one is gone."""
    with contextlib.ExitStack() as stack:
        try:
            files: list[BinaryIO] = [stack.enter_context((folder / file.name).open("rb")) for file in info.files]
        except FileNotFoundError as error:
            raise MeshError(
                f"{error.filename} is gone; model {info.id} cannot be sent. A newer one may be there."
            ) from error
        stack.pop_all()
        return files


def pieces_of(files: Sequence[BinaryIO]) -> Iterator[bytes]:
    """The content of the opened files, one after the other, in pieces of at most PIECE_BYTES; closes them."""
    with contextlib.ExitStack() as stack:
        for file in files:
            stack.enter_context(file)
        for file in files:
            while piece := file.read(PIECE_BYTES):
                yield piece


class Incoming:
    """A model on its way in: bytes go to a working folder of its own, which vanishes unless the owner moves it.

    Use as a context; `write` all bytes, then `finish`, then take the files out of `working`.
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
        """The next bytes. Raises BadModel: more than announced, or a file that is not what its digest says."""
        view = memoryview(data)
        while len(view):
            if self._file is None:
                raise BadModel(f"model {self.info.id}: more bytes came than the {self.info.bytes:,} announced")
            piece = view[: self._left]
            self._file.write(piece)
            self._digest.update(piece)
            self._left -= len(piece)
            view = view[len(piece) :]
            if not self._left:
                self._next_file()

    def finish(self) -> None:
        """All bytes were written. Raises BadModel: some are missing."""
        if self._file is not None:
            name = self.info.files[self._index].name
            raise BadModel(f"model {self.info.id}: {self._left:,} bytes of {name} never came")

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
                        f"{expected.sha256[:12]}...; it was not kept"
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

    Raises BadModel: the bytes are not what `info` says.
    """
    working = into / f".pull-{info.id}-{threading.get_ident()}-{time.monotonic_ns()}"
    with Incoming(working, info) as incoming:
        for piece in pieces:
            incoming.write(piece)
        incoming.finish()
        for file in info.files:
            (working / file.name).replace(into / file.name)
    return info
