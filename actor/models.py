"""Newer models from the pool, on a thread of its own, so that predictions go on while one is pulled."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import NamedTuple, Protocol

from kaimesh.contract.errors import MeshError, PeerError
from kaimesh.training.checkpoint import ModelInfo

_RETRY_S = 0.5


class Pool(Protocol):
    """What is needed of kaimesh.model_pool.client.ModelPoolClient."""

    def list(self) -> list[ModelInfo]:
        """Oldest first."""
        ...

    def pull(self, id: int | str, into: Path) -> ModelInfo:
        """Fetches a model; raises PeerError."""
        ...

    def watch(self, stop: threading.Event) -> Iterator[ModelInfo]:
        """The newest model, and each newer one."""
        ...


class Model(NamedTuple):
    """A pulled model: `folder/model.ckpt-<id>.*`."""

    folder: Path
    id: int


class Models:
    """Pulls each newer model into a folder of its own under `folder`, and removes those that nobody needs any more.

    period_s: seconds between looks; 0: the pool says when there is one. `newest` is the last pulled one.
    """

    def __init__(
        self, pool: Pool, folder: Path, *, period_s: float, stop: threading.Event, logger: logging.Logger | None = None
    ) -> None:
        self.newest: Model | None = None
        self._pool, self._folder, self._period_s, self._stop = pool, folder, period_s, stop
        self._log = logger or logging.getLogger("kaimesh.actor.models")
        self._lock = threading.Lock()
        self._in_use: Model | None = None
        self._have: ModelInfo | None = None
        self._on_disk: list[Model] = []
        self._numbers = count(1)
        self._failure: BaseException | None = None
        self._asked = ThreadPoolExecutor(1, "asked models")
        self._thread = threading.Thread(target=self._run, name="models", daemon=True)
        shutil.rmtree(folder, ignore_errors=True)  # of an earlier life

    def start(self) -> None:
        """Begins to pull."""
        self._thread.start()

    def take(self) -> Model | None:
        """The newest model; its folder stays until the next `take`. Raises what ended the thread, if something did."""
        if self._failure is not None:
            raise self._failure
        with self._lock:
            self._in_use = self.newest
            return self._in_use

    def fetch(self, id: int | str) -> Future[Model]:
        """Pulls "random" or a numbered model; the caller gives it to `discard` when it is loaded.

        Fails with PeerError, or MeshError: no room.
        """
        return self._asked.submit(lambda: self._pull(id)[0])

    def discard(self, model: Model) -> None:
        """Removes a fetched model's folder."""
        shutil.rmtree(model.folder, ignore_errors=True)

    def close(self) -> None:
        """Waits for the thread, which ends with `stop`."""
        self._asked.shutdown(wait=False, cancel_futures=True)
        if self._thread.is_alive():
            self._thread.join(5.0)

    def _pull(self, id: int | str) -> tuple[Model, ModelInfo]:
        folder = self._folder / f"{next(self._numbers):06d}"
        try:
            info = self._pool.pull(id, folder)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise MeshError(
                f"model {id!r} cannot be stored in {self._folder}: {error}; this actor predicts with the one before. "
                "Free some space."
            ) from error
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return Model(folder, info.id), info

    def _run(self) -> None:
        try:
            for info in self._looks():
                if info != self._have:
                    self._follow()
        except Exception as error:  # the loop raises it: see take
            self._failure = error

    def _looks(self) -> Iterator[ModelInfo]:
        """The pool's newest model, whenever it is time to compare it with ours."""
        if self._period_s == 0:
            yield from self._pool.watch(self._stop)
            return
        while not self._stop.is_set():
            try:
                yield from self._pool.list()[-1:]
            except PeerError as error:
                self._log.warning("%s; trying again", error)
            self._stop.wait(self._period_s if self.newest is not None else _RETRY_S)

    def _follow(self) -> None:
        """Pulls what is newest; tries until it has it or the process stops."""
        complaint = ""
        while not self._stop.is_set():
            try:
                model, self._have = self._pull("latest")
            except MeshError as error:
                if str(error) != complaint:
                    complaint = str(error)
                    self._log.warning("%s; predicting with the model that is here, trying again", error)
                self._stop.wait(_RETRY_S)
                continue
            with self._lock:
                self.newest = model
                unneeded = [old for old in self._on_disk if old != self._in_use]
            for old in unneeded:
                self.discard(old)
            self._on_disk = [model, *(old for old in self._on_disk if old not in unneeded)]
            return
