"""When the next learn may begin, by the rules of the configuration; says what is missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from kaimesh.config import App
from kaimesh.config.check import fresh_samples, preload_samples
from kaimesh.contract.agent import TableSpec
from kaimesh.contract.arrays import Batch
from kaimesh.learner.replay_ratio import ReplayRatio
from kaimesh.process.meter import Meter


class Reader(Protocol):
    """What the trainer needs of buffer/drawing/reader.py. Methods raise PeerError while a buffer does not answer."""

    def next_batch(self, timeout_s: float) -> Batch | None:
        """`train_batch_size` samples, or None: there were not so many within `timeout_s`."""

    def inserted(self) -> int:
        """The number of samples that were ever inserted."""

    def size(self) -> int:
        """The number of samples in the tables now."""

    def pace(self, more: float | None) -> int:
        """Says how many positions more the buffers may take (see Buffers); returns how many they have ever taken."""

    def drop_all(self) -> int:
        """Empties the tables and drops prefetched samples; returns the number of samples dropped."""

    def prioritise(self, batch: Batch, priorities: np.ndarray) -> None:
        """Sets the priorities `[B]` of the samples of `batch`, which `next_batch` returned."""


class Trigger:
    """Decides when the next learn may begin.

    Off-policy, a replay table must first be filled up to `preload_ratio`. Then, with `learner_train_by_while_true`, a
    learn may begin at any time; without, after every `fresh_samples / production_consume_ratio` inserted samples.
    `learner_train_sleep_seconds` pass between two learns in every case. With `replay_ratio`, see learner/replay_ratio.
    clock: seconds, monotonic. meter: keeps what `replay_ratio` counts.
    """

    def __init__(
        self, app: App, table: TableSpec, reader: Reader, clock: Callable[[], float], meter: Meter | None = None
    ) -> None:
        self._reader, self._clock = reader, clock
        self._pause_s = app.learner_train_sleep_seconds
        off_policy = app.algorithm_on_policy_or_off_policy == "off-policy"
        by_ratio = off_policy and not app.learner_train_by_while_true
        # A SampleToInsertRatio limiter delays the first draws itself. It also blocks inserts on a server that has
        # enough samples, while another server has too few: their sum might never reach the threshold.
        by_limiter = app.reverb_rate_limiter == "SampleToInsertRatio" and len(app.buffer_addrs) > 1
        waits = off_policy and table.kind == "replay" and not by_limiter
        self._preload = preload_samples(app) if waits else 0
        self._rows_per_learn = fresh_samples(app) / app.production_consume_ratio if by_ratio else 0.0
        self._paced: ReplayRatio | None = None
        if app.replay_ratio:
            meter = meter or Meter("learner")
            self._paced = ReplayRatio(app.replay_ratio, reader, learn=app.train_batch_size, meter=meter)
        self._resting_until = clock()
        self._due: float | None = None  # the next learn may begin at so many inserted samples

    def blocked_on(self) -> str:
        """What the next learn waits for, or "" if it may begin. Raises PeerError."""
        if (rest_s := self._resting_until - self._clock()) > 0:
            return f"learner_train_sleep_seconds: {rest_s:.1f} s"
        if self._preload:
            if self._paced is not None:
                self._paced.open()
            size = self._reader.size()
            if size < self._preload:
                return f"buffer: {size:,} of {self._preload:,} samples (preload_ratio)"
            self._preload = 0
            if self._paced is not None:
                self._paced.close()
        if self._paced is not None:
            return self._paced.blocked_on()
        return self._ratio() if self._rows_per_learn else ""

    def starved(self) -> None:
        """Must be called when a learn might begin and there were too few samples for it. Raises PeerError."""
        if self._paced is not None:
            self._paced.open()

    def learned(self, positions: int = 0) -> None:
        """Must be called after each learn. positions: from how many it learned."""
        if self._paced is not None:
            self._paced.learned(positions)
        self._resting_until = self._clock() + self._pause_s
        if self._due is not None:
            self._due += self._rows_per_learn

    def _ratio(self) -> str:
        inserted = self._reader.inserted()
        # The first call; or a buffer was restarted, and its count with it.
        if self._due is None or inserted < self._due - self._rows_per_learn:
            self._due = float(inserted)
        if inserted >= self._due:
            return ""
        return f"buffer: {self._due - inserted:,.0f} more new samples (production_consume_ratio)"
