"""Converts what an agent's methods returned into columns, and checks them.

Shape legend: B rows that the agent was given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kaimesh.contract.arrays import Batch, Columns, to_array
from kaimesh.contract.columns import SAMPLE_COLUMNS
from kaimesh.contract.errors import AgentError, SampleError
from kaimesh.contract.finite import surely_finite
from kaimesh.contract.spaces import Spaces

_ARRAYS = frozenset({np.ndarray})


def columns_of(result: Any, rows: int | None, where: str, need: tuple[str, str] | None = None) -> Batch:
    """The columns `[B, ...]` of a Batch, of a dict of arrays, or of a list of `rows` ActData.

    rows: None: any number of samples, not answers to observations. where: the method that returned `result`
    ("Agent.predict"), for messages. need: what is lost without the columns, and what to return. Raises AgentError:
    `result` is None or of another type, has too few or too many rows, a field that cannot travel, or fields that differ
    between rows.
    """
    try:
        if isinstance(result, Batch):
            batch = result
            if not _ARRAYS.issuperset(map(type, batch.columns.values())):
                batch = Batch({name: to_array(name, column) for name, column in batch.columns.items()}, batch.row_type)
        elif isinstance(result, Mapping):
            batch = Batch({name: to_array(name, column) for name, column in result.items()})
        elif isinstance(result, Sequence) and not isinstance(result, str | bytes):
            _check_count(len(result), rows, where)
            batch = Batch.of(result)
        else:
            loss, wanted = need or _wanted(rows)
            raise AgentError(f"{where} returned {_describe(result)}, so {loss}. Return {wanted}, or a dict of arrays.")
    except SampleError as error:
        raise AgentError(f"{where} returned what cannot be sent to other processes: {error}") from error
    except TypeError as error:  # len() of a 0-d column
        raise AgentError(
            f"{where} returned a column without a batch axis ({error}), so it has no separate rows. Return "
            f"columns [{'rows' if rows is None else rows}, ...]."
        ) from error
    if not batch.columns:
        loss, _ = need or _wanted(rows)
        raise AgentError(f"{where} returned rows without a field, so {loss}. Give them at least one field.")
    _check_count(len(batch), rows, where)
    return batch


def samples_of(result: Any, where: str, need: tuple[str, str] | None = None) -> Batch:
    """The samples that an agent made of unrolls: a Batch, a dict of arrays or a list of structs, of any number of rows.

    where, need: as in columns_of. Raises AgentError: as columns_of.
    """
    if isinstance(result, Sequence | Mapping) and not result:
        return Batch({})
    return columns_of(result, None, where, need)


def joined(answers: Sequence[Batch], where: str) -> Batch:
    """The rows of several calls, in order. Raises AgentError: the calls answered with different columns.

    where: as in columns_of.
    """
    if len(answers) == 1:
        return answers[0]
    first, *others = [{name: list(c.shape[1:]) for name, c in answer.columns.items()} for answer in answers]
    for other in others:
        if other != first:
            raise AgentError(
                f"{where} returned columns of shapes {first} in one call and {other} in the next, so there are none "
                "that all rows have, and nothing was done with them. Return the same columns, of the same shapes, in "
                "every call."
            )
    return Batch.concatenate(answers)


def added_columns(result: Any, rows: int, where: str) -> Columns:
    """The columns `[rows, ...]` that an agent adds to those of the mesh; `result` may be empty.

    where: as in columns_of. Raises AgentError: as columns_of, or a name is not text, or one of the mesh's own.
    """
    if isinstance(result, Mapping) and not result:
        return {}
    if not isinstance(result, Batch | Mapping):
        raise AgentError(
            f"{where} returned {_describe(result)}, so nothing could be added to the observations. Return a dict of "
            f"arrays [{rows}, ...], by column; an empty one for none."
        )
    columns = columns_of(result, rows, where).columns
    _check_names(columns, where)
    return columns


def check_acts(acts: Columns, spaces: Spaces, where: str) -> None:
    """Raises AgentError: `acts` `[B, ...]` have no actions of `spaces`, or a column with a name of the mesh's own.

    where: as in columns_of.
    """
    if "action" not in acts:
        raise AgentError(
            f"{where} returned no column 'action', but {', '.join(acts)}; no environment could step. Return the "
            "actions as a column of that name."
        )
    action = acts["action"]
    wanted = () if spaces.action_kind == "discrete" else (spaces.action_size,)
    if action.shape[1:] != wanted:
        raise AgentError(
            f"{where} returned actions of shape {['B', *action.shape[1:]]}, but the environment takes "
            f"{spaces.action_kind} ones of shape {['B', *wanted]}; it could not step. Return actions of that shape."
        )
    if spaces.action_kind == "discrete" and action.dtype.kind not in "iu":
        raise AgentError(
            f"{where} returned actions of dtype {action.dtype}, but the environment takes the numbers of discrete "
            "ones; which was meant would be a guess. Return integers."
        )
    _check_names(acts, where)


def _check_names(columns: Columns, where: str) -> None:
    for name in columns:
        if not isinstance(name, str):
            raise AgentError(f"{where} returned a column named {name!r}; it could not be sent. Name columns by text.")
        if name in SAMPLE_COLUMNS:
            raise AgentError(
                f"{where} returned a column {name!r}, a name under which the mesh itself stores something else; one of "
                "the two would be lost. Give the column another name."
            )


def check_answered(answer: Any, where: str) -> None:
    """Raises AgentError: a method that is to return an action returned None. where: as in columns_of."""
    if answer is None:
        raise AgentError(
            f"{where} returned {_describe(answer)}, so no environment got an action. Return a list of one ActData per "
            "observation."
        )


def check_numbers(batch: Batch, where: str) -> None:
    """Raises AgentError: a floating-point field of `batch` holds NaN. Infinities pass: masked logits are -inf."""
    for name, column in batch.columns.items():
        if not surely_finite(column) and np.isnan(column).any():
            bad = np.flatnonzero(np.isnan(column).reshape(len(column), -1).any(axis=1))
            raise AgentError(
                f"{where} returned NaN in field {name!r}, in {len(bad)} of {len(column)} rows (the first is row "
                f"{bad[0]}); nothing would be learned from it. Look for a diverged model (too high a learning rate), "
                "or for NaN in the observations."
            )


def _wanted(rows: int | None) -> tuple[str, str]:
    """What is lost without the columns of `columns_of`, and what to return."""
    if rows is None:
        return "nothing could be stored", "a Batch of samples, an empty list for none"
    return "no environment got an action", f"a list of one ActData per observation ({rows} here), a Batch"


def _check_count(got: int, rows: int | None, where: str) -> None:
    if rows is None or got == rows:
        return
    remedy = "it is not known which belongs to which. Return one ActData per observation, in order"
    if got == 1:
        remedy += (
            "; an agent that can take only one at a time declares it by the class attribute `sequential_predict = True`"
        )
    raise AgentError(f"{where} returned {got} rows for {rows} observations; {remedy}.")


def _describe(result: Any) -> str:
    if result is None:
        return "None (is there a return statement on every path?)"
    return f"a value of type {type(result).__name__}"
