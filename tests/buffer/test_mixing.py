"""A batch out of packed items is as good as one drawn row by row: marginals, siblings, partly filled items."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kaimesh.buffer import tables
from kaimesh.buffer.drawing.assemble import InOrder, Mixed
from kaimesh.buffer.items import OpenItem, row_counts, view_items
from kaimesh.config import App
from kaimesh.contract.agent import TableSpec
from kaimesh.contract.arrays import Batch, Specs
from kaimesh.contract.errors import SampleError
from tests.buffer.conftest import WAIT_S, LocalBuffer, check_rows, rows

CAPACITY, BATCH, BATCHES = 6400, 64, 400
SPECS = rows(1).specs


class Table:
    """Items as Reverb's uniform sampler draws them, without Reverb: the same statistics in a thousandth of the time."""

    def __init__(self, counts: list[int], rows_per_item: int) -> None:
        self.rows_per_item, self.items = rows_per_item, []
        first = 0
        for count in counts:
            item = OpenItem(SPECS, rows_per_item)
            assert item.fill(rows(count, first).columns, 0) == count
            self.items.append(item.finish().copy())
            first += count
        self.rows = first

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return np.stack([self.items[i] for i in rng.integers(len(self.items), size=count)])

    def batches(self, assembler: Any, wanted: int) -> np.ndarray:
        """Row numbers `[wanted, BATCH]`."""
        rng, found = np.random.default_rng(1), []
        while len(found) < wanted:
            items = self.draw(rng, 64)
            columns = view_items(items, SPECS, self.rows_per_item)
            found += [check_rows(batch) for batch in assembler.feed(columns, row_counts(items, self.rows_per_item))]
        return np.stack(found[:wanted])


def mixed(rows_per_item: int, **changes: int) -> Mixed:
    plan = tables.plan(
        TableSpec(rows_per_item=rows_per_item), SPECS, App(replay_buffer_capacity=CAPACITY, train_batch_size=BATCH)
    )
    values = {"rows_per_draw": plan.rows_per_draw, "pool_rows": plan.pool_rows, "seed": 7, **changes}
    return Mixed(SPECS, BATCH, **values)


