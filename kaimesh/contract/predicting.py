"""Calls an agent's `predict`, `exploit` or `reanalyse`, padded or row by row as the agent wants; checks its answer.

The actor, local mode and evaluation all use it, so the same rules hold for an agent in each of them.
Shape legend: B rows, P rows with padding.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kaimesh.contract.agent import user_code
from kaimesh.contract.answers import check_numbers, columns_of, joined
from kaimesh.contract.arrays import Batch
from kaimesh.contract.errors import MeshError, SampleError
from kaimesh.contract.finite import first_not_finite
from kaimesh.contract.proof import Proof
from kaimesh.contract.user_agent import UserAgent

ModelId = int | str  # a model's number, "latest" or "random"
LATEST = "latest"
PREDICT, EXPLOIT, REANALYSE = 0, 1, 2  # what is asked of an agent; False and True are the first two
_log = logging.getLogger("kaimesh.predicting")
_METHODS = ("predict", "exploit", "reanalyse")


class Predictor:
    """Predicts with the agent of `user`. process: its name for messages, such as "actor"; "": none."""

    def __init__(self, user: UserAgent, process: str = "") -> None:
        self._agent, self._sequential, self._most = user.agent, user.sequential_predict, user.predict_rows_at_most
        self._padded = user.pad_batches and not user.sequential_predict
        self._foreign = user.foreign
        self._proof = Proof() if user.proves_batches else None
        self._reanalysing = user.reanalysing
        self._names = [f"{user.name}.{method}" for method in _METHODS]
        self._boundaries = [f"{process}: {name}" if process else name for name in self._names]

    @property
    def padded(self) -> bool:
        """Whether the agent wants padded batches: P is then one of a few sizes."""
        return self._padded

    def answer(self, batch: Batch, count: int, exploit: int) -> Batch:
        """Act columns `[B, ...]` for the first B = `count` of the P rows of `batch`. The agent may reuse these arrays.

        exploit: PREDICT, EXPLOIT or REANALYSE; False or True.
        Raises AgentError: the agent raised, or its answer is invalid. SampleError: an observation is not finite; the
        agent was not called.
        """
        check_finite(batch)  # with the padding: its zeros are finite
        where = self._names[exploit]
        with user_code(self._boundaries[exploit]):
            call = self._call(exploit)
            if one_by_one := self._one_by_one(exploit):
                results = [call(self._given(batch[i : i + 1])) for i in range(len(batch))]
            else:
                result = call(self._given(batch))
        if one_by_one:
            answers = [columns_of(result, 1, where) for result in results]
            if self._proof is not None and exploit == PREDICT:
                self._prove(self._proof, call, batch, answers)
            answer = self.joined(answers, exploit)
        else:
            answer = columns_of(result, len(batch), where)
        if len(answer) > count:
            answer = answer[:count]
        check_numbers(answer, where)
        return answer

    def _given(self, batch: Batch) -> Any:
        """`batch` as the agent gets it: a foreign one gets a list, of rows that it may keep."""
        if not self._foreign:
            return batch
        return list(Batch({name: column.copy() for name, column in batch.columns.items()}, batch.row_type))

    def _one_by_one(self, method: int) -> bool:
        return self._sequential and not (method == PREDICT and self._proof is not None and self._proof.taken)

    def _prove(self, proof: Proof, call: Callable[[Any], Any], batch: Batch, answers: Sequence[Batch]) -> None:
        for i, answer in enumerate(answers):
            if proof.done:
                return
            proof.ask(lambda pair: call(self._given(pair)), batch[i : i + 1], answer)
            if proof.done:
                how = "takes several observations per call" if proof.taken else "gets one observation per call"
                _log.info("%s %s, as it answered when it was asked about two", self._names[PREDICT], how)

    def _call(self, method: int) -> Callable[[Any], Any]:
        if method == REANALYSE:
            assert self._reanalysing is not None
            return self._reanalysing.reanalyse
        return self._agent.exploit if method == EXPLOIT else self._agent.predict

    def joined(self, answers: Sequence[Batch], exploit: int) -> Batch:
        """The rows of several calls, in order. Raises AgentError: the calls answered with different columns."""
        return joined(answers, self._names[exploit])

    def answer_all(self, batch: Batch, exploit: int) -> Batch:
        """As `answer`, for all B rows of `batch`, in as many calls as `predict_rows_at_most` wants.

        It pads the rows of a call to the next power of two if the agent wants that.
        """
        count, most = len(batch), self._most or len(batch)
        if count <= most:
            return self._answer_call(batch, exploit)
        answers = []
        for start in range(0, count, most):
            answer = self._answer_call(batch[start : start + most], exploit)
            answers.append(answer.take(np.arange(len(answer))))  # the next call may reuse the arrays
        return self.joined(answers, exploit)

    def _answer_call(self, batch: Batch, exploit: int) -> Batch:
        count = len(batch)
        size = 1 << (count - 1).bit_length() if self._padded else count
        if self._most:
            size = min(size, self._most)
        return self.answer(padded(batch, size) if size > count else batch, count, exploit)


def padded(batch: Batch, size: int) -> Batch:
    """`batch` `[B, ...]`, filled up to `size` rows with zeros, and in the column `legal_act` with ones: every action is
    legal.
    """
    columns = {}
    for name, column in batch.columns.items():
        rest = np.full((size - len(batch), *column.shape[1:]), name == "legal_act", column.dtype)
        columns[name] = np.concatenate([column, rest])
    return Batch(columns, batch.row_type)


def check_finite(rows: Batch) -> None:
    """Raises SampleError: a float column of the observations holds NaN or infinity."""
    if (found := first_not_finite(rows.columns)) is not None:
        field, row, value = found
        raise SampleError(
            f"observation field {field!r} of row {row} holds {value}; nothing can be predicted from it, and this "
            "request was refused. Check the code that computes this field: the environment, or observation_process."
        )


def only_latest(model: ModelId, who: str) -> None:
    """Raises MeshError: `model` is not "latest", and `who`, a predictor, has only one model at a time."""
    if model != LATEST:
        raise MeshError(
            f"model {model!r} was asked for, but {who} predicts with one model at a time; another one would answer. "
            f'Call load_model({model!r}) first, or ask for "latest".'
        )
