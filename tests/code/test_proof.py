"""Whether an agent takes several observations per call: proved by numbers, and by nothing else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kaimesh.contract.arrays import Batch
from kaimesh.contract.predicting import EXPLOIT, PREDICT, Predictor
from kaimesh.contract.user_agent import read_foreign

W = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


class Counting:
    """calls: how many observations each call had."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def predict(self, rows: Any) -> Any:
        self.calls.append(len(rows))
        return self.answer(rows)

    exploit = predict

    def answer(self, rows: Any) -> Any:
        raise NotImplementedError


class Batches(Counting):
    def answer(self, rows: Any) -> Any:
        out = np.stack([row.feature for row in rows]) @ W
        noise = np.random.normal(size=len(rows))
        return [SimpleNamespace(action=int(o.argmax()), value=o[0], noise=n) for o, n in zip(out, noise, strict=True)]


class FirstOnly(Counting):
    def answer(self, rows: Any) -> Any:
        return [SimpleNamespace(action=1, value=float((rows[0].feature @ W)[0]))]


class Repeats(FirstOnly):
    def answer(self, rows: Any) -> Any:
        return super().answer(rows) * len(rows)


class ActionsAlone(Counting):
    def answer(self, rows: Any) -> Any:
        return [SimpleNamespace(action=int((row.feature @ W).argmax())) for row in rows]


class Raises(FirstOnly):
    def answer(self, rows: Any) -> Any:
        if len(rows) > 1:
            raise SystemExit(1)
        return super().answer(rows)


class Says(Batches):
    sequential_predict = False


def rows(count: int, seed: int = 1) -> Batch:
    return Batch({"feature": np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)})


@pytest.mark.parametrize(
    ("kind", "calls"),
    [
        (Batches, [1, 1, 1, 2, 3]),
        (FirstOnly, [1, 1, 1, 2, 1, 1, 1]),
        (Repeats, [1, 1, 1, 2, 1, 1, 1]),
        (ActionsAlone, [1, 1, 1, 2, 1, 1, 1]),
        (Raises, [1, 1, 1, 2, 1, 1, 1]),
        (Says, [3, 3]),
    ],
)
def test_who_proves_it_gets_batches(kind: type[Counting], calls: list[int]) -> None:
    agent = kind()
    predictor = Predictor(read_foreign(agent))
    for seed in (1, 2):
        answer = predictor.answer(rows(3, seed), 3, PREDICT)
        assert len(answer) == 3
    assert agent.calls == calls


def test_rows_that_come_one_by_one_are_a_proof_too_and_equal_ones_are_none() -> None:
    agent = Batches()
    predictor = Predictor(read_foreign(agent))
    for seed in (1, 1, 1, 2):
        predictor.answer(rows(1, seed), 1, PREDICT)
    assert agent.calls == [1, 1, 1, 1, 2]
    predictor.answer(rows(2), 2, EXPLOIT)  # which was not asked about
    assert agent.calls[-2:] == [1, 1]
    predictor.answer(rows(2), 2, PREDICT)
    assert agent.calls[-1] == 2
