"""When the next learn may begin: the rules of the configuration, in words while they do not hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from kaimesh.config import App
from kaimesh.config.check import fresh_samples, preload_samples
from kaimesh.contract.agent import TableSpec
from kaimesh.contract.arrays import Batch


class Reader(Protocol):
    """What the trainer needs of kaimesh.buffer.drawing.reader.Reader; raises PeerError while no buffer answers."""

    def next_batch(self, timeout_s: float) -> Batch | None:
        """`train_batch_size` rows, or None when they did not come in time."""

    def inserted(self) -> int:
        """Rows ever inserted."""

    def size(self) -> int:
        """Rows there now."""

    def drop_all(self) -> int:
        """Empties the tables, and whatever was prefetched; returns how many rows that were."""

    def prioritise(self, batch: Batch, priorities: np.ndarray) -> None:
        """New priorities `[B]` for the samples of a batch that it gave."""


class Trigger:
    """Says what the next learn waits for.

    Off-policy, a replay table first fills up to the preload threshold. Then, `learner_train_by_while_true`: at any
    time, else once per `fresh_samples / production_consume_ratio` rows that came in. Between two learns,
    `learner_train_sleep_seconds` pass. clock: seconds, monotonic.
    """

    def __init__(self, app: App, table: TableSpec, reader: Reader, clock: Callable[[], float]) -> None:
        self._reader, self._clock = reader, clock
        self._pause_s = app.learner_train_sleep_seconds
        off_policy = app.algorithm_on_policy_or_off_policy == "off-policy"
        by_ratio = off_policy and not app.learner_train_by_while_true
        # A limiter that is to keep a ratio holds back the first draws itself. It also stops a server that has enough,
        # while another has not: waiting for their sum could take for ever.
        by_limiter = app.reverb_rate_limiter == "SampleToInsertRatio" and len(app.buffer_addrs) > 1
        waits = off_policy and table.kind == "replay" and not by_limiter
        self._preload = preload_samples(app) if waits else 0
        self._rows_per_learn = fresh_samples(app) / app.production_consume_ratio if by_ratio else 0.0
        self._resting_until = clock()
        self._due: float | None = None  # the count of inserted rows at which the next learn is due

    def blocked_on(self) -> str:
        """What the next learn waits for, or "" if it may begin. Raises PeerError."""
        if (rest_s := self._resting_until - self._clock()) > 0:
            return f"learner_train_sleep_seconds: {rest_s:.1f} s"
        if self._preload:
            size = self._reader.size()
            if size < self._preload:
                return f"buffer: {size:,} of {self._preload:,} samples (preload_ratio)"
            self._preload = 0
        return self._ratio() if self._rows_per_learn else ""

    def learned(self) -> None:
        """One learn was done."""
        self._resting_until = self._clock() + self._pause_s
        if self._due is not None:
            self._due += self._rows_per_learn

    def _ratio(self) -> str:
        inserted = self._reader.inserted()
        if self._due is None or inserted < self._due - self._rows_per_learn:  # the first time, or a buffer begins anew
            self._due = float(inserted)
        if inserted >= self._due:
            return ""
        return f"buffer: {self._due - inserted:,.0f} more new samples (production_consume_ratio)"
