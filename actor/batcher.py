"""The actor's core, without a socket: the rows of many requests in, one call of the agent, checked rows out.

Shape legend: B rows of one call, P rows with padding.

Rows are copied into arrays that are reused, one per observation column. The agent gets views of these arrays, which are
valid during the call; an agent that keeps observations must copy them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kaimesh.contract.agent import user_code
from kaimesh.contract.arrays import Batch, Layout, Specs, layout
from kaimesh.contract.errors import AgentError, ConfigError
from kaimesh.contract.predicting import EXPLOIT, PREDICT, REANALYSE, Predictor
from kaimesh.contract.spaces import Spaces
from kaimesh.contract.structs import protocol
from kaimesh.contract.user_agent import UserAgent
from kaimesh.process.meter import Meter

NO_MODEL = -1  # the version before a model is loaded
_FIRST_BYTES = 1 << 16  # a lane's first size, or one row if that is larger


class Lane:
    """Collects rows for one call of the agent. They have the same specs and the same method.

    method: PREDICT, EXPLOIT or REANALYSE of kaimesh.contract.predicting. rows: the number of collected rows. requests:
    the requests of these rows, in order; the caller fills and empties it.
    act_specs: the specs of the last answer.
    """

    def __init__(self, specs: Specs, method: int, max_rows: int) -> None:
        self.specs, self.method, self.max_rows = specs, method, max_rows
        self.rows = 0
        self.requests: list[Any] = []
        self.act_specs: Specs | None = None
        self._signature: tuple[Any, ...] | None = None
        self._row_type = protocol("ObsData")
        self._row_bytes = [spec.nbytes for _, spec in specs]
        self._columns: dict[str, np.ndarray] = {}
        self._bytes: list[memoryview] = []
        self._layouts: dict[int, Layout] = {}
        self._capacity = 0  # nothing is reserved before the first row comes

    def layout(self, count: int) -> Layout:
        """The byte layout of a request of `count` rows."""
        plan = self._layouts.get(count)
        if plan is None:
            plan = layout(self.specs, count)
            if count <= self.max_rows:  # a peer may send any number; larger ones are not kept
                self._layouts[count] = plan
        return plan

    def add(self, payload: memoryview | bytes, offsets: Sequence[int], count: int) -> None:
        """Appends the `count` rows of a request; its column i begins at byte `offsets[i]` of `payload`."""
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
        """Empties the lane; returns its rows as a Batch of P rows, and their number B.

        padded: True: P is the next power of two, at most max_rows; the P - B last rows are zeros, and every action is
        legal in them. False: P = B.
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
        """A copy of the first `count` rows that `take` returned last."""
        return Batch({name: column[:count].copy() for name, column in self._columns.items()}, self._row_type)

    def describe(self, answer: Batch) -> None:
        """Sets `act_specs` to the specs of `answer`."""
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
        """Makes room for `rows` rows, by doubling; keeps the first `filled` rows (default: all collected ones)."""
        filled = self.rows if filled is None else filled
        rows = min(rows, self.max_rows)
        capacity = min(self.max_rows, 1 << (rows - 1).bit_length())
        grown = {name: np.empty((capacity, *spec.shape), spec.dtype) for name, spec in self.specs}
        for name, column in self._columns.items():
            grown[name][:filled] = column[:filled]
        self._columns, self._capacity = grown, capacity
        self._bytes = [column.reshape(-1).view(np.uint8).data for column in grown.values()]


