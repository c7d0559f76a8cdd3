"""Checks what a peer declares about its rows and its environment, before Specs and Spaces are made from it.

A peer is refused with the SampleError's message.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import annotated_types as at
import numpy as np
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Strict, TypeAdapter, model_validator

from kaimesh.contract.errors import SampleError
from kaimesh.contract.untrusted import Name, parsed

MAX_ROW_BYTES = 1 << 28  # of one row, one observation
MAX_ACTIONS = 1 << 16
MAX_PLAYERS = 127  # whose numbers an int8 holds
_MOST_FIELDS = 128
_MOST_AXES = 16
_BYTE = "|u1"
# numpy's own strings of numbers and booleans. Any other string stays unparsed: numpy reads structs, objects and code
# out of it.
_DTYPES = frozenset(np.dtype(order + kind).str for kind in "?bhilqBHILQefdg" for order in "<>")
# Attributes of Batch itself: for a column of such a name, `batch.name` would not be the column. `count` and `index`,
# which every sequence has, are allowed: users who read rows may want them.
TAKEN_NAMES = frozenset({"columns", "concatenate", "of", "row_type", "specs", "take", "_length", "_abc_impl"})

FieldData = tuple[str, str, list[int]]  # name, dtype, shape


def _dtype(text: str) -> str:
    if text not in _DTYPES:
        raise ValueError(
            "this dtype cannot travel, so the declaration was refused; declare a number or boolean, written as numpy's "
            "dtype.str"
        )
    return text


def _shape(dims: list[int]) -> list[int]:
    if math.prod(max(size, 1) for size in dims) > MAX_ROW_BYTES:
        raise ValueError(
            "a shape of so many numbers cannot travel, so the declaration was refused; one row has at most "
            f"{MAX_ROW_BYTES} bytes: declare a smaller shape"
        )
    return dims


def _field_name(name: str) -> str:
    if name in TAKEN_NAMES or (name.startswith("__") and name.endswith("__") and name.strip("_")):
        raise ValueError(
            "a batch has an attribute of this name, so the field could not be read; give the field another name"
        )
    return name


def _bound(value: float) -> float:
    if math.isnan(value):
        raise ValueError("NaN is no bound of an action, so no action could be checked against it; declare a number")
    return value


def _open_ended(infinity: float) -> BeforeValidator:
    """JSON has no infinity: a bound that is null is none."""

    def filled(bounds: Any) -> Any:
        return [infinity if bound is None else bound for bound in bounds] if isinstance(bounds, list) else bounds

    return BeforeValidator(filled)


def _bytes_of(dtype: str, shape: list[int]) -> int:
    return np.dtype(dtype).itemsize * math.prod(shape)


_Dtype = Annotated[str, AfterValidator(_dtype)]
_Shape = Annotated[list[Annotated[int, at.Ge(0)]], at.Len(0, _MOST_AXES), AfterValidator(_shape)]
_Bounds = Annotated[list[Annotated[float, AfterValidator(_bound)]], at.Len(0, MAX_ACTIONS)]
_FieldName = Annotated[Name, AfterValidator(_field_name)]
_Field = Annotated[tuple[_FieldName, _Dtype, _Shape], Strict(False)]  # JSON has no tuples
_Part = Annotated[tuple[Name, _Dtype, _Shape, Annotated[int, at.Ge(0), at.Le(8)]], Strict(False)]
_FIELDS: TypeAdapter[list[FieldData]] = TypeAdapter(
    Annotated[list[_Field], at.Len(0, _MOST_FIELDS)], config=ConfigDict(strict=True)
)


def fields_of(data: Any) -> list[FieldData]:
    """The fields of one row.

    Raises SampleError: `data` is not a list of [name, dtype, shape], a name is one that a Batch cannot have or comes
    twice, a dtype is unknown, a dimension negative or absurd, or there are more than `_MOST_FIELDS` fields or
    MAX_ROW_BYTES bytes.
    """
    fields = parsed(_FIELDS, data, "specs must be a list of [name, dtype, shape]; they were refused", SampleError)
    names = [name for name, _, _ in fields]
    if len(set(names)) < len(names):
        raise SampleError(
            f"a field is named twice: {', '.join(names)}; one of both would be lost, so the specs were refused. Give "
            "every field a name of its own."
        )
    size = sum(_bytes_of(dtype, shape) for _, dtype, shape in fields)
    if size > MAX_ROW_BYTES:
        raise SampleError(
            f"one row of {size} bytes is over the limit of {MAX_ROW_BYTES}, so the specs were refused. Make the rows "
            "smaller: fewer steps in a sample, smaller observations, or a smaller dtype."
        )
    return fields


class Environment(BaseModel):
    """The fields of kaimesh.agent.Spaces, checked to be consistent with each other."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    obs_shape: _Shape
    obs_dtype: _Dtype
    action_kind: Literal["discrete", "continuous"]
    action_size: Annotated[int, at.Ge(1), at.Le(MAX_ACTIONS)]
    action_low: Annotated[_Bounds, _open_ended(-math.inf)] = []
    action_high: Annotated[_Bounds, _open_ended(math.inf)] = []
    legal_actions: bool = False
    parts: Annotated[list[_Part], at.Len(0, _MOST_FIELDS)] = []
    players: Annotated[int, at.Ge(1), at.Le(MAX_PLAYERS)] = 1
    symmetry: Literal["", "none", "mirror", "square", "diagonals"] = ""

    @model_validator(mode="after")
    def _agrees(self) -> Environment:
        size = _bytes_of(self.obs_dtype, self.obs_shape)
        if not 0 < size <= MAX_ROW_BYTES:
            raise ValueError(
                f"an observation of {size} bytes; no network could be built for it, or no sample could hold it: give "
                f"it at least one number, and at most {MAX_ROW_BYTES} bytes"
            )
        bounds = self.action_size if self.action_kind == "continuous" else 0
        if not len(self.action_low) == len(self.action_high) == bounds:
            raise ValueError(
                f"{len(self.action_low)} lower and {len(self.action_high)} upper bounds of {self.action_size} "
                f"{self.action_kind} actions; there must be {bounds} of each"
            )
        if any(low > high for low, high in zip(self.action_low, self.action_high, strict=True)):
            raise ValueError("a lower bound of an action is above the upper one, so no action is allowed; swap them")
        self._check_parts(size)
        return self

    def _check_parts(self, size: int) -> None:
        if not self.parts:
            return
        if self.obs_dtype != _BYTE or len(self.obs_shape) != 1:
            raise ValueError(
                f"parts of an observation {self.obs_dtype} {self.obs_shape}; only a row of bytes ({_BYTE}) has parts, "
                "so these could not be cut out: flatten the observation to bytes, or leave `parts` out"
            )
        if len({name for name, *_ in self.parts}) < len(self.parts):
            raise ValueError(
                "two parts of the observation have the same name, so a network could not tell them apart; rename one"
            )
        if any(bits and dtype != _BYTE for _, dtype, _, bits in self.parts):
            raise ValueError(
                f"only parts of bytes ({_BYTE}) hold planes of bits, so these could not be unpacked; set bits = 0, or "
                "the part's dtype to bytes"
            )
        found = sum(_bytes_of(dtype, shape) for _, dtype, shape, _ in self.parts)
        if found != size:
            raise ValueError(
                f"the parts of the observation take {found} bytes, it has {size}, so they could not be cut out; "
                "correct the parts' shapes or dtypes"
            )


_ENVIRONMENT = TypeAdapter(Environment)


def environment_of(data: Any) -> Environment:
    """The description of an environment. Raises SampleError: `data` is none, or contradicts itself."""
    return parsed(_ENVIRONMENT, data, "spaces are not those of kaimesh.agent.Spaces, so they were refused", SampleError)
