"""Pushes the learner's dumps to the model pool in a thread of its own, so that training never waits for the network."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from kaimesh.contract.errors import MeshError, PeerError, Stopped
from kaimesh.process.meter import Meter
from kaimesh.training.checkpoint import ModelInfo

_FIRST_RETRY_S, _LAST_RETRY_S = 0.2, 3.0  # after a full disk got free space, the pool has the model within 5 s

Push = Callable[[Path, ModelInfo], None]


class Publisher:
    """Pushes the newest dump, at most one every `every_s` seconds (0: each one at once).

    A dump is skipped if a newer one comes before it is pushed; the first and the last one are never skipped. While the
    pool does not answer, the push is tried again with back-off, and `meter.info["model_pool"]` has the reason. Counter
    models_pushed, gauge pushed_version.
    """

    def __init__(self, push: Push, *, every_s: float, meter: Meter, logger: logging.Logger) -> None:
        self._push, self._every_s = push, every_s
        self._meter, self._log = meter, logger
        self._changed = threading.Condition()
        self._pending: tuple[Path, ModelInfo] | None = None
        self._busy = False
        self._closing = False
        self._not_before = 0.0
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._thread.start()

    def submit(self, folder: Path, info: ModelInfo) -> None:
        """Has the model pushed by the thread; returns at once."""
        with self._changed:
            self._pending = (folder, info)
            self._changed.notify_all()

    def submit_and_wait(self, folder: Path, info: ModelInfo, stop: threading.Event) -> None:
        """Has the model pushed; returns when the pool has it. On-policy, no aisrv continues before that.

        Raises Stopped: `stop` was set.
        """
        self.submit(folder, info)
        with self._changed:
            while not self._changed.wait_for(self._is_done, 0.5):
                self._meter.state(
                    "waiting", str(self._meter.info.get("model_pool") or f"model_pool: pushing {info.id}")
                )
                if stop.is_set():
                    raise Stopped

    def close(self, timeout_s: float) -> None:
        """Tries once more to push a pending model, at once, and waits at most `timeout_s` for it.

        If it fails, a resume pushes the model again.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            if not self._changed.wait_for(self._is_done, timeout_s):
                self._log.warning(
                    "the last model did not reach the pool within %g s, so the pool lacks it; --resume pushes it again",
                    timeout_s,
                )

    def _is_done(self) -> bool:
        return self._pending is None and not self._busy

    def _run(self) -> None:
        retry_s = _FIRST_RETRY_S
        while True:
            folder, info = self._next()
            last_try = self._closing
            try:
                self._push(folder, info)
            except PeerError as error:
                self._complain(error)
                if last_try:
                    self._log.warning("model %d did not reach the pool: %s; --resume pushes it again", info.id, error)
                    self._done()
                    continue
                self._again(folder, info, retry_s)
                retry_s = min(2 * retry_s, _LAST_RETRY_S)
            except (MeshError, OSError) as error:  # for example, the user or the retention of dumps removed a file
                self._log.warning("model %d was not pushed, so actors wait for the next dump: %s", info.id, error)
                self._done()
            else:
                if self._meter.info.pop("model_pool", None):
                    self._log.info("the model pool answers again")
                self._meter.count("models_pushed")
                self._meter.gauge("pushed_version", info.id)
                retry_s, self._not_before = _FIRST_RETRY_S, time.monotonic() + self._every_s
                self._done()

    def _next(self) -> tuple[Path, ModelInfo]:
        """Waits until there is a model and it may be pushed; takes it."""
        with self._changed:
            while self._pending is None or (not self._closing and time.monotonic() < self._not_before):
                wait_s = None if self._pending is None else self._not_before - time.monotonic()
                self._changed.wait(wait_s)
            taken, self._pending, self._busy = self._pending, None, True
            return taken

    def _again(self, folder: Path, info: ModelInfo, retry_s: float) -> None:
        """Makes the model pending again unless there is a newer one, and waits `retry_s`, also if a newer one comes."""
        with self._changed:
            self._pending = self._pending or (folder, info)
            self._busy = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._closing, retry_s)

    def _done(self) -> None:
        with self._changed:
            self._busy = False
            self._changed.notify_all()

    def _complain(self, error: PeerError) -> None:
        if "model_pool" not in self._meter.info:
            self._log.warning("%s; training goes on and the push is tried again, but actors get no newer model", error)
        self._meter.info["model_pool"] = str(error)