class Batcher:
    """Predicts the rows of many requests in one call. It may be used by one thread only, like the agent's library.

    max_rows: the most rows of one call, also where the agent takes more. timeout_s: how long a client waits for an
    answer. asked_rows: for how many rows clients may wait at once; 0: max_rows. again: the share of the rows that is
    reanalyse's while they wait. meter: counts `predictions` (rows) and `batches` (calls). If the agent wants padding,
    P is a power of two or max_rows, so that a network that is compiled per shape is compiled a few times only.
    """

    def __init__(
        self,
        user: UserAgent,
        *,
        max_rows: int,
        meter: Meter,
        timeout_s: float = math.inf,
        asked_rows: int = 0,
        again: float = 0.0,
    ) -> None:
        self.user, self._meter, self._timeout_s, self._again = user, meter, timeout_s, again
        self.max_rows = min(max_rows, user.predict_rows_at_most or max_rows)
        self._asked_rows = asked_rows or self.max_rows
        self.version = NO_MODEL
        self._predictor = Predictor(user, "actor")
        self._lanes: dict[tuple[int, Specs], Lane] = {}

    @property
    def wants_spaces(self) -> bool:
        """Whether the agent is prepared: it needs the environment's spaces, and a model before its first prediction."""
        return self.user.prepared is not None

    def setup(self, spaces: Spaces) -> None:
        """Calls the agent's `setup`, then `warm_up`. Raises AgentError: it raised. ConfigError: see warm_up."""
        assert self.user.prepared is not None
        with user_code("actor: Agent.setup"):
            self.user.prepared.setup(spaces)
        self.warm_up()

    def warm_up(self) -> None:
        """Calls the agent's `warm_up`, if it has one.

        Raises AgentError: it raised, or returned no time. ConfigError: it is so slow that clients would give up.
        """
        if self.user.warming is None:
            return
        where, rows = f"{self.user.name}.warm_up", min(self.max_rows, self._asked_rows)
        self._meter.state("waiting", f"{where}: the agent compiles and measures itself")
        with user_code(f"actor: {where}"):
            seconds = self.user.warming.warm_up(rows)
        if seconds is None:
            return
        if isinstance(seconds, bool) or not isinstance(seconds, int | float | np.number) or not seconds >= 0:
            raise AgentError(
                f"{where} returned {seconds!r}, which is no time; it is unclear whether clients can wait for answers. "
                "Return the seconds of one call, or None."
            )
        self._meter.gauge("warm_up_call_s", float(seconds))
        calls = -(-self._asked_rows // rows)
        whole_s = seconds * calls / (1 - self._again)
        if whole_s > self._timeout_s / 2:
            beside = f" beside reanalyse (reanalyse_actor_share = {self._again:g})" if self._again else ""
            lower = ", or lower reanalyse_actor_share" if self._again else ""
            raise ConfigError(
                f"{where} says that one call of {rows} rows takes {seconds:.3g} s. All environments together "
                f"ask this actor for {self._asked_rows} rows, {calls} calls, {whole_s:.3g} s{beside}. This is over "
                f"half of predict_timeout_seconds = {self._timeout_s:g}, after which an aisrv asks another actor, and "
                "nothing would ever be answered. Give a call less work (of a search: fewer simulations, a smaller "
                "network), run fewer environments (aisrv_connect_to_kaiwu_env_count) or more actors, or raise "
                f"predict_timeout_seconds{lower}."
            )

    def load(self, folder: Path, id: int) -> None:
        """Loads model `id` from `folder`; `version` is `id` then. Raises AgentError: the agent's load_model raised."""
        with user_code(f"actor: Agent.load_model(path={str(folder)!r}, id={id})"):
            self.user.agent.load_model(path=str(folder), id=id)
        self.version = id
        self._meter.count("models_loaded")

    def lane(self, specs: Specs, method: int) -> Lane:
        """The lane for these specs and this method; it is made if there is none."""
        key = (method, specs)
        if key not in self._lanes:
            self._lanes[key] = Lane(specs, method, self.max_rows)
        return self._lanes[key]

    def forget(self, specs: Specs) -> None:
        """Drops the lanes of these specs, because no client has declared them any more."""
        for method in (PREDICT, EXPLOIT, REANALYSE):
            self._lanes.pop((method, specs), None)

    def run(self, lane: Lane) -> Batch:
        """Predicts all rows in `lane` and empties it. Returns act columns `[B, ...]`, valid until the next call.

        Raises AgentError, SampleError: see Predictor.answer.
        """
        batch, count = lane.take(self._predictor.padded)
        answer = self._predictor.answer(batch, count, lane.method)
        lane.describe(answer)
        self._meter.count("predictions", count)
        self._meter.count("batches")
        return answer

    def predict(self, batches: Sequence[Batch], exploit: int = PREDICT) -> list[Batch]:
        """The act columns for each of `batches`, which have the same specs; one call of the agent per max_rows rows.

        Raises AgentError, SampleError: see `run`.
        """
        lane = self.lane(batches[0].specs, exploit)
        rows = Batch.concatenate(batches) if len(batches) > 1 else batches[0]
        answers = []
        for start in range(0, len(rows), self.max_rows):
            lane.add_batch(rows[start : start + self.max_rows])
            answer = self.run(lane)
            answers.append(answer if len(rows) <= self.max_rows else answer.take(np.arange(len(answer))))
        whole = self._predictor.joined(answers, exploit)
        ends = np.cumsum([len(batch) for batch in batches])
        return [whole[end - len(batch) : end] for batch, end in zip(batches, ends, strict=True)]
