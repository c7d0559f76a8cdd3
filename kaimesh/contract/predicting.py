"""One call of an agent's `predict` or `exploit`, as its class wants to be called, and its answer checked.

The actor, local mode and evaluation all predict by this, so an agent meets the same rules in each.
Shape legend: B rows, P rows with padding.
"""

from __future__ import annotations

import numpy as np

from kaimesh.contract.agent import user_code
from kaimesh.contract.answers import check_numbers, columns_of
from kaimesh.contract.arrays import Batch
from kaimesh.contract.errors import MeshError, SampleError
from kaimesh.contract.finite import first_not_finite
from kaimesh.contract.user_agent import UserAgent

ModelId = int | str  # a model's number, "latest" or "random"
LATEST = "latest"


class Predictor:
    """Predicts with `user`. process: whose it is, for messages ("actor")."""

    def __init__(self, user: UserAgent, process: str) -> None:
        self._agent, self._sequential = user.agent, user.sequential_predict
        self._padded = user.pad_batches and not user.sequential_predict
        self._names = {exploit: f"{user.name}.{'exploit' if exploit else 'predict'}" for exploit in (False, True)}
        self._boundaries = {exploit: f"{process}: {name}" for exploit, name in self._names.items()}

    @property
    def padded(self) -> bool:
        """Whether `answer` wants P to be one of few sizes."""
        return self._padded

    def answer(self, batch: Batch, count: int, exploit: bool) -> Batch:
        """Act columns `[B, ...]` for the first B = `count` of the P rows of `batch`; the agent may own their arrays.

        Raises AgentError: the agent raised, or returned what an answer cannot be. SampleError: rows are not finite; the
        agent was not called.
        """
        check_finite(batch)  # padding is
        where = self._names[exploit]
        with user_code(self._boundaries[exploit]):
            call = self._agent.exploit if exploit else self._agent.predict
            if self._sequential:
                results = [call(batch[i : i + 1]) for i in range(len(batch))]
            else:
                result = call(batch)
        if self._sequential:
            answer = Batch.concatenate([columns_of(result, 1, where) for result in results])
        else:
            answer = columns_of(result, len(batch), where)
        if len(answer) > count:
            answer = answer[:count]
        check_numbers(answer, where)
        return answer

    def answer_all(self, batch: Batch, exploit: bool) -> Batch:
        """The same for all B rows of `batch`, which are padded to the next power of two where the agent wants that."""
        count = len(batch)
        size = 1 << (count - 1).bit_length() if self._padded else count
        return self.answer(padded(batch, size) if size > count else batch, count, exploit)


def padded(batch: Batch, size: int) -> Batch:
    """`batch` `[B, ...]` with zeros behind it, up to `size` rows; of `legal_act` with ones: every action is legal
    there.
    """
    columns = {}
    for name, column in batch.columns.items():
        rest = np.full((size - len(batch), *column.shape[1:]), name == "legal_act", column.dtype)
        columns[name] = np.concatenate([column, rest])
    return Batch(columns, batch.row_type)


def check_finite(rows: Batch) -> None:
    """Raises SampleError: a float column of observations holds NaN or infinity; the network would answer NaN."""
    if (found := first_not_finite(rows.columns)) is not None:
        field, row, value = found
        raise SampleError(
            f"observation field {field!r} of row {row} holds {value}; nothing can be predicted from it, and this "
            "request was refused. Look at what makes this field: the environment, or observation_process."
        )


def only_latest(model: ModelId, who: str) -> None:
    """Raises MeshError: `model` is another one than `who` predicts with."""
    if model != LATEST:
        raise MeshError(
            f"model {model!r} was asked for, but {who} predicts with one model at a time; the answer would be another model's. "
            f'Call load_model({model!r}) first, or ask for "latest".'
        )