def pairs_of_one_item(batches: np.ndarray, rows_per_item: int) -> float:
    """Pairs of rows of a batch that were stored in the same item, on average."""
    items = np.sort(batches // rows_per_item, axis=1)
    counts = [np.unique(row, return_counts=True)[1] for row in items]
    return float(np.mean([np.sum(c * (c - 1) / 2) for c in counts]))


@pytest.mark.parametrize("rows_per_item", [16, 64])
def test_every_row_is_equally_likely(rows_per_item: int) -> None:
    table = Table([rows_per_item] * (CAPACITY // rows_per_item), rows_per_item)
    batches = table.batches(mixed(rows_per_item), BATCHES)
    for step in (1, 100):  # the latter sums over time, where a drift would show
        count = np.bincount(batches.ravel() // step, minlength=CAPACITY // step)
        expected = batches.size / len(count)
        chi_square = float(np.sum((count - expected) ** 2) / expected)
        freedom = len(count) - 1
        assert abs(chi_square - freedom) < 6 * np.sqrt(2 * freedom) * np.sqrt(tables.ROWS_PER_DRAW)


@pytest.mark.parametrize("rows_per_item", [16, 64])
def test_a_batch_holds_about_as_many_siblings_as_one_drawn_row_by_row(rows_per_item: int) -> None:
    table = Table([rows_per_item] * (CAPACITY // rows_per_item), rows_per_item)
    by_row = np.random.default_rng(2).integers(CAPACITY, size=(BATCHES, BATCH))
    expected = BATCH * (BATCH - 1) / 2 * rows_per_item / CAPACITY
    assert pairs_of_one_item(by_row, rows_per_item) == pytest.approx(expected, rel=0.1)
    ours = pairs_of_one_item(table.batches(mixed(rows_per_item), BATCHES), rows_per_item)
    assert ours < 1.3 * expected
    # What the test would see if rows were not mixed, or not picked:
    unmixed = pairs_of_one_item(table.batches(mixed(rows_per_item, pool_rows=BATCH), BATCHES), rows_per_item)
    unpicked = pairs_of_one_item(table.batches(InOrder(SPECS, BATCH), BATCHES), rows_per_item)
    assert unmixed > 2 * expected + 20
    assert unpicked > 4 * unmixed


def test_neighbours_in_time_are_no_likelier_than_chance() -> None:
    table = Table([16] * (CAPACITY // 16), 16)
    batches = np.sort(table.batches(mixed(16), BATCHES), axis=1)
    neighbours = float(np.mean(np.sum(np.diff(batches, axis=1) == 1, axis=1)))
    assert neighbours < 1.5 * BATCH * (BATCH - 1) / CAPACITY


def test_rows_of_partly_filled_items_are_as_likely_as_others() -> None:
    counts = [16, 1, 16, 4, 8, 16, 2, 16] * 8
    table = Table(counts, 16)
    batches = table.batches(mixed(16, pool_rows=256), 1000)
    count = np.bincount(batches.ravel(), minlength=table.rows)
    by_size = {size: [] for size in set(counts)}
    for item, size in enumerate(counts):
        start = sum(counts[:item])
        by_size[size].append(count[start : start + size].mean())
    expected = batches.size / table.rows
    for size, means in by_size.items():
        assert np.mean(means) == pytest.approx(expected, rel=0.12), f"items of {size} rows"


def test_a_batch_never_holds_one_draw_twice() -> None:
    """Without replacement from the pool: the same row again only where the table was drawn so."""
    assembler = mixed(16, pool_rows=128)
    table = Table([16] * 64, 16)
    items = np.stack(table.items)  # each item once
    batches = assembler.feed(view_items(items, SPECS, 16), row_counts(items, 16))
    numbers = np.concatenate([check_rows(batch) for batch in batches])
    assert len(numbers) == len(set(numbers.tolist())) == 192


def test_a_pool_that_gets_no_more_gives_what_it_has() -> None:
    assembler = mixed(16, pool_rows=1000)
    table = Table([16] * 32, 16)
    items = np.stack(table.items)
    assert assembler.feed(view_items(items, SPECS, 16), row_counts(items, 16)) == []
    first = assembler.rest()
    assert first is not None
    assert len(first) == BATCH
    assert assembler.rest() is not None
    assert assembler.rest() is None  # 128 rows were there
    assembler.feed(view_items(items, SPECS, 16), row_counts(items, 16))
    assembler.clear()
    assert assembler.rest() is None


def test_the_same_seed_mixes_the_same() -> None:
    table = Table([16] * 64, 16)
    one, two, other = (table.batches(mixed(16, pool_rows=256, seed=seed), 5) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()


def test_in_order_keeps_order_over_items_and_batches() -> None:
    counts = [1, 16, 3, 16, 16, 2, 16, 10]
    table = Table(counts, 16)
    assembler = InOrder(SPECS, 8)
    numbers: list[np.ndarray] = []
    for cut in range(0, len(counts), 3):
        items = np.stack(table.items[cut : cut + 3])
        numbers += [check_rows(batch) for batch in assembler.feed(view_items(items, SPECS, 16), row_counts(items, 16))]
    np.testing.assert_array_equal(np.concatenate(numbers), np.arange(80))


def test_what_there_is_of_a_batch_comes_only_where_it_is_wanted() -> None:
    items = np.stack(Table([5], 5).items)
    for partial in (False, True):
        assembler = InOrder(SPECS, 8, partial=partial)
        assert assembler.feed(view_items(items, SPECS, 5), row_counts(items, 5)) == []
        rest = assembler.rest()
        if partial:
            assert rest is not None
            np.testing.assert_array_equal(check_rows(rest), np.arange(5))
            assembler.feed(view_items(items, SPECS, 5), row_counts(items, 5))
            again = assembler.rest()
            assert again is not None
            assert not np.shares_memory(*(batch.columns["number"] for batch in (rest, again)))
        else:
            assert rest is None


@pytest.mark.parametrize("rows_per_item", [1, 16])
def test_statistics_hold_through_reverb(local: Callable[..., LocalBuffer], rows_per_item: int) -> None:
    """The whole path: sender, ingest, Reverb's sampler, reader."""
    buffer = local("replay", rows_per_item, 1600, 32)
    sender = buffer.sender()
    for start in range(0, 1600, 160):
        sender.put(rows(160, start))
    assert sender.flush(WAIT_S)
    reader = buffer.reader()
    assert reader.size() == 1600
    batches = []
    for _ in range(300):
        batch = reader.next_batch(WAIT_S)
        assert batch is not None
        batches.append(check_rows(batch))
    count = np.bincount(np.concatenate(batches) // 16, minlength=100)  # 96 draws each on average
    chi_square = float(np.sum((count - 96) ** 2) / 96)
    together = min(rows_per_item, tables.ROWS_PER_DRAW)  # rows of one draw come from one item: counts are its multiples
    assert chi_square < together * (99 + 6 * np.sqrt(2 * 99))  # Reverb's sampler has no seed
    assert pairs_of_one_item(np.stack(batches), 16) < 1.5 * 32 * 31 / 2 * 16 / 1600


def test_a_full_table_keeps_the_newest(local: Callable[..., LocalBuffer]) -> None:
    buffer = local("replay", 8, 80, 16)
    sender = buffer.sender()
    for start in range(0, 400, 40):
        sender.put(rows(40, start))
    assert sender.flush(WAIT_S)
    reader = buffer.reader()
    assert (reader.size(), reader.inserted()) == (80, 400)
    batch = reader.next_batch(WAIT_S)
    assert batch is not None
    assert check_rows(batch).min() >= 320


def test_a_table_that_must_fill_first_gives_nothing_before(local: Callable[..., LocalBuffer]) -> None:
    buffer = local("replay", 4, 64, 16, preload_ratio=0.5)
    sender = buffer.sender()
    sender.put(rows(28))
    assert sender.flush(WAIT_S)
    reader = buffer.reader()
    assert reader.next_batch(0.3) is None
    sender.put(rows(4, 28))
    assert sender.flush(WAIT_S)
    assert reader.next_batch(WAIT_S) is not None


def test_the_size_of_a_table_with_partly_filled_items(local: Callable[..., LocalBuffer]) -> None:
    buffer = local("replay", 16, 64, 16, preload_ratio=0.5)
    sender = buffer.sender()
    reader = buffer.reader()
    sizes = []
    for start in range(0, 40, 8):
        sender.put(rows(8, start))
        assert sender.flush(WAIT_S)  # stores an item of 8 rows
        sizes.append(reader.size())
    assert sizes == [8, 16, 24, 64, 64]  # full with 4 items: waiting for more rows would be for ever


def test_batches_are_the_callers_own(local: Callable[..., LocalBuffer]) -> None:
    buffer = local("replay", 4, 64, 16, preload_ratio=0.5)
    sender = buffer.sender()
    sender.put(rows(64))
    assert sender.flush(WAIT_S)
    reader = buffer.reader()
    held: list[Batch] = []
    for _ in range(20):
        batch = reader.next_batch(WAIT_S)
        assert batch is not None
        check_rows(batch)
        batch.columns["number"][:] = -1
        held.append(batch)
    assert all((batch.number == -1).all() for batch in held)
    assert threading.active_count() < 50


def test_items_of_other_specs_are_an_error() -> None:
    with pytest.raises(SampleError, match="stored under other specs"):
        view_items(np.zeros((2, 10), np.uint8), Specs(SPECS), 4)
