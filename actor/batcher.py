"""The actor's core, without a socket: the rows of many requests in, one call of the agent, checked rows out.

Shape legend: B rows of one call, P rows with padding.

Rows are gathered into arrays that are made once, one per observation column. What the agent is given are views of them:
valid during the call; an agent that keeps observations must copy them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kaimesh.contract.agent import user_code
from kaimesh.contract.arrays import Batch, Layout, Specs, layout
from kaimesh.contract.predicting import Predictor
from kaimesh.contract.spaces import Spaces
from kaimesh.contract.structs import protocol
from kaimesh.contract.user_agent import UserAgent
from kaimesh.process.meter import Meter

NO_MODEL = -1  # the version until a model was loaded
_FIRST_BYTES = 1 << 16  # that a lane makes room for at first; a row may be larger than that


class Lane:
    """Rows that wait to be predicted in one call: the same method, the same observation specs.

    rows: how many wait. askers: whose they are, in order; the caller's own. act_specs: of the last answer.
    """

    def __init__(self, specs: Specs, exploit: bool, max_rows: int) -> None:
        self.specs, self.exploit, self.max_rows = specs, exploit, max_rows
        self.rows = 0
        self.askers: list[Any] = []
        self.act_specs: Specs | None = None
        self._signature: tuple[Any, ...] | None = None
        self._row_type = protocol("ObsData")
        self._row_bytes = [spec.nbytes for _, spec in specs]
        self._columns: dict[str, np.ndarray] = {}
        self._bytes: list[memoryview] = []
        self._layouts: dict[int, Layout] = {}
        self._capacity = 0  # until there are rows: specs alone reserve nothing

    def layout(self, count: int) -> Layout:
        """Where the columns of a request of `count` rows lie."""
        plan = self._layouts.get(count)
        if plan is None:
            plan = layout(self.specs, count)
            if count <= self.max_rows:  # a stranger may send any number
                self._layouts[count] = plan
        return plan

    def add(self, payload: memoryview | bytes, offsets: Sequence[int], count: int) -> None:
        """Appends the `count` rows of a request; column i begins at `offsets[i]`."""
        at, end = self.rows, self.rows + count
        self._make_room(end)
        for target, offset, size in zip(self._bytes, offsets, self._row_bytes, strict=True):
            target[at * size : end * size] = payload[offset : offset + count * size]
        self.rows = end

    def add_batch(self, batch: Batch) -> None:
        """Appends rows that are arrays already."""
        at, end = self.rows, self.rows + len(batch)
        self._make_room(end)
        for name, column in self._columns.items():
            column[at:end] = batch.columns[name]
        self.rows = end

    def take(self, padded: bool) -> tuple[Batch, int]:
        """The rows that wait, as a Batch of P rows, and their number B; they wait no longer.

        padded: P is the next power of two (at most max_rows); the surplus rows are zeros with every action legal.
        """
        count, self.rows = self.rows, 0
        if not padded:
            return self._view(count), count
        size = min(1 << (count - 1).bit_length(), self.max_rows)
        if size > self._capacity:
            self._reserve(size, count)
        for name, column in self._columns.items():
            column[count:size] = name == "legal_act"
        return self._view(size), count

    def last(self, count: int) -> Batch:
        """A copy of the `count` rows that `take` gave out last."""
        return Batch({name: column[:count].copy() for name, column in self._columns.items()}, self._row_type)

    def describe(self, answer: Batch) -> None:
        """Brings `act_specs` up to date."""
        signature = tuple((name, column.dtype, column.shape[1:]) for name, column in answer.columns.items())
        if signature != self._signature:
            self._signature, self.act_specs = signature, Specs.of_columns(answer.columns)

    def _view(self, count: int) -> Batch:
        return Batch({name: column[:count] for name, column in self._columns.items()}, self._row_type)

    def _make_room(self, rows: int) -> None:
        assert rows <= self.max_rows
        if rows > self._capacity:
            self._reserve(max(rows, _FIRST_BYTES // max(self.specs.row_bytes, 1)))

    def _reserve(self, rows: int, filled: int | None = None) -> None:
        """Makes room for `rows` rows, doubling; the first `filled` (default: those that wait) are kept."""
        filled = self.rows if filled is None else filled
        rows = min(rows, self.max_rows)
        capacity = min(self.max_rows, 1 << (rows - 1).bit_length())
        grown = {name: np.empty((capacity, *spec.shape), spec.dtype) for name, spec in self.specs}
        for name, column in self._columns.items():
            grown[name][:filled] = column[:filled]
        self._columns, self._capacity = grown, capacity
        self._bytes = [column.reshape(-1).view(np.uint8).data for column in grown.values()]


class Batcher:
    """Predicts for many at once. One thread owns it, and with it the agent's numerical library.

    max_rows: most rows of one call. meter: counts `predictions` (rows) and `batches` (calls). Of an agent that wants
    padding, P is a power of two, or max_rows, so that a network compiled for fixed shapes has few of them.
    """

    def __init__(self, user: UserAgent, *, max_rows: int, meter: Meter) -> None:
        self.user, self.max_rows, self._meter = user, max_rows, meter
        self.version = NO_MODEL
        self._predictor = Predictor(user, "actor")
        self._lanes: dict[tuple[bool, Specs], Lane] = {}

    @property
    def wants_spaces(self) -> bool:
        """Whether the agent is to be prepared for an environment, and then predicts nothing before its first model."""
        return self.user.prepared is not None

    def setup(self, spaces: Spaces) -> None:
        """Prepares the agent. Raises AgentError."""
        assert self.user.prepared is not None
        with user_code("actor: Agent.setup"):
            self.user.prepared.setup(spaces)

    def load(self, folder: Path, id: int) -> None:
        """Predicts with model `id` in `folder` from now on. Raises AgentError: load_model raised; `version` stays."""
        with user_code(f"actor: Agent.load_model(path={str(folder)!r}, id={id})"):
            self.user.agent.load_model(path=str(folder), id=id)
        self.version = id

    def lane(self, specs: Specs, exploit: bool) -> Lane:
        """The lane of these specs and this method."""
        key = (exploit, specs)
        if key not in self._lanes:
            self._lanes[key] = Lane(specs, exploit, self.max_rows)
        return self._lanes[key]

    def forget(self, specs: Specs) -> None:
        """Drops the lanes of these specs: nobody sends such rows any more."""
        for exploit in (False, True):
            self._lanes.pop((exploit, specs), None)

    def run(self, lane: Lane) -> Batch:
        """Predicts the rows that wait in `lane`: act columns `[B, ...]`, valid until the next call. The lane is empty
        then.

        Raises AgentError, SampleError as Predictor.answer.
        """
        batch, count = lane.take(self._predictor.padded)
        answer = self._predictor.answer(batch, count, lane.exploit)
        lane.describe(answer)
        self._meter.count("predictions", count)
        self._meter.count("batches")
        return answer

    def predict(self, batches: Sequence[Batch], exploit: bool = False) -> list[Batch]:
        """The act columns for each of `batches`, which agree in specs: one call of the agent where max_rows allows.

        Raises AgentError as `run`.
        """
        lane = self.lane(batches[0].specs, exploit)
        rows = Batch.concatenate(batches) if len(batches) > 1 else batches[0]
        answers = []
        for start in range(0, len(rows), self.max_rows):
            lane.add_batch(rows[start : start + self.max_rows])
            answer = self.run(lane)
            answers.append(answer if len(rows) <= self.max_rows else answer.take(np.arange(len(answer))))
        whole = Batch.concatenate(answers) if len(answers) > 1 else answers[0]
        ends = np.cumsum([len(batch) for batch in batches])
        return [whole[end - len(batch) : end] for batch, end in zip(batches, ends, strict=True)]
