"""A share of each batch that is replayed: what is drawn, what is overwritten, and that it does not depend on timing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaimesh.buffer.drawing.assemble import InOrder
from kaimesh.buffer.drawing.reader import Reader
from kaimesh.buffer.ingest import Ingest
from kaimesh.config import App
from kaimesh.contract.agent import TableSpec
from kaimesh.contract.arrays import Batch
from kaimesh.contract.columns import KEY, PROBABILITY, REPLAYED
from kaimesh.contract.errors import ConfigError
from kaimesh.learner.replay_share import FRESH_BATCHES, ReplayShare, replay_share
from kaimesh.process.meter import Meter
from tests.buffer.conftest import check_rows, config_of, rows

B, FRESH = 8, 5
TABLE = TableSpec(kind="queue", rows_per_item=1, prioritised=True)
WAIT_S = 60.0


class Mixer:
    """Batches of the rows 0, 1, 2, ..., each a learn whose priorities are `priority(number)`."""

    def __init__(
        self, priority: Callable[[np.ndarray], np.ndarray] | None = None, *, fresh: int = FRESH, **wanted: Any
    ) -> None:
        wanted = {"capacity": 40, "exponent": 1.0, "prioritised": True, "seed": 1, **wanted}
        self.meter = Meter("learner_0")
        self.share = ReplayShare(rows(1).specs, batch_size=B, fresh=fresh, meter=self.meter, **wanted)
        self.order = InOrder(rows(1).specs, B, share=self.share)
        self.priority, self.fed = priority, 0

    def feed(self, count: int) -> list[Batch]:
        columns = {name: column[:, None] for name, column in rows(count, self.fed).columns.items()}
        self.fed += count
        return self.order.feed(columns, np.ones(count, np.int64))

    def batch(self) -> Batch:
        """The next one, from as few rows as it takes; the one before is learned from meanwhile, as in the mesh."""
        (batch,) = self.feed(self.share.wanted)
        if self.priority is not None:
            self.share.prioritise(batch, self.priority(batch.number))
        return batch


def samples_of(batch: Batch) -> np.ndarray:
    """That no field was mixed up with another row's; the rows' numbers."""
    return check_rows(Batch({name: batch.columns[name] for name in rows(1).columns}))


def replayed(batch: Batch) -> np.ndarray:
    return samples_of(batch)[batch.columns[REPLAYED]]


def test_the_first_batches_are_fresh_and_then_a_share_of_each_is() -> None:
    mixer = Mixer()
    for number in range(6):
        start = mixer.fed
        batch = mixer.batch()
        fresh = B if number < FRESH_BATCHES else FRESH
        assert mixer.fed - start == fresh
        np.testing.assert_array_equal(samples_of(batch)[:fresh], np.arange(start, mixer.fed))
        np.testing.assert_array_equal(batch.columns[REPLAYED], np.arange(B) >= fresh)
        np.testing.assert_array_equal(batch.columns[KEY], batch.number)  # rows are numbered as they come
        assert (batch.columns[PROBABILITY][:fresh] == 1).all()
    assert mixer.meter.gauges["replay_size"] == mixer.fed


def test_what_is_drawn_was_learned_from_before_and_its_priority_is_known() -> None:
    mixer = Mixer(lambda number: np.ones(len(number)))
    before = [0, 0]
    for _ in range(200):
        drawn = replayed(mixer.batch())
        assert (drawn < before[-2]).all()  # of the batches up to the one before the last
        assert (drawn >= before[-1] - 40).all()
        before.append(mixer.fed)


def test_draws_follow_the_priorities() -> None:
    """A chi-square test of the last 40 rows; row n has the priority 1 + n % 5. Draws by equal parts vary less."""
    mixer = Mixer(lambda number: 1.0 + number % 5, fresh=5, capacity=45)
    wanted, got = np.zeros(5), np.zeros(5)
    for number in range(3000):
        batch = mixer.batch()
        if number > 20:
            np.add.at(got, replayed(batch) % 5, 1)
            wanted += 3 * np.arange(1, 6) / 15
    assert ((got - wanted) ** 2 / wanted).sum() < 18.5  # 0.999 quantile at 4 degrees of freedom
    assert ((got - wanted.mean()) ** 2 / wanted.mean()).sum() > 100  # would be seen


@pytest.mark.parametrize(("exponent", "power"), [(0.0, 0), (0.5, 0.5), (1.0, 1)])
def test_the_probability_of_what_was_drawn_is_told(exponent: float, power: float) -> None:
    mixer = Mixer(lambda number: 1.0 + number % 5, exponent=exponent)
    for _ in range(20):
        known = np.arange(max(0, mixer.fed - 40), mixer.share._first[0])  # while the batch begins
        batch = mixer.batch()
    weights = (1.0 + known % 5) ** power
    wanted = (1.0 + replayed(batch) % 5) ** power / weights.mean()
    np.testing.assert_allclose(batch.columns[PROBABILITY][FRESH:], wanted)


def test_importance_weights_undo_the_priorities() -> None:
    mixer = Mixer(lambda number: 1.0 + number % 5, capacity=45)
    total = weights = 0.0
    for _ in range(4000):
        batch = mixer.batch()
        weight = batch.columns[REPLAYED] / batch.columns[PROBABILITY]
        total, weights = total + float(weight @ (batch.number % 5)), weights + weight.sum()
    assert abs(total / weights - 2.0) < 0.05  # the mean of 0..4; by priorities it would be 2.67


def test_the_oldest_are_overwritten_and_a_late_priority_of_theirs_touches_nobody() -> None:
    mixer = Mixer(capacity=2 * B)
    first = mixer.feed(B)[0]
    late = Batch({KEY: first.columns[KEY].copy()})
    for _ in range(5):
        mixer.batch()
    mixer.share.prioritise(late, np.full(B, 1e9))
    for _ in range(50):
        oldest = mixer.fed - 2 * B
        batch = mixer.batch()
        assert (replayed(batch) >= oldest).all()
        assert (batch.columns[PROBABILITY] == 1).all()  # all are alike


def test_without_priorities_all_are_alike() -> None:
    mixer = Mixer(prioritised=False)
    counts = np.zeros(200)
    for _ in range(10):
        batch = mixer.batch()
        assert set(batch.columns) == {*rows(1).columns, REPLAYED}
        np.add.at(counts, replayed(batch), 1)
    assert counts.sum() == 8 * (B - FRESH)


@settings(max_examples=60, deadline=None)
@given(
    fresh=st.integers(1, B - 1),
    capacity=st.integers(2 * B, 70),
    sizes=st.lists(st.integers(1, 7), min_size=30, max_size=60),
    seed=st.integers(0, 5),
)
def test_no_row_is_torn_lost_or_twice_fresh(fresh: int, capacity: int, sizes: list[int], seed: int) -> None:
    """However the rows come: each is fresh once, in order, and a replayed one is whole and of the last `capacity`."""
    mixer = Mixer(fresh=fresh, capacity=capacity, seed=seed)
    seen = 0
    rng = np.random.default_rng(seed)
    for size in sizes:
        for batch in mixer.feed(size):
            numbers, again = samples_of(batch), batch.columns[REPLAYED]
            np.testing.assert_array_equal(numbers[~again], np.arange(seen, seen + (~again).sum()))
            assert ((numbers[again] < seen) & (numbers[again] >= seen - capacity)).all()
            seen += int((~again).sum())
            mixer.share.prioritise(batch, rng.random(B) + 1e-3)
            del batch


def test_batches_do_not_depend_on_when_priorities_come() -> None:
    """The learn of batch k may end before batch k + 1 begins, or after it is whole."""

    def priorities(batch: Batch) -> np.ndarray:
        return 1.0 + batch.number * 7 % 11

    results = []
    for late in (False, True):
        mixer, taken, held = Mixer(), [], []
        for _ in range(30):
            batch = mixer.batch()
            taken.append(samples_of(batch))
            held.append((Batch({KEY: batch.columns[KEY].copy()}), priorities(batch)))
            while len(held) > late:
                mixer.share.prioritise(*held.pop(0))
        results.append(np.concatenate(taken))
    np.testing.assert_array_equal(*results)


def test_the_seed_decides() -> None:
    runs = []
    for seed in (1, 1, 2):
        mixer = Mixer(seed=seed)
        runs.append([tuple(samples_of(mixer.batch())) for _ in range(10)])
    assert runs[0] == runs[1] != runs[2]


def test_a_share_of_0_allocates_nothing_and_a_large_one_is_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    log, specs, meter = logging.getLogger("reader"), rows(1).specs, Meter("learner_0")
    assert replay_share(specs, App(), TABLE, meter, log) is None
    assert not caplog.records
    assert replay_share(specs, App(replay_share=0.5), TABLE, meter, log) is not None
    assert "32 of each batch of 64 are replayed; the last 1,000 samples" in caplog.text
    nbytes, app = 10**5 * specs.row_bytes, App(replay_share=0.5, replay_share_capacity=10**5)
    monkeypatch.setattr("kaimesh.process.memory.limit_bytes", lambda: 2 * nbytes - 1)
    replay_share(specs, app, TABLE, meter, log)
    assert caplog.records[-1].levelname == "WARNING"
    monkeypatch.setattr("kaimesh.process.memory.limit_bytes", lambda: nbytes - 1)
    with pytest.raises(ConfigError, match=r"the last 100,000 samples .* It would be killed.* Lower replay_share_capac"):
        replay_share(specs, app, TABLE, meter, log)


@pytest.fixture
def reader() -> Iterator[Callable[..., tuple[Reader, Ingest]]]:
    """Readers of buffers in this process, through Reverb."""
    opened: list[Any] = []

    def start(**app: Any) -> tuple[Reader, Ingest]:
        config = config_of(App(train_batch_size=B, replay_buffer_capacity=40, replay_share_exponent=1.0, **app))
        ingest = Ingest(TABLE, config.app, meter=Meter("buffer_0"))
        meter = Meter("l")
        share = partial(replay_share, app=config.app, table=TABLE, meter=meter, logger=logging.getLogger("reader"))
        made = Reader(
            [], [], "", batch_size=B, table=TABLE, config=config, meter=meter, controls=[ingest], completer=share
        )
        opened.extend([made, ingest])
        ingest.declare(rows(1).specs, None)
        return made, ingest

    yield start
    for each in opened:
        each.close()


def test_through_the_buffer_the_same_rows_give_the_same_batches(reader: Callable[..., tuple[Reader, Ingest]]) -> None:
    runs = []
    for piece in (3, 10):
        made, ingest = reader(replay_share=0.4, replay_share_capacity=30)
        numbers, start = [], 0
        for _ in range(12):
            while (batch := made.next_batch(0.0)) is None:
                if ingest.flush(0.0, partial=False):
                    ingest.insert(rows(piece, start))
                    start += piece
            made.prioritise(batch, 1.0 + batch.number % 7)
            numbers.append(samples_of(batch))
        runs.append(np.stack(numbers))
    np.testing.assert_array_equal(*runs)
    assert len(np.unique(runs[0][:, :FRESH])) == 12 * FRESH


def test_without_a_share_batches_are_as_ever(reader: Callable[..., tuple[Reader, Ingest]]) -> None:
    made, ingest = reader()
    ingest.insert(rows(2 * B))
    assert ingest.flush(WAIT_S)
    for start in (0, B):
        batch = made.next_batch(WAIT_S)
        assert batch is not None
        assert set(batch.columns) == set(rows(1).columns)
        np.testing.assert_array_equal(check_rows(batch), np.arange(start, start + B))
