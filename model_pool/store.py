"""Models on the pool's disk: one folder for each id, which is complete or absent.

Nothing is fsynced, because the learner's dumps are the durable copy: a model that a power cut damaged fails its digest
at the next start and is dropped.
"""

from __future__ import annotations

import json
import logging
import os
import random
import re
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import BinaryIO

from kaimesh.contract.errors import MeshError, PeerError
from kaimesh.contract.json_text import json_text
from kaimesh.model_pool.transfer import Incoming, check, open_files, pieces_of, take
from kaimesh.process import disk, documents
from kaimesh.training import checkpoint
from kaimesh.training.checkpoint import ModelInfo

_INFO = "info.json"
_INCOMING, _OUTGOING = ".incoming-", ".old-"
_ID = re.compile(r"[0-9]{1,16}")
MOST_AHEAD = 100_000_000  # learns: a day's of a learner that makes a thousand a second


class NoSuchModel(PeerError):
    """The pool has no model of that id, or none at all yet."""


class OutdatedModel(PeerError):
    """The pool has as many newer models as it keeps, so this one would be removed at once."""


class FarAhead(PeerError):
    """The model's id is so much higher than any of the pool that it would stay the newest for ever."""


class Store:
    """The newest `max_count` models, by id. Any thread may call any method.

    folder: the pool's own. Unfinished models in it are deleted at the start, damaged ones are logged and deleted.
    rng: chooses the model for "random".
    """

    def __init__(
        self, folder: Path, max_count: int, *, logger: logging.Logger | None = None, rng: random.Random | None = None
    ) -> None:
        self._folder, self._max_count = folder, max_count
        self._log = logger or logging.getLogger("model_pool")
        self._rng = rng or random.Random()
        self._changed = threading.Condition()
        self._serial = count()
        self._models: dict[int, ModelInfo] = {}
        self._last: int | None = None  # the id that came last
        folder.mkdir(parents=True, exist_ok=True)
        self._restore()

    def list(self) -> list[ModelInfo]:
        """The models, oldest (lowest id) first."""
        with self._changed:
            return [self._models[id] for id in sorted(self._models)]

    def latest(self) -> ModelInfo | None:
        """The model with the highest id; None while there is none."""
        with self._changed:
            return self._models[max(self._models)] if self._models else None

    def random(self) -> ModelInfo | None:
        """One of the models, chosen uniformly; None while there is none."""
        models = self.list()
        return self._rng.choice(models) if models else None

    def find(self, id: int | str) -> ModelInfo:
        """The model for a number, "latest" or "random". Raises NoSuchModel."""
        info = self.latest() if id == "latest" else self.random() if id == "random" else None
        with self._changed:
            if info is None and _ID.fullmatch(str(id)):
                info = self._models.get(int(id))
        if info is None:
            have = ", ".join(str(info.id) for info in self.list()) or "none yet"
            raise NoSuchModel(
                f"no model {id!r:.40}, so none was sent; there are: {have}. Ask for one of these, or raise "
                f"modelpool_max_save_model_count = {self._max_count}."
            )
        return info

    def put(self, folder: Path, info: ModelInfo) -> None:
        """Copies a model's files from `folder`. Raises BadModel: they are not what `info` says. MeshError: no room."""
        with self.receive(info) as incoming:
            for piece in pieces_of(open_files(folder, info)):
                incoming.write(piece)

    def get(self, id: int | str, into: Path) -> ModelInfo:
        """Copies a model's files, verified, to `into/model.ckpt-<id>.*`. Raises NoSuchModel."""
        info, files = self.open(id)
        return take(into, info, pieces_of(files))

    @contextmanager
    def receive(self, info: ModelInfo) -> Iterator[Incoming]:
        """Yields an Incoming to write the model's bytes to; at the end the model is checked and added, or deleted.

        Raises BadModel: the bytes are not what `info` says. OutdatedModel: all that are kept are newer.
        MeshError: there is no room for the bytes.
        """
        check(info)
        self._want_newer(info.id)
        free = shutil.disk_usage(self._folder).free
        if info.bytes > free:
            raise MeshError(
                f"no room for the {info.bytes:,} bytes of model {info.id}: {free:,} are free in {self._folder}; it was "
                "not pooled, the others stay. Free some space or lower modelpool_max_save_model_count."
            )
        working = self._folder / f"{_INCOMING}{info.id}-{next(self._serial)}"
        try:
            with Incoming(working, info) as incoming:
                yield incoming
                incoming.finish()
                (working / _INFO).write_text(json_text(info.to_json()))
                self._admit(incoming)
        except OSError as error:
            if trouble := disk.trouble(error, self._folder):
                raise MeshError(
                    f"no room for model {info.id} in {self._folder}: {trouble} ({error}); it was not pooled, the "
                    "others stay. Free some space or lower modelpool_max_save_model_count."
                ) from error
            raise

    def open(self, id: int | str) -> tuple[ModelInfo, Sequence[BinaryIO]]:
        """A model and its opened files, which stay readable if the model is removed meanwhile. Raises NoSuchModel."""
        with self._changed:  # re-entrant; no model is removed between finding and opening
            info = self.find(id)
            return info, open_files(self._folder / str(info.id), info)

    def overtaken(self) -> str:
        """In words, that the model that came last is not the newest, and what to do then; "": it is."""
        with self._changed:
            newest, last = max(self._models, default=-1), self._last
        if last is None or last >= newest:
            return ""
        return (
            f"model {newest} stays the newest although model {last} came last, so actors predict with {newest}. If it "
            f"is of another training, delete {self._folder / str(newest)}"
        )

    def forget_deleted(self) -> None:
        """Leaves out the models whose folder somebody has deleted; then another one may be the newest."""
        with self._changed:
            gone = [id for id in self._models if not (self._folder / str(id) / _INFO).exists()]
            for id in gone:
                self._log.warning("model %d is no longer in %s, so the pool has it no more", id, self._folder)
                del self._models[id]
            if gone:
                self._changed.notify_all()

    def wait_newer(self, known: ModelInfo | None, timeout_s: float) -> ModelInfo | None:
        """Waits until the newest model is not `known` and returns it; None after `timeout_s`."""
        with self._changed:
            self._changed.wait_for(lambda: self.latest() not in (None, known), timeout_s)
            newest = self.latest()
            return newest if newest != known else None

    def wake(self) -> None:
        """Wakes the threads in `wait_newer`, so that a server that stops need not wait for them."""
        with self._changed:
            self._changed.notify_all()

    def _want_newer(self, id: int) -> None:
        """Raises OutdatedModel, FarAhead. Warns: the model is kept, but another one stays the newest."""
        ids = [info.id for info in self.list()]
        if len(ids) >= self._max_count and id < ids[0]:
            raise OutdatedModel(
                f"model {id} is older than all {len(ids)} of the pool, {ids[0]} to {ids[-1]}, and was not pooled: it "
                "would be removed at once, and nobody would load it. If these are of another training, delete the "
                f"folders of their ids in {self._folder}."
            )
        if ids and id > ids[-1] + MOST_AHEAD:
            raise FarAhead(
                f"model {id} is {id - ids[-1]:,} learns ahead of model {ids[-1]}, the newest of the pool, and was not "
                f"pooled: what comes next would never be the newest, and no actor would load it. A model of this "
                f"training is at most {MOST_AHEAD:,} ahead; for one of another training begin a run with preload_model."
            )
        if ids and id < ids[-1]:
            self._log.warning("model %d comes after model %d, which stays the newest one of the pool", id, ids[-1])

    def _admit(self, incoming: Incoming) -> None:
        """Turns the working folder into the model's folder; removes the oldest models beyond `max_count`."""
        info = incoming.info
        with self._changed:
            if info.id in self._models:
                self._remove(info.id)
            target = self._folder / str(info.id)
            if os.path.lexists(target):  # what the start found to be no model
                documents.set_aside(target, f"is in the place of model {info.id}")
            incoming.working.rename(target)
            self._models[info.id] = info
            self._last = info.id
            for id in sorted(self._models)[: -self._max_count]:
                self._remove(id)
            self._changed.notify_all()

    def _remove(self, id: int) -> None:
        del self._models[id]
        gone = self._folder / f"{_OUTGOING}{id}-{next(self._serial)}"
        with suppress(FileNotFoundError):  # somebody has deleted it
            (self._folder / str(id)).rename(gone)  # first, so that a folder with an id is never half deleted
        shutil.rmtree(gone, ignore_errors=True)

    def _restore(self) -> None:
        for path in sorted(self._folder.iterdir()):
            if path.name.startswith((_INCOMING, _OUTGOING)):
                shutil.rmtree(path, ignore_errors=True)
            elif _ID.fullmatch(path.name) and path.is_dir():
                try:
                    info = ModelInfo.from_json(json.loads(documents.read_bytes(path / _INFO)))
                    check(info)
                    if str(info.id) != path.name:
                        raise MeshError(f"its {_INFO} says that it is model {info.id}")
                    checkpoint.verify(path, info)
                except (
                    OSError,
                    ValueError,
                    KeyError,
                    TypeError,
                    AttributeError,
                    ArithmeticError,
                    RecursionError,
                    MeshError,
                ) as error:
                    self._log.warning("model %s of the pool is damaged and dropped: %s", path.name, error)
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    self._models[info.id] = info
        for id in sorted(self._models)[: -self._max_count]:
            self._remove(id)
