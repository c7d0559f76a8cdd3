"""Batches: structs of arrays that read as lists of structs; and the bytes in which they travel and are stored.

Shape legend: B rows in a batch; `...` the shape of one row's field.

A *spec* maps each field's name to the dtype and shape of one row. A batch holds one array `[B, ...]` per field. On a
wire and in the buffer a batch of `count` rows is its columns one after the other, each starting at a multiple of 8
bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, NamedTuple, overload

import numpy as np

from kaimesh.contract import declared
from kaimesh.contract.errors import SampleError

Columns = dict[str, np.ndarray]  # of a batch, by field

ALIGN_BYTES = 8
_KINDS = "biuf"  # bool, int, unsigned, float: what may travel


class ArraySpec(NamedTuple):
    """One field of one row: `dtype` as numpy's string (`"<f4"`), `shape` without the batch axis."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of one row's field."""
        return np.dtype(self.dtype).itemsize * math.prod(self.shape)  # exact: a stranger's shape may overflow int64


class Field(NamedTuple):
    """The name and the ArraySpec of one field."""

    name: str
    spec: ArraySpec


class Specs(tuple[Field, ...]):
    """The fields of one row, in the order in which they travel; hashable."""

    def __new__(cls, fields: Mapping[str, ArraySpec] | Iterable[tuple[str, ArraySpec]]) -> Specs:
        """Keeps the order of `fields`: it is the order on the wire."""
        items = fields.items() if isinstance(fields, Mapping) else fields
        return super().__new__(cls, (Field(name, ArraySpec(*spec)) for name, spec in items))

    @property
    def names(self) -> tuple[str, ...]:
        """The fields' names, in wire order."""
        return tuple(field.name for field in self)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row, without the padding between columns."""
        return sum(field.spec.nbytes for field in self)

    def to_json(self) -> list[list[Any]]:
        """`[[name, dtype, shape], ...]`."""
        return [[name, spec.dtype, list(spec.shape)] for name, spec in self]

    @classmethod
    def from_json(cls, data: Any) -> Specs:
        """The inverse of `to_json`; the data may come from a stranger. Raises SampleError: see declared.fields_of."""
        return cls((name, ArraySpec(dtype, tuple(shape))) for name, dtype, shape in declared.fields_of(data))

    @classmethod
    def of_columns(cls, columns: Mapping[str, np.ndarray]) -> Specs:
        """The specs of a batch's columns `[B, ...]`."""
        return cls({name: _checked(name, column, column.shape[1:]) for name, column in columns.items()})

    @classmethod
    def of_object(cls, row: Any) -> Specs:
        """The specs of one user struct (ObsData, ActData, SampleData); fields that are None are left out."""
        values = ((name, to_array(name, value)) for name, value in fields_of(row).items() if value is not None)
        return cls({name: _checked(name, value, value.shape) for name, value in values})


class Layout(NamedTuple):
    """Where the columns of `count` rows lie: `offsets[i]` and `sizes[i]` of each, `total_bytes` of all; in bytes."""

    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    total_bytes: int


