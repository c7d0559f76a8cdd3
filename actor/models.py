"""Pulls newer models from the pool in a thread of its own, so that the actor predicts while a model is pulled."""

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
    """What is used of kaimesh.model_pool.client.ModelPoolClient."""

    def list(self) -> list[ModelInfo]:
        """All models, the oldest first."""
        ...

    def pull(self, id: int | str, into: Path) -> ModelInfo:
        """Writes a model into a folder. Raises PeerError."""
        ...

    def watch(self, stop: threading.Event) -> Iterator[ModelInfo]:
        """The newest model, then each newer one as soon as there is one."""
        ...


class Model(NamedTuple):
    """A pulled model: `folder/model.ckpt-<id>.*`."""

    folder: Path
    id: int


class Models:
    """Pulls each newer model into a folder of its own under `folder`, and removes those that are no longer needed.

    period_s: seconds between two looks at the pool; 0: the pool announces each newer model. `newest`: the model that
    was pulled last.
    """

    def __init__(
        self, pool: Pool, folder: Path, *, period_s: float, stop: threading.Event, logger: logging.Logger | None = None
    ) -> None:
        self.newest: Model | None = None
        self._pool, self._folder, self._period_s, self._stop = pool, folder, period_s, stop
        self._log = logger or logging.getLogger("kaimesh.actor.models")
        self._lock = threading.Lock()
        self._in_use: Model | None = None
        self._newest_info: ModelInfo | None = None
        self._on_disk: list[Model] = []
        self._numbers = count(1)
        self._failure: BaseException | None = None
        self._fetching = ThreadPoolExecutor(1, "asked models")
        self._thread = threading.Thread(target=self._run, name="models", daemon=True)
        shutil.rmtree(folder, ignore_errors=True)  # left behind by an earlier process

    def start(self) -> None:
        """Starts the thread that pulls."""
        self._thread.start()

    def take(self) -> Model | None:
        """The newest model; its folder is kept until the next `take`. Raises the error that ended the thread."""
        if self._failure is not None:
            raise self._failure
        with self._lock:
            self._in_use = self.newest
            return self._in_use

    def fetch(self, id: int | str) -> Future[Model]:
        """Pulls the model "random" or `id`; the caller must `discard` it after loading.

        The future fails with PeerError, or with MeshError: the disk is full.
        """
        return self._fetching.submit(lambda: self._pull(id)[0])

    def discard(self, model: Model) -> None:
        """Removes a fetched model's folder."""
        shutil.rmtree(model.folder, ignore_errors=True)

    def close(self) -> None:
        """Waits for the thread; it ends when `stop` is set."""
        self._fetching.shutdown(wait=False, cancel_futures=True)
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
            for info in self._announced():
                if info != self._newest_info:
                    self._pull_newest()
        except Exception as error:  # `take` raises it in the actor's loop
            self._failure = error

    def _announced(self) -> Iterator[ModelInfo]:
        """The pool's newest model, each time that it may have changed."""
        if self._period_s == 0:
            yield from self._pool.watch(self._stop)
            return
        while not self._stop.is_set():
            try:
                yield from self._pool.list()[-1:]
            except PeerError as error:
                self._log.warning("%s; this actor predicts with the model that it has, and tries again", error)
            self._stop.wait(self._period_s if self.newest is not None else _RETRY_S)

    def _pull_newest(self) -> None:
        """Pulls the newest model; tries again until it has it or the process stops."""
        complaint = ""
        while not self._stop.is_set():
            try:
                model, self._newest_info = self._pull("latest")
            except MeshError as error:
                if str(error) != complaint:
                    complaint = str(error)
                    self._log.warning("%s; this actor predicts with the model that it has, and tries again", error)
                self._stop.wait(_RETRY_S)
                continue
            with self._lock:
                self.newest = model
                unneeded = [old for old in self._on_disk if old != self._in_use]
            for old in unneeded:
                self.discard(old)
            self._on_disk = [model, *(old for old in self._on_disk if old not in unneeded)]
            return
