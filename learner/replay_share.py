"""Replay for queues: a share of each batch is drawn again from earlier samples, which the learner keeps in its memory.

IMPALA's replay experiments (section 5.2.2 of arXiv:1802.01561) and LASER (arXiv:1909.11583) mix fresh and replayed
unrolls in each batch. Here the replayed ones are drawn in proportion to priorities (arXiv:1511.05952, sections 3.3 and
3.4).

Shape legend: B rows in a batch, F of them fresh, R = B - F replayed; N places of the memory; `...` one row's field.
"""

from __future__ import annotations

import logging
from collections import deque

import numpy as np

from kaimesh.config import App
from kaimesh.config.check import fresh_samples
from kaimesh.contract.agent import TableSpec
from kaimesh.contract.arrays import ArraySpec, Batch, Columns, Specs
from kaimesh.contract.columns import KEY, PROBABILITY, REPLAYED
from kaimesh.contract.errors import ConfigError
from kaimesh.contract.seeds import Purpose, generator
from kaimesh.process import memory
from kaimesh.process.meter import Meter

FRESH_BATCHES = 2  # the first batches are fresh as a whole: before batch 2 no row may be drawn
_MUCH = 0.5  # of the memory; more is logged as a warning


class ReplayShare:
    """Keeps the last N rows of a queue, and fills each batch with some of them.

    A row may be drawn again once it was learned from and the priority that this learn returned is certainly known. A
    batch is made while the one before it is learned:

        time           ------------------------------------------------->
        make batch       0        1        2        3        4
        learn batch               0        1        2        3
        draw rows of     -        -        0        0, 1     0, 1, 2

    So batch 3 is filled with fresh rows of batches 0 and 1, by the newest priorities that learns 0 and 1 returned.
    Learn 2 has no influence, whether it is done already or not. That is why the draws depend on the seed and not on
    timing. Rows for which a learn returned no priority have priority 1.

    One thread calls `wanted` and `complete`, and only these use the rows; another thread may call `prioritise`.
    """

    def __init__(
        self,
        specs: Specs,
        *,
        batch_size: int,
        fresh: int,
        capacity: int,
        exponent: float,
        prioritised: bool,
        seed: int,
        meter: Meter,
    ) -> None:
        self._batch_size, self._fresh, self._exponent, self._meter = batch_size, fresh, exponent, meter
        self._prioritised = prioritised
        self._rng = generator(seed, Purpose.REPLAY_SHARE)
        self._rows = {name: np.empty((capacity, *spec.shape), spec.dtype) for name, spec in specs}  # [N, ...]
        # Rows are numbered in the order in which they come; row number i lies at place i % N.
        self._number = np.full(capacity, -1, np.int64)  # [N], the number of the row at each place
        self._weight = np.zeros(capacity)  # [N], priority ^ exponent; 0: may not be drawn
        self._kept = 0  # rows kept so far, so the number of the next one
        self._drawable = 0  # rows with smaller numbers may be drawn, unless they were overwritten
        self._first = (0, 0)  # the numbers of the first fresh row in the latest batch, and in the next one
        self._news: deque[tuple[np.ndarray, np.ndarray]] = deque()  # numbers and priorities from `prioritise`
        self._batches = 0

    @property
    def columns(self) -> Specs:
        """The columns that it adds to those of the samples."""
        own = {KEY: ArraySpec("<u8", ()), PROBABILITY: ArraySpec("<f8", ())} if self._prioritised else {}
        return Specs({REPLAYED: ArraySpec("|b1", ()), **own})

    @property
    def wanted(self) -> int:
        """The number of fresh rows that the next batch needs."""
        return self._batch_size if self._batches < FRESH_BATCHES else self._fresh

    def complete(self, batch: Columns, fresh: int) -> None:
        """Fills a batch `[B, ...]` after its `fresh` rows with replayed ones, and keeps the fresh ones."""
        self._take_priorities()
        places, probability = self._draw(self._batch_size - fresh)
        for name, rows in self._rows.items():
            np.take(rows, places, axis=0, out=batch[name][fresh:], mode="clip")
        batch[REPLAYED][:fresh], batch[REPLAYED][fresh:] = False, True
        numbers = np.arange(self._kept, self._kept + fresh)
        if self._prioritised:
            batch[KEY][:fresh], batch[KEY][fresh:] = numbers, self._number[places]
            batch[PROBABILITY][:fresh], batch[PROBABILITY][fresh:] = 1.0, probability
        self._keep(batch, numbers)
        self._batches += 1

    def prioritise(self, batch: Batch, priorities: np.ndarray) -> None:
        """Takes the priorities `[B]`, above 0, that the learn of `batch` returned; `complete` has made this batch."""
        self._news.append((batch.columns[KEY].astype(np.int64), np.asarray(priorities, np.float64)))

    def end(self) -> None:
        """See Completer; it has no threads."""

    def _take_priorities(self) -> None:
        """Makes the rows of all batches but the latest one drawable, by the priorities known for them."""
        known = self._first[0]
        self._weight[np.arange(self._drawable, known) % len(self._weight)] = 1.0
        self._drawable = known
        while self._news and self._news[0][0][0] < known:  # a batch's first row is fresh, so its number identifies it
            numbers, priorities = self._news.popleft()
            places = numbers % len(self._number)
            there = self._number[places] == numbers
            self._weight[places[there]] = priorities[there] ** self._exponent

    def _draw(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Draws R rows by weight, stratified: one from each of R equal parts of the sum of all weights.

        Returns their places `[R]`, and the probability of each times the number of drawable rows, `[R]`.
        """
        if not count:
            return np.zeros(0, np.int64), np.zeros(0)
        # 0.03 ms at 10,000 rows, where a sum tree takes 0.13; at 100,000 it is 0.29 against 0.16.
        cumulative = np.cumsum(self._weight)
        total = cumulative[-1]
        points = (np.arange(count) + self._rng.random(count)) * (total / count)
        places = np.searchsorted(cumulative, np.minimum(points, np.nextafter(total, 0)), side="right")
        return places, self._weight[places] / total * np.count_nonzero(self._weight)

    def _keep(self, batch: Columns, numbers: np.ndarray) -> None:
        """Stores the fresh rows in place of the oldest ones."""
        capacity, done = len(self._number), 0
        while done < len(numbers):
            place = int(numbers[done] % capacity)
            count = min(len(numbers) - done, capacity - place)
            for name, rows in self._rows.items():
                rows[place : place + count] = batch[name][done : done + count]
            done += count
        places = numbers % capacity
        self._number[places], self._weight[places] = numbers, 0.0
        self._kept += len(numbers)
        self._first = (self._first[1], self._kept)
        self._meter.gauge("replay_size", min(self._kept, capacity))


def replay_share(specs: Specs, app: App, table: TableSpec, meter: Meter, logger: logging.Logger) -> ReplayShare | None:
    """The replay share for rows of `specs` as configured; None if replay_share = 0. Logs the memory that it takes.

    Raises ConfigError: there is not so much memory.
    """
    if app.replay_share == 0:
        return None
    fresh, nbytes, memory_bytes = fresh_samples(app), app.replay_share_capacity * specs.row_bytes, memory.limit_bytes()
    takes = (
        f"the last {app.replay_share_capacity:,} samples (replay_share_capacity), of {specs.row_bytes:,} bytes each, "
        f"take {nbytes / 1e6:,.0f} MB of the learner's memory, of {memory_bytes / 1e6:,.0f} MB here"
    )
    if nbytes > memory_bytes:
        raise ConfigError(
            f"replay_share = {app.replay_share:g}: {takes}. It would be killed once they are there, so it learns "
            "nothing. Lower replay_share_capacity."
        )
    logger.log(
        logging.WARNING if nbytes > _MUCH * memory_bytes else logging.INFO,
        "replay_share: %d of each batch of %d are replayed; %s",
        app.train_batch_size - fresh, app.train_batch_size, takes,
    )  # fmt: skip
    return ReplayShare(
        specs,
        batch_size=app.train_batch_size,
        fresh=fresh,
        capacity=app.replay_share_capacity,
        exponent=app.replay_share_exponent,
        prioritised=table.prioritised,
        seed=app.random_seed,
        meter=meter,
    )