@lru_cache(maxsize=4096)
def layout(specs: Specs, count: int) -> Layout:
    """The byte layout of `count` rows of `specs`."""
    offsets, sizes, position = [], [], 0
    for _, spec in specs:
        offsets.append(position)
        sizes.append(count * spec.nbytes)
        position += -(-sizes[-1] // ALIGN_BYTES) * ALIGN_BYTES
    return Layout(tuple(offsets), tuple(sizes), position)


class Batch(Sequence[Any]):
    """`B` rows as one array per field: `batch.feature` is `[B, ...]`, `batch[0].feature` one row's; both are views.

    Slicing gives a Batch. row_type: the class of which single rows are instances (default: a bare namespace).
    """

    __slots__ = ("_length", "columns", "row_type")

    def __init__(self, columns: Mapping[str, np.ndarray], row_type: type | None = None) -> None:
        self.columns: dict[str, np.ndarray] = dict(columns)
        self.row_type = row_type
        lengths = {name: len(column) for name, column in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise SampleError(
                f"columns of one batch differ in length: {lengths}; it is not known which values belong to one row, so "
                "no batch was made. Give every column the same number of rows."
            )
        self._length = next(iter(lengths.values()), 0)

    def __getattr__(self, name: str) -> np.ndarray:
        try:
            return self.columns[name]
        except KeyError:
            raise AttributeError(
                f"this batch has no field {name!r}; it has {', '.join(self.columns)}. Use one of these, or add the "
                "field where the batch's rows are made."
            ) from None

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Batch: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return Batch({name: column[index] for name, column in self.columns.items()}, self.row_type)
        if not -self._length <= index < self._length:
            raise IndexError(f"row {index} of a batch of {self._length} rows: there is none; rows begin at 0")
        fields = {name: column[index] for name, column in self.columns.items()}
        if self.row_type is None:
            return SimpleNamespace(**fields)
        row: Any = object.__new__(self.row_type)
        row.__dict__.update(fields)
        return row

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(self._length))

    @property
    def specs(self) -> Specs:
        """The specs of one row."""
        return Specs.of_columns(self.columns)

    def take(self, rows: np.ndarray) -> Batch:
        """The rows at the integer indices `rows`, copied."""
        return Batch({name: column[rows] for name, column in self.columns.items()}, self.row_type)

    @classmethod
    def of(cls, rows: Any, specs: Specs | None = None) -> Batch:
        """A batch from a Batch, or from a list of structs; with `specs`, checked and cast against them.

        Raises SampleError: a field missing, of another shape, or of a dtype that would lose values.
        """
        if isinstance(rows, Batch):
            if specs is not None and rows.specs != specs:
                return cls({n: _cast(n, rows.columns.get(n), s, len(rows)) for n, s in specs}, rows.row_type)
            return rows
        if specs is None:
            specs = Specs.of_object(rows[0])
        fields = [fields_of(row) for row in rows]
        columns = {}
        for name, spec in specs:
            column = np.empty((len(rows), *spec.shape), spec.dtype)
            for i, row in enumerate(fields):
                column[i] = _cast_row(name, row.get(name), spec, i)
            columns[name] = column
        return cls(columns)

    @classmethod
    def concatenate(cls, batches: Sequence[Batch]) -> Batch:
        """One batch of all rows, in order; the batches must agree in fields."""
        names = batches[0].columns
        return cls({n: np.concatenate([b.columns[n] for b in batches]) for n in names}, batches[0].row_type)


def pack_rows(batch: Batch, specs: Specs, rows_per_item: int = 1) -> np.ndarray:
    """Items for the buffer: uint8 `[B / rows_per_item, layout(specs, rows_per_item).total_bytes]`; padding is zero."""
    plan = layout(specs, rows_per_item)
    items = len(batch) // rows_per_item
    out = np.zeros((items, plan.total_bytes), np.uint8)
    for (name, _), offset, size in zip(specs, plan.offsets, plan.sizes, strict=True):
        column = np.ascontiguousarray(batch.columns[name])
        out[:, offset : offset + size] = column.reshape(-1).view(np.uint8).reshape(items, size)
    return out


def unpack_rows(items: np.ndarray, specs: Specs, rows_per_item: int = 1) -> Batch:
    """The inverse of `pack_rows`: `items` uint8 `[I, nbytes]` becomes a Batch of `I * rows_per_item` rows (copied)."""
    plan = layout(specs, rows_per_item)
    if items.shape[1] != plan.total_bytes:
        raise SampleError(
            f"an item of {items.shape[1]} bytes was stored under other specs; these need {plan.total_bytes}: {specs}. "
            "It cannot be read. Read it with the specs that it was stored under, or start with an empty buffer."
        )
    columns = {}
    for (name, spec), offset, size in zip(specs, plan.offsets, plan.sizes, strict=True):
        flat = np.ascontiguousarray(items[:, offset : offset + size])
        columns[name] = flat.reshape(-1).view(spec.dtype).reshape(len(items) * rows_per_item, *spec.shape)
    return Batch(columns)


def view_columns(payload: memoryview, specs: Specs, count: int) -> Batch:
    """A Batch of views into `payload`, which holds `count` rows in wire layout; valid as long as `payload` is."""
    plan = layout(specs, count)
    if len(payload) != plan.total_bytes:
        raise SampleError(
            f"a payload of {len(payload)} bytes; {count} rows of {specs.names} take {plan.total_bytes}, so they cannot "
            "be read. Send the rows as they were declared, or connect again with other specs."
        )
    columns = {
        name: np.frombuffer(payload, spec.dtype, size // np.dtype(spec.dtype).itemsize, offset).reshape(
            count, *spec.shape
        )
        for (name, spec), offset, size in zip(specs, plan.offsets, plan.sizes, strict=True)
    }
    return Batch(columns)


_PADDING = bytes(ALIGN_BYTES)
_dtype = lru_cache(maxsize=256)(np.dtype)
_SMALL_BYTES = 4096  # up to this size a copy costs less than making a view


def wire_buffers(batch: Batch, specs: Specs) -> list[memoryview | bytes]:
    """The buffers to write, in order, for `batch` in wire layout; no copy where a large column is contiguous."""
    buffers: list[memoryview | bytes] = []
    for name, spec in specs:
        column = batch.columns[name]
        if column.dtype != _dtype(spec.dtype) or column.shape[1:] != spec.shape:
            raise SampleError(
                f"field {name!r} is {column.dtype.str}{column.shape[1:]}, declared {spec.dtype}{spec.shape}; the other "
                "side would misread it, so nothing was sent. Give the field the same dtype and shape in every row."
            )
        if column.nbytes <= _SMALL_BYTES:
            buffers.append(column.tobytes())
        else:
            buffers.append(np.ascontiguousarray(column).reshape(-1).view(np.uint8).data)
        if remainder := -column.nbytes % ALIGN_BYTES:
            buffers.append(_PADDING[:remainder])
    return buffers


def fields_of(row: Any) -> dict[str, Any]:
    """The fields of a user's struct: the defaults of its class (create_cls), overridden by its own attributes."""
    declared = getattr(row, "FIELD_DEFAULTS", {})
    if isinstance(row, Mapping):
        return dict(row)
    try:
        return {**declared, **row.__dict__}
    except AttributeError:
        raise SampleError(
            f"{type(row).__name__} has no fields, so it cannot be a row; use create_cls, a namespace or a dict"
        ) from None


def to_array(name: str, value: Any) -> np.ndarray:
    """A user's value as an array that can travel: Python floats become float32, Python ints int64.

    Raises SampleError: strings, objects, ragged lists.
    """
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise SampleError(
            f"field {name!r} is not a rectangular array, so it cannot travel ({error}). Pad its lists to one length."
        ) from error
    if array.dtype.kind not in _KINDS:
        raise SampleError(f"field {name!r} holds {array.dtype}, which cannot travel; give numbers or booleans")
    if array.dtype == np.float64 and not isinstance(value, np.ndarray | np.generic):
        array = array.astype(np.float32)
    return array


_ALL_ROWS_ALIKE = "None of these rows was taken. Give every row the fields, shapes and dtypes of the first ones."


def _checked(name: str, value: np.ndarray, shape: tuple[int, ...]) -> ArraySpec:
    if value.dtype.kind not in _KINDS:
        raise SampleError(f"field {name!r} holds {value.dtype}, which cannot travel; give numbers or booleans")
    return ArraySpec(value.dtype.str, tuple(shape))


def _cast_row(name: str, value: Any, spec: ArraySpec, row: int) -> np.ndarray:
    if value is None:
        raise SampleError(
            f"row {row} has no {name!r}; the rows before it had {spec.dtype}{spec.shape}. {_ALL_ROWS_ALIKE}"
        )
    array = to_array(name, value)
    if array.shape != spec.shape:
        raise SampleError(
            f"row {row}: field {name!r} has shape {array.shape}; the declared shape is {spec.shape}. {_ALL_ROWS_ALIKE}"
        )
    return _safe_cast(f"row {row}: field {name!r}", array, spec)


def _cast(name: str, column: np.ndarray | None, spec: ArraySpec, count: int) -> np.ndarray:
    if column is None:
        raise SampleError(f"the batch has no {name!r}; it is declared as {spec.dtype}{spec.shape}. {_ALL_ROWS_ALIKE}")
    if column.shape != (count, *spec.shape):
        raise SampleError(
            f"field {name!r} has row shape {column.shape[1:]}; the declared shape is {spec.shape}. {_ALL_ROWS_ALIKE}"
        )
    return _safe_cast(f"field {name!r}", column, spec)


def _safe_cast(what: str, array: np.ndarray, spec: ArraySpec) -> np.ndarray:
    if array.dtype.str == spec.dtype:
        return array
    if not np.can_cast(array.dtype, spec.dtype, "same_kind"):
        raise SampleError(
            f"{what} is {array.dtype}; the declared dtype is {spec.dtype} and the cast would lose values. "
            f"{_ALL_ROWS_ALIKE}"
        )
    return array.astype(spec.dtype)
