"""Batches, specs and the two byte layouts: what goes in comes out, exactly, whatever the fields are."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kaimesh.buffer.items import OpenItem, item_bytes, row_counts, view_items
from kaimesh.contract.arrays import (
    ALIGN_BYTES,
    ArraySpec,
    Batch,
    Specs,
    layout,
    pack_rows,
    unpack_rows,
    view_columns,
    wire_buffers,
)
from kaimesh.contract.errors import SampleError
from kaimesh.contract.structs import create_cls

DTYPES = ["|b1", "|i1", "|u1", "<i2", "<i4", "<i8", "<u2", "<u8", "<f2", "<f4", "<f8"]
NAMES = st.text("abcdefgh_", min_size=1, max_size=6)
FIELDS = st.builds(ArraySpec, st.sampled_from(DTYPES), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
SPECS = st.dictionaries(NAMES, FIELDS, min_size=1, max_size=5).map(Specs)


def batch_of(specs: Specs, count: int, seed: int) -> Batch:
    """Rows of random bytes: every bit pattern, NaN included."""
    generator = np.random.default_rng(seed)
    columns = {}
    for name, spec in specs:
        noise = generator.integers(0, 2 if spec.dtype == "|b1" else 256, (count, spec.nbytes), np.uint8)
        columns[name] = np.ascontiguousarray(noise).reshape(-1).view(spec.dtype).reshape(count, *spec.shape)
    return Batch(columns)


def assert_same_bytes(one: Batch, two: Batch) -> None:
    assert list(one.columns) == list(two.columns)
    for name, column in one.columns.items():
        other = two.columns[name]
        assert (column.dtype, column.shape) == (other.dtype, other.shape)
        assert np.ascontiguousarray(column).tobytes() == np.ascontiguousarray(other).tobytes()


@settings(max_examples=80, deadline=None)
@given(specs=SPECS, count=st.integers(0, 7), seed=st.integers(0, 99))
def test_the_wire_layout_is_exact_and_aligned(specs: Specs, count: int, seed: int) -> None:
    batch = batch_of(specs, count, seed)
    payload = b"".join(bytes(part) for part in wire_buffers(batch, specs))
    plan = layout(specs, count)
    assert len(payload) == plan.total_bytes
    assert all(offset % ALIGN_BYTES == 0 for offset in plan.offsets)
    assert_same_bytes(view_columns(memoryview(payload), specs, count), batch)


@settings(max_examples=80, deadline=None)
@given(specs=SPECS, items=st.integers(0, 4), rows_per_item=st.integers(1, 5), seed=st.integers(0, 99))
def test_packing_is_undone_by_unpacking(specs: Specs, items: int, rows_per_item: int, seed: int) -> None:
    batch = batch_of(specs, items * rows_per_item, seed)
    packed = pack_rows(batch, specs, rows_per_item)
    assert packed.shape == (items, layout(specs, rows_per_item).total_bytes)
    assert_same_bytes(unpack_rows(packed, specs, rows_per_item), batch)


@settings(max_examples=80, deadline=None)
@given(
    specs=SPECS,
    rows_per_item=st.integers(1, 5),
    pieces=st.lists(st.integers(1, 7), min_size=1, max_size=5),
    seed=st.integers(0, 99),
)
def test_items_hold_what_was_filled_in_however_it_came(
    specs: Specs, rows_per_item: int, pieces: list[int], seed: int
) -> None:
    total = sum(pieces)
    batch = batch_of(specs, total, seed)
    opened, stored, start = OpenItem(specs, rows_per_item), [], 0
    for size in pieces:
        piece, done = batch[start : start + size], 0
        while done < size:
            done += opened.fill(piece.columns, done)
            if opened.full:
                stored.append(opened.finish().copy())
        start += size
    if opened.rows:
        stored.append(opened.finish().copy())
    items = np.stack(stored)
    assert items.shape[1] == item_bytes(specs, rows_per_item)
    counts = row_counts(items, rows_per_item)
    assert counts.sum() == total
    assert (counts[:-1] == rows_per_item).all()
    viewed = view_items(items, specs, rows_per_item)
    rest = Batch(
        {name: column.reshape(len(items) * rows_per_item, *column.shape[2:])[:total] for name, column in viewed.items()}
    )
    assert_same_bytes(rest, batch)


def test_a_partly_filled_item_shows_nothing_of_the_one_before() -> None:
    specs = Specs({"x": ArraySpec("<i4", ())})
    opened = OpenItem(specs, 4)
    opened.fill({"x": np.array([1, 2, 3, 4], np.int32)}, 0)
    opened.finish()
    opened.fill({"x": np.array([9], np.int32)}, 0)
    assert view_items(opened.finish()[None], specs, 4)["x"].tolist() == [[9, 0, 0, 0]]


def test_items_are_viewed_and_not_copied() -> None:
    specs = Specs({"a": ArraySpec("|u1", (3,)), "x": ArraySpec("<f4", (4, 5))})
    for rows_per_item in (1, 3):
        items = np.zeros((2, item_bytes(specs, rows_per_item)), np.uint8)
        for column in view_items(items, specs, rows_per_item).values():
            assert np.shares_memory(column, items)


def test_views_into_a_payload_are_not_copied() -> None:
    specs = Specs({"x": ArraySpec("<f4", (2,))})
    payload = bytearray(layout(specs, 3).total_bytes)
    assert np.shares_memory(view_columns(memoryview(payload), specs, 3).x, np.frombuffer(payload, np.uint8))


@settings(max_examples=50, deadline=None)
@given(specs=SPECS)
def test_specs_survive_json(specs: Specs) -> None:
    assert Specs.from_json(specs.to_json()) == specs
    assert hash(Specs.from_json(specs.to_json())) == hash(specs)


@settings(max_examples=100, deadline=None)
@given(
    data=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda s: st.lists(s, max_size=4),
        max_leaves=12,
    )
)
def test_specs_from_a_stranger_are_refused_or_sound(data: Any) -> None:
    try:
        specs = Specs.from_json(data)
    except SampleError:
        return
    assert all(spec.nbytes >= 0 and np.dtype(spec.dtype).kind in "biuf" for _, spec in specs)


@pytest.mark.parametrize(
    "data",
    [
        None,
        3,
        [["x", "O", []]],
        [["x", "<f4", [-1]]],
        [["x", "<f4", [2**31]]],
        [["x", "<f4", []], ["x", "<f4", []]],
        [["x", "S3", []]],
        [["x"]],
    ],
)
def test_specs_that_cannot_travel_are_refused(data: Any) -> None:
    with pytest.raises(SampleError):
        Specs.from_json(data)


@pytest.mark.parametrize("change", [-1, 1])
def test_a_payload_of_another_length_is_refused(change: int) -> None:
    specs = Specs({"x": ArraySpec("<f4", (2,))})
    with pytest.raises(SampleError, match=r"3 rows of .* take 24"):
        view_columns(memoryview(bytes(24 + change)), specs, 3)
    with pytest.raises(SampleError, match="other specs"):
        unpack_rows(np.zeros((1, 8 + change), np.uint8), specs)


class TestBatch:
    def batch(self) -> Batch:
        return Batch({"x": np.arange(12.0).reshape(4, 3), "n": np.arange(4)})

    def test_reads_as_a_list_of_structs(self) -> None:
        batch = self.batch()
        assert len(batch) == 4
        assert [row.n for row in batch] == [0, 1, 2, 3]
        assert batch[1].x.tolist() == [3, 4, 5]
        assert batch[-1].n == 3
        assert len(list(reversed(batch))) == 4
        for index in (4, -5):
            with pytest.raises(IndexError, match="of a batch of 4"):
                batch[index]

    def test_columns_rows_and_slices_are_views(self) -> None:
        batch = self.batch()
        batch[2].x[0] = -1
        batch[1:3].x[0, 1] = -2
        assert batch.x[2, 0] == -1
        assert batch.x[1, 1] == -2
        assert batch.x is batch.columns["x"]
        assert isinstance(batch[1:3], Batch)

    def test_taking_rows_copies(self) -> None:
        batch = self.batch()
        taken = batch.take(np.array([3, 0, 3]))
        taken.columns["x"][:] = -1
        assert taken.n.tolist() == [3, 0, 3]
        assert (batch.x >= 0).all()

    def test_rows_are_of_the_users_class(self) -> None:
        SampleData = create_cls("SampleData", x=None, n=None)
        row = Batch(self.batch().columns, SampleData)[2]
        assert isinstance(row, SampleData)
        assert row.n == 2

    def test_an_unknown_field_is_named_with_those_there_are(self) -> None:
        with pytest.raises(AttributeError, match=r"no field 'y'; it has x, n"):
            _ = self.batch().y
        assert not hasattr(self.batch(), "y")

    def test_columns_of_different_lengths_are_an_error(self) -> None:
        with pytest.raises(SampleError, match=r"differ in length: \{'x': 2, 'y': 3\}"):
            Batch({"x": np.zeros(2), "y": np.zeros(3)})

    def test_from_structs(self) -> None:
        rows = [SimpleNamespace(x=[1.0, 2.0], n=i, unused=None) for i in range(3)]
        batch = Batch.of(rows)
        assert batch.specs == Specs({"x": ArraySpec("<f4", (2,)), "n": ArraySpec("<i8", ())})
        assert batch.n.tolist() == [0, 1, 2]

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            (SimpleNamespace(x=[1.0], n=1), r"row 1: field 'x' has shape \(1,\); the declared shape is \(2,\)"),
            (
                SimpleNamespace(x=[1.0, 2.0], n=1.5),
                "field 'n' is float32; the declared dtype is <i8 and the cast would lose values",
            ),
            (SimpleNamespace(x=[1.0, 2.0]), "row 1 has no 'n'"),
            (SimpleNamespace(x=[1.0, 2.0], n="one"), "cannot travel; give numbers"),
            (SimpleNamespace(x=[[1.0], [2.0, 3.0]], n=1), "not a rectangular array"),
            (3, "int has no fields"),
        ],
    )
    def test_structs_that_differ_are_errors(self, row: Any, message: str) -> None:
        with pytest.raises(SampleError, match=message):
            Batch.of([SimpleNamespace(x=[1.0, 2.0], n=0), row])

    def test_of_a_batch_casts_what_loses_nothing(self) -> None:
        specs = Specs({"x": ArraySpec("<f4", (3,)), "n": ArraySpec("<i4", ())})
        batch = Batch.of(self.batch(), specs)
        assert batch.specs == specs
        assert Batch.of(batch, specs) is batch

    def test_concatenate_keeps_order(self) -> None:
        batch = Batch.concatenate([self.batch()[:1], self.batch()[2:]])
        assert batch.n.tolist() == [0, 2, 3]

    def test_wire_buffers_refuse_other_columns(self) -> None:
        with pytest.raises(SampleError, match=r"'n' is <i8\(\), declared <i4\(\)"):
            wire_buffers(self.batch(), Specs({"n": ArraySpec("<i4", ())}))
