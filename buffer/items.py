"""The item: `rows_per_item` rows as one block of bytes, which Reverb stores and the learner draws as a unit.

Shape legend: I items, K rows per item (`rows_per_item`), `...` the shape of one row's field.

With K = 1 an item is the bytes of `kaimesh.contract.arrays.layout(specs, 1)`. With K > 1 these are preceded by an int64
row count; a partly filled item has a count below K and zeros in place of the missing rows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kaimesh.contract.arrays import ALIGN_BYTES, Columns, Specs, layout
from kaimesh.contract.errors import SampleError


class Progress(NamedTuple):
    """How far the writing of a table is, told to readers that wait for items.

    given: items handed to Reverb since the table was started; restored ones are not counted.
    undrawn: items that are still to be drawn, also those that wait for room in the table; -1: not counted.
    """

    given: int
    undrawn: int = -1


def header_bytes(rows_per_item: int) -> int:
    """Bytes of the row count before the rows; 0 if K = 1."""
    return ALIGN_BYTES if rows_per_item > 1 else 0


def item_bytes(specs: Specs, rows_per_item: int) -> int:
    """Bytes of one item; all items of a table have the same size."""
    return header_bytes(rows_per_item) + layout(specs, rows_per_item).total_bytes


def row_counts(items: np.ndarray, rows_per_item: int) -> np.ndarray:
    """How many rows (1..K) each of the `items` uint8 `[I, nbytes]` holds: int64 `[I]`."""
    if rows_per_item == 1:
        return np.ones(len(items), np.int64)
    return np.ascontiguousarray(items[:, :ALIGN_BYTES]).view(np.int64).reshape(-1)


def view_items(items: np.ndarray, specs: Specs, rows_per_item: int) -> Columns:
    """The columns `[I, K, ...]` of `items` uint8 `[I, nbytes]`, as views.

    Raises SampleError: the items have another size, so they were stored under other specs.
    """
    if items.shape[1] != item_bytes(specs, rows_per_item):
        raise SampleError(
            f"an item of {items.shape[1]} bytes was stored under other specs and cannot be read; {rows_per_item} rows "
            f"of {specs.names} take {item_bytes(specs, rows_per_item)} bytes. Start learner and buffer with the same "
            "agent."
        )
    plan, start, columns = layout(specs, rows_per_item), header_bytes(rows_per_item), {}
    for (name, spec), offset, size in zip(specs, plan.offsets, plan.sizes, strict=True):
        flat = items[:, start + offset : start + offset + size]
        columns[name] = flat.view(spec.dtype).reshape(len(items), rows_per_item, *spec.shape)
    return columns


class OpenItem:
    """An item that is being filled in place, row by row. rows: how many it holds."""

    def __init__(self, specs: Specs, rows_per_item: int) -> None:
        self.rows = 0
        self._rows_per_item = rows_per_item
        self._bytes = np.zeros(item_bytes(specs, rows_per_item), np.uint8)
        self._columns = {name: c[0] for name, c in view_items(self._bytes[None], specs, rows_per_item).items()}

    @property
    def full(self) -> bool:
        """Whether it holds K rows."""
        return self.rows == self._rows_per_item

    def fill(self, columns: Columns, start: int) -> int:
        """Copies rows of `columns` `[B, ...]` from `start` on, as many as fit; returns how many."""
        count = min(self._rows_per_item - self.rows, len(next(iter(columns.values()))) - start)
        for name, target in self._columns.items():
            target[self.rows : self.rows + count] = columns[name][start : start + count]
        self.rows += count
        return count

    def finish(self) -> np.ndarray:
        """The bytes to store, uint8 `[item_bytes]`, valid until the next `fill`, which begins another item."""
        if not self.full:  # clear what an earlier item left in the missing rows
            for target in self._columns.values():
                target[self.rows :] = 0
        if self._rows_per_item > 1:
            self._bytes[:ALIGN_BYTES].view(np.int64)[0] = self.rows
        self.rows = 0
        return self._bytes
