"""Replay for queues: a share of each batch is drawn from earlier samples, which the learner keeps in its own memory.

IMPALA's replay experiments (section 5.2.2 of arXiv:1802.01561) and LASER (arXiv:1909.11583) mix fresh unrolls and
replayed ones in each batch; here the replayed ones are drawn by priorities, arXiv:1511.05952, as sections 3.3 and 3.4
there have it.

Shape legend: B rows in a batch, F of them fresh, R = B - F replayed; N places of the memory; `...` one row's field.
"""

from __future__ import annotations

import logging
import os
from collections import deque

import numpy as np

from kaimesh.config import App
from kaimesh.config.check import fresh_samples
from kaimesh.contract.agent import TableSpec
from kaimesh.contract.arrays import ArraySpec, Batch, Columns, Specs
from kaimesh.contract.columns import KEY, PROBABILITY, REPLAYED
from kaimesh.process.meter import Meter

FRESH_BATCHES = 2  # the first ones, after which as many rows as a batch has may be drawn
_MUCH = 0.5  # of the machine's memory


class ReplayShare:
    """The last N rows of a queue, and which of them join the fresh ones.

    A row can be drawn when it was learned from once and that learn's priority is known: batch k draws by what the
    learns up to that of batch k - 2 returned, for k - 1 may be under way. So the draws depend on the seed and not on
    timing. Priorities that were not given count as 1.

    One thread calls `wanted` and `complete`, which alone touch the rows; another one may call `prioritise`.
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
        self._rng = np.random.default_rng([seed, 3])
        self._rows = {name: np.empty((capacity, *spec.shape), spec.dtype) for name, spec in specs}  # [N, ...]
        # Rows are numbered as they come; row number i lies at place i % N.
        self._number = np.full(capacity, -1, np.int64)  # [N], of the row at each place
        self._weight = np.zeros(capacity)  # [N], priority ^ exponent; 0: cannot be drawn
        self._kept = self._drawable = 0  # numbers below these are or were in the memory, and can be or could be drawn
        self._first = (0, 0)  # numbers of the first fresh row of the latest batch, and of the one that begins
        self._news: deque[tuple[np.ndarray, np.ndarray]] = deque()
        self._batches = 0

    @property
    def columns(self) -> Specs:
        """What batches have besides the samples' own columns."""
        own = {KEY: ArraySpec("<u8", ()), PROBABILITY: ArraySpec("<f8", ())} if self._prioritised else {}
        return Specs({REPLAYED: ArraySpec("|b1", ()), **own})

    @property
    def wanted(self) -> int:
        """Fresh rows that the batch which begins now needs."""
        return self._batch_size if self._batches < FRESH_BATCHES else self._fresh

    def complete(self, batch: Columns) -> None:
        """Fills a batch `[B, ...]`, whose first `wanted` rows are fresh, with replayed ones, and keeps the fresh ones."""
        fresh = self.wanted
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
        """What the learn of `batch`, one that `complete` made, found for its rows: `[B]`, above 0."""
        self._news.append((batch.columns[KEY].astype(np.int64), np.asarray(priorities, np.float64)))

    def _take_priorities(self) -> None:
        """Makes the rows up to the batch before the last drawable."""
        known = self._first[0]
        self._weight[np.arange(self._drawable, known) % len(self._weight)] = 1.0
        self._drawable = known
        while self._news and self._news[0][0][0] < known:  # a batch's first row is fresh, so it tells the batch
            numbers, priorities = self._news.popleft()
            places = numbers % len(self._number)
            there = self._number[places] == numbers
            self._weight[places[there]] = priorities[there] ** self._exponent

    def _draw(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Places `[R]`, one from each of R equal parts of all weights; N P(i) of each, where N counts what can be
        drawn.
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
        """The fresh rows replace the oldest."""
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
    """As the configuration wants it for rows of `specs`; None without. Says what it takes."""
    if app.replay_share == 0:
        return None
    fresh, nbytes = fresh_samples(app), app.replay_share_capacity * specs.row_bytes
    logger.log(
        logging.WARNING if nbytes > _MUCH * _memory_bytes() else logging.INFO,
        "replay_share: of each batch of %d samples, %d are drawn from the last %d; these take %.0f MB of the learner's memory "
        "(replay_share_capacity), of %.0f MB in this machine",
        app.train_batch_size,
        app.train_batch_size - fresh,
        app.replay_share_capacity,
        nbytes / 1e6,
        _memory_bytes() / 1e6,
    )
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


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
