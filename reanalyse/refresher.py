"""The core of reanalyse: asks about the positions of samples in pieces, and makes fresh copies of the answers.

Shape legend: G samples; M positions of all of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import cycle
from typing import Protocol

import numpy as np

from kaimesh.contract.agent import user_code
from kaimesh.contract.answers import check_numbers, joined, samples_of
from kaimesh.contract.arrays import Batch
from kaimesh.contract.columns import MESH_COLUMNS, MODEL_VERSION
from kaimesh.contract.errors import AgentError
from kaimesh.contract.reanalysis import Reanalysing
from kaimesh.contract.user_agent import UserAgent
from kaimesh.process.meter import REANALYSED, Meter

PIECES = 2  # under way at once over each connection, so that the actor has the next one when it has answered one

# What is lost without what the agent is to return, and what that is
_QUESTIONS = ("nothing is searched again", "a Batch with a row for each position")
_COPIES = ("no copy is stored", "a Batch with a copy of each sample, in order")


class Asking(Protocol):
    """What is used of kaimesh.actor.client."""

    def send(self, batch: Batch) -> None:
        """Asks about the rows of `batch`, which may not change before they are answered."""

    def receive(self) -> tuple[Batch, int]:
        """The answer to the oldest question, valid until the next call, and the version of the model that gave it."""
        ...


class Refresher:
    """Makes fresh copies of samples.

    actors: connections, which are used in turn: an actor reads one request at a time from each. rows: of one request.
    Counter reanalysed_samples; gauge reanalysed_age: by how many versions the models of the newest copies are newer
    than those that they replace, on average.
    """

    def __init__(
        self, user: UserAgent, agent: Reanalysing, actors: Sequence[Asking], *, rows: int, meter: Meter
    ) -> None:
        self._name, self._agent, self._actors, self._rows, self._meter = user.name, agent, actors, rows, meter

    def __call__(self, drawn: Batch) -> Batch:
        """Fresh copies of samples `[G, ...]` as they were drawn. Raises AgentError: the agent raised."""
        samples = Batch({name: column for name, column in drawn.columns.items() if not _is_drawn(name)})
        wanted = samples.specs  # before the agent has them, which may change them
        with user_code(f"reanalyse: {self._name}.questions"):
            asked = self._agent.questions(samples)
        questions = samples_of(asked, f"{self._name}.questions", _QUESTIONS)
        if not len(questions):
            raise AgentError(
                f"{self._name}.questions asks nothing about {len(samples)} samples, so there is nothing to search "
                "again. Return a row for each position."
            )
        check_numbers(questions, f"{self._name}.questions")
        answers, version = self._answers(questions)
        with user_code(f"reanalyse: {self._name}.copies"):
            made = self._agent.copies(samples, answers, version)
        copies = samples_of(made, f"{self._name}.copies", _COPIES)
        if len(copies) != len(drawn):
            raise AgentError(
                f"{self._name}.copies returned {len(copies)} copies of {len(drawn)} samples; it is not known which "
                "belongs to which, so none was stored. Return one for each, in order."
            )
        if set(copies.specs) != set(wanted):
            raise AgentError(
                f"{self._name}.copies returned {copies.specs.to_json()} for samples of {wanted.to_json()}; they "
                "could not lie in one batch. Return the same fields, with the same shapes and dtypes."
            )
        check_numbers(copies, f"{self._name}.copies")
        self._meter.count(f"{REANALYSED}samples", len(copies))
        if MODEL_VERSION in drawn.columns:
            age = copies.columns[MODEL_VERSION] - drawn.columns[MODEL_VERSION]
            self._meter.gauge(f"{REANALYSED}age", float(age.mean()))
        return copies

    def _answers(self, questions: Batch) -> tuple[Batch, np.ndarray]:
        """The answers to all `questions` `[M, ...]`, and the version of the model of each, int64 `[M]`."""
        pieces = deque(questions[start : start + self._rows] for start in range(0, len(questions), self._rows))
        turns, under_way = cycle(self._actors), deque[tuple[Asking, int]]()
        answers, versions = [], []
        while pieces or under_way:
            while pieces and len(under_way) < PIECES * len(self._actors):
                actor, piece = next(turns), pieces.popleft()
                actor.send(piece)
                under_way.append((actor, len(piece)))
            actor, size = under_way.popleft()
            answer, version = actor.receive()
            answers.append(Batch({name: column.copy() for name, column in answer.columns.items()}))
            versions.append(np.full(size, version, np.int64))
            self._meter.beat()
        return joined(answers, f"{self._name}.reanalyse"), np.concatenate(versions)


def _is_drawn(name: str) -> bool:
    """Whether the mesh added this column when the sample was drawn."""
    column = MESH_COLUMNS.get(name)
    return column is not None and column.drawn
