"""Finds out whether an agent's `predict` answers several observations per call as it answers them one by one.

Many agents read `list_obs_data[0]` alone, and return as many answers as they like. So an agent is asked about two
observations, one by one and both at once. That is a proof if the numbers with a fraction in its answers, such as values
and probabilities, are the same both times, and differ between the two observations. Answers without such numbers
(actions alone, which exploration changes) prove nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kaimesh.contract.answers import columns_of
from kaimesh.contract.arrays import Batch

_NEAR = 1e-3  # relative: matrix products of other sizes add up in another order


def takes_several(call: Callable[[Batch], Any], pair: Batch, alone: tuple[Batch, Batch]) -> bool:
    """Whether `call` has proved that it takes several observations.

    pair: two observations that differ. alone: what it answered to each by itself. Whatever it raises is no proof.
    """
    try:
        together = columns_of(call(pair), 2, "predict")
    except (Exception, SystemExit):  # it takes one at a time, in whatever way it says so
        return False
    shown = False
    for name, column in together.columns.items():
        one, other = (answer.columns.get(name) for answer in alone)
        if one is None or other is None or one.shape[1:] != column.shape[1:] or other.shape != one.shape:
            return False
        if column.dtype.kind != "f":
            continue
        both = np.concatenate([one, other])
        if not np.allclose(column, both, rtol=_NEAR, atol=_NEAR * float(np.abs(both).max(initial=0.0))):
            continue  # drawn anew in each call, as noise is
        shown = shown or not np.allclose(one, other, rtol=_NEAR, atol=1e-9)
    return shown and together.columns.keys() == alone[0].columns.keys()


class Proof:
    """Asks an agent once, about two observations that differ, whenever they came.

    done: whether it was asked. taken: whether it has proved that it takes several.
    """

    def __init__(self) -> None:
        self.done = self.taken = False
        self._first: tuple[Batch, Batch] | None = None  # an observation, and the answer to it

    def ask(self, call: Callable[[Batch], Any], row: Batch, answer: Batch) -> None:
        """Asks, if `row` differs from one that came before. row: one observation. answer: to it. Raises nothing."""
        if self._first is None:
            self._first = _copy(row), _copy(answer)
            return
        first, its_answer = self._first
        if first.specs != row.specs or all(
            np.array_equal(column, row.columns[name]) for name, column in first.columns.items()
        ):
            return
        self.done, self._first = True, None
        pair = Batch.concatenate([first, row])
        self.taken = takes_several(call, Batch(pair.columns, row.row_type), (its_answer, answer))


def _copy(rows: Batch) -> Batch:
    return Batch({name: np.array(column) for name, column in rows.columns.items()}, rows.row_type)
