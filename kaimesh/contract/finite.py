"""Tests whether arrays hold NaN or infinity, faster than by a look at every number.

Shape legend: B rows of a batch; `...` the shape of one row's field.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np


def surely_finite(column: np.ndarray) -> bool:
    """True: every number is finite, because the sum of their squares is. False: unknown, since that sum may overflow.

    The dot product takes a third of the time of `np.isfinite`, and prints no overflow warning.
    """
    if column.dtype.kind != "f":
        return True
    if column.dtype.itemsize < 4 or not (column.dtype.isnative and column.flags.c_contiguous):
        return False
    flat = column.reshape(-1)
    return math.isfinite(flat.dot(flat))


def rows_not_finite(columns: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Which rows hold NaN or infinity in any float column `[B, ...]`: bool `[B]`; None: no row does."""
    bad: np.ndarray | None = None
    for column in columns.values():
        if surely_finite(column):
            continue
        wrong = ~np.isfinite(column).reshape(len(column), -1).all(axis=1)
        if wrong.any():
            bad = wrong if bad is None else bad | wrong
    return bad


def first_not_finite(columns: Mapping[str, np.ndarray]) -> tuple[str, int, float] | None:
    """The field, row and value of the first number that is NaN or infinity; None: there is none."""
    for name, column in columns.items():
        if surely_finite(column):
            continue
        wrong = ~np.isfinite(column)
        if wrong.any():
            row = int(np.flatnonzero(wrong.reshape(len(column), -1).any(axis=1))[0])
            return name, row, float(np.extract(wrong[row], column[row])[0])
    return None
