"""The stored item: `rows_per_item` rows of a table in one block of bytes, which is what the buffer keeps and the learner draws.

Shape legend: I items, K rows per item (`rows_per_item`), `...` the shape of one row's field.

K = 1: the bytes of `kaimesh.contract.arrays.layout(specs, 1)`, nothing else. K > 1: an int64 row count, then `layout(specs, K)`; a
partly filled item has a count below K and zeros in the rows it lacks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kaimesh.contract.arrays import ALIGN_BYTES, Columns, Specs, layout
from kaimesh.contract.errors import SampleError


class Progress(NamedTuple):
    """given: items that were handed to Reverb in a table's life, without those that it was restored with.

    left: items that are still to be drawn, also those that wait for room in the table; -1: nobody asked.
    """

    given: int
    left: int = -1


def header_bytes(rows_per_item: int) -> int:
    """Bytes before the rows: the row count, which an item of one row does not need."""
    return ALIGN_BYTES if rows_per_item > 1 else 0


def item_bytes(specs: Specs, rows_per_item: int) -> int:
    """Bytes of one item; all items of a table have the same size."""
    return header_bytes(rows_per_item) + layout(specs, rows_per_item).total_bytes


def row_counts(items: np.ndarray, rows_per_item: int) -> np.ndarray:
    """How many rows each of `items` uint8 `[I, nbytes]` holds: int64 `[I]`, each in 1..K."""
    if rows_per_item == 1:
        return np.ones(len(items), np.int64)
    return np.ascontiguousarray(items[:, :ALIGN_BYTES]).view(np.int64).reshape(-1)


def view_items(items: np.ndarray, specs: Specs, rows_per_item: int) -> Columns:
    """The columns `[I, K, ...]` of `items` uint8 `[I, nbytes]`: views, never a copy.

    Raises SampleError: the items are of another size, so they were stored under other specs.
    """
    if items.shape[1] != item_bytes(specs, rows_per_item):
        raise SampleError(
            f"an item of {items.shape[1]} bytes was stored under other specs; {rows_per_item} rows of {specs.names} take "
            f"{item_bytes(specs, rows_per_item)} bytes"
        )
    plan, start, columns = layout(specs, rows_per_item), header_bytes(rows_per_item), {}
    for (name, spec), offset, size in zip(specs, plan.offsets, plan.sizes, strict=True):
        flat = items[:, start + offset : start + offset + size]
        columns[name] = flat.view(spec.dtype).reshape(len(items), rows_per_item, *spec.shape)
    return columns


class OpenItem:
    """The item that is being filled, row by row, in place; `full` when it holds K rows."""

    def __init__(self, specs: Specs, rows_per_item: int) -> None:
        self.rows = 0
        self._rows_per_item = rows_per_item
        self._bytes = np.zeros(item_bytes(specs, rows_per_item), np.uint8)
        self._columns = {name: c[0] for name, c in view_items(self._bytes[None], specs, rows_per_item).items()}

    @property
    def full(self) -> bool:
        """Whether no row fits any more."""
        return self.rows == self._rows_per_item

    def fill(self, columns: Columns, start: int) -> int:
        """Copies rows `start...` of `columns` `[B, ...]` in, as many as there are and fit; returns how many."""
        count = min(self._rows_per_item - self.rows, len(next(iter(columns.values()))) - start)
        for name, target in self._columns.items():
            target[self.rows : self.rows + count] = columns[name][start : start + count]
        self.rows += count
        return count

    def finish(self) -> np.ndarray:
        """What is stored: uint8 `[item_bytes]`, valid until the next `fill`; then the next item begins."""
        if not self.full:  # what an earlier item left there
            for target in self._columns.values():
                target[self.rows :] = 0
        if self._rows_per_item > 1:
            self._bytes[:ALIGN_BYTES].view(np.int64)[0] = self.rows
        self.rows = 0
        return self._bytes
