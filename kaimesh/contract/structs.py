"""Kaiwu's helpers for a user's structs (ObsData, ActData, SampleData), and the conversion of samples to columns."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from kaimesh.contract.arrays import Batch, fields_of, to_array
from kaimesh.contract.errors import SampleError

T = TypeVar("T")


class Frame:
    """A bare namespace; `frame.__dict__` is exactly what was given."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    if TYPE_CHECKING:  # any name may be a field

        def __getattr__(self, name: str) -> Any: ...


def create_cls(name: str, **defaults: Any) -> type:
    """A class named `name` with the attributes `defaults`, which are also the only arguments of its constructor.

    An integer default in a class whose name starts with "Sample" is Kaiwu's G3 notation for the width of a flat float32
    array; `FIELD_DIMS` keeps these. Instances can be pickled, so agents may pass them to processes of their own.
    """

    def __init__(self: Any, **fields: Any) -> None:
        for key, value in fields.items():
            if key not in defaults:
                raise AttributeError(
                    f"{name} has no field {key!r}; it was created with {', '.join(defaults) or 'none'}. The value "
                    "would be lost. Correct the name, or add the field to create_cls."
                )
            setattr(self, key, value)

    module = sys._getframe(1).f_globals.get("__name__", __name__)
    widths = {key: value for key, value in defaults.items() if isinstance(value, int) and not isinstance(value, bool)}
    cls = type(name, (), {"__init__": __init__, **defaults, "__module__": module, "__qualname__": name})
    cls.FIELD_DEFAULTS = dict(defaults)  # type: ignore[attr-defined]
    cls.FIELD_DIMS = widths  # type: ignore[attr-defined]
    return attached(cls)


_protocol: dict[str, Any] = {}


def attached(definition: T) -> T:
    """Registers a user's class or function under its own name and replaces an earlier one; returns it unchanged."""
    _protocol[definition.__name__] = definition  # type: ignore[attr-defined]
    return definition


def protocol(name: str, default: T = None) -> Any | T:  # type: ignore[assignment]
    """The class or function that `attached` registered as `name` (ObsData, SampleData, ...), or `default`."""
    return _protocol.get(name, default)


def sample_columns(rows: Sequence[Any]) -> Batch:
    """A user's list of SampleData as one Batch.

    If the user attached `SampleData2NumpyData`, each row becomes one flat float32 vector, field `row` `[SAMPLE_DIM]`;
    otherwise each field of the struct becomes a column; one that was created with a width, a flat float32 vector of
    that many numbers. The values are copied, because callers clear their lists after learn(). The arrays of a Batch are
    not copied here; the sender copies them.
    """
    if isinstance(rows, Batch):
        return Batch(rows.columns, rows.row_type)
    flatten: Callable[[Any], np.ndarray] | None = protocol("SampleData2NumpyData")
    if flatten is None:
        return _flat_fields(rows) if widths_of(type(rows[0])) else Batch.of(rows)
    return Batch({"row": np.stack([np.asarray(flatten(row), np.float32).reshape(-1) for row in rows])})


def widths_of(kind: type) -> dict[str, int]:
    """The widths with which `create_cls` made the class `kind`, by field; empty: none, or it is no SampleData."""
    widths: dict[str, int] = getattr(kind, "FIELD_DIMS", {})
    return {name: width for name, width in widths.items() if width > 0} if kind.__name__.startswith("Sample") else {}


def _flat_fields(rows: Sequence[Any]) -> Batch:
    """Rows of a class with widths, each such field float32 `[B, width]`. Raises SampleError: one has another width."""
    widths = widths_of(type(rows[0]))
    columns = {}
    for name, width in widths.items():
        column = np.zeros((len(rows), width), np.float32)
        for i, row in enumerate(rows):
            value = to_array(name, getattr(row, name)).reshape(-1)
            if len(value) != width:
                raise SampleError(
                    f"row {i}: field {name!r} has {len(value)} numbers, and {type(row).__name__} was created with "
                    f"{name}={width}. None of these rows was taken. Correct the one or the other."
                )
            column[i] = value
        columns[name] = column
    rest = [{name: value for name, value in fields_of(row).items() if name not in widths} for row in rows]
    return Batch({**columns, **(Batch.of(rest).columns if rest[0] else {})})


def sample_list(batch: Batch) -> Sequence[Any]:
    """The argument of `learn`: structs made by the user's `NumpyData2SampleData` if one is attached, else the batch."""
    restore: Callable[[np.ndarray], Any] | None = protocol("NumpyData2SampleData")
    if restore is None or tuple(batch.columns) != ("row",):
        return Batch(batch.columns, protocol("SampleData"))
    return [restore(row) for row in batch.columns["row"]]
