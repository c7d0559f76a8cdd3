"""A deterministic agent whose optimizer state matters, and a buffer that validates what it is asked."""

from __future__ import annotations

import itertools
import logging
from pathlib import Path
from typing import Any

import numpy as np

from kaimesh.config import AlgoEntry, App, Config
from kaimesh.contract.agent import BaseAgent, TableSpec
from kaimesh.contract.arrays import Batch
from kaimesh.contract.columns import MODEL_VERSION, RUN_ID
from kaimesh.contract.user_agent import read_agent
from kaimesh.learner.trainer import Trainer
from kaimesh.process.meter import Meter
from kaimesh.process.run_dir import RunDir
from kaimesh.training.checkpoint import ModelInfo

BATCH = 4
ENTRY = AlgoEntry("toy", "toy.agent.Agent", "toy.agent.Agent", "toy.agent.Agent", "toy.workflow", "toy.config.Config")


class ToyAgent(BaseAgent):
    """Momentum descent on the samples' mean: equal weights need equal momentum. `learns` goes on after a resume."""

    table = TableSpec(kind="queue")

    def __init__(self) -> None:
        super().__init__("learner")
        self.weights, self.momentum = np.zeros(3), np.zeros(3)
        self.learns = 0
        self.learned: list[np.ndarray] = []
        self.fails: Exception | None = None
        self.metrics: Any = None

    def learn(self, list_sample_data: Batch) -> Any:
        assert set(list_sample_data.columns) == {"x"}  # the mesh's own columns are taken off
        assert list_sample_data.x.shape == (BATCH, 3)
        if self.fails is not None:
            raise self.fails
        self.learned.append(list_sample_data.x.copy())
        self.learns += 1
        self.momentum = 0.9 * self.momentum + list_sample_data.x.mean(0) - 0.1 * self.weights
        self.weights = self.weights - 0.05 * self.momentum
        return {"loss": float(np.square(self.weights).sum())} if self.metrics is None else self.metrics

    def save_model(self, path: str | None = None, id: str | int = "1") -> None:
        np.save(f"{path}/model.ckpt-{id}.npy", self.weights)

    def load_model(self, path: str | None = None, id: str | int = "1") -> None:
        self.weights = np.load(f"{path}/model.ckpt-{id}.npy")

    def save_training_state(self, path: str) -> None:
        np.save(f"{path}/momentum.npy", [*self.momentum, self.learns])

    def load_training_state(self, path: str) -> None:
        *momentum, learns = np.load(f"{path}/momentum.npy")
        self.momentum, self.learns = np.array(momentum), int(learns)


class Clock:
    """Time that only passes when someone sleeps."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        assert 0 <= seconds < 10
        self.now_s += max(seconds, 1e-6)


class FakeReader:
    """Rows that were put in, first in first out; `endless` makes the n-th batch out of the number n.

    `lag` is taken off the version of each row. Waiting passes the clock's time.
    """

    def __init__(self, clock: Clock, *, endless: bool = False, start: int = 0, batch: int = BATCH) -> None:
        self.clock, self.endless, self.batch = clock, endless, batch
        self.numbers = itertools.count(start)
        self.rows: list[tuple[float, int]] = []
        self.total = 0
        self.drops = 0
        self.closed = False
        self.error: Exception | None = None
        self.version = 0

    def put(self, count: int, version: int = 0) -> None:
        self.rows += [(float(self.total + i), version) for i in range(count)]
        self.total += count

    def next_batch(self, timeout_s: float) -> Batch | None:
        assert timeout_s >= 0
        self._answer()
        if self.endless:
            number = next(self.numbers)
            x = np.random.default_rng(number).normal(size=(self.batch, 3))
            return self._batch(x, np.full(self.batch, self.version, np.int64))
        if len(self.rows) < self.batch:
            self.clock.sleep(timeout_s)
            return None
        taken, self.rows = self.rows[: self.batch], self.rows[self.batch :]
        x = np.array([[value] * 3 for value, _ in taken])
        return self._batch(x, np.array([version for _, version in taken], np.int64))

    def inserted(self) -> int:
        self._answer()
        return self.total

    def size(self) -> int:
        self._answer()
        return len(self.rows)

    def drop_all(self) -> int:
        self._answer()
        self.drops += 1
        dropped, self.rows = len(self.rows), []
        return dropped

    def _answer(self) -> None:
        assert not self.closed
        if self.error is not None:
            raise self.error

    def _batch(self, x: np.ndarray, versions: np.ndarray) -> Batch:
        return Batch({"x": x, MODEL_VERSION: versions, RUN_ID: np.zeros(len(x), np.int64)})


class Bench:
    """A trainer with everything around it; `published` are the ids in order. A learn takes `learn_s` of the clock."""

    def __init__(
        self,
        root: Path,
        *,
        endless: bool = True,
        start: int = 0,
        agent: BaseAgent | None = None,
        learn_s: float = 1.0,
        **app: Any,
    ) -> None:
        self.learn_s = learn_s
        self.clock = Clock()
        self.reader = FakeReader(self.clock, endless=endless, start=start)
        self.agent: Any = agent or ToyAgent()
        self.run = RunDir(root)
        self.run.prepare()
        self.meter = Meter("learner_0", self.run.status / "learner_0.json")
        self.published: list[int] = []
        values = {"train_batch_size": BATCH, "replay_buffer_capacity": 100, "dump_model_freq": 5, **app}
        self.config = Config(App(algo="toy", **values), ENTRY, {}, (), "test")
        self.trainer = Trainer(
            read_agent(self.agent),
            self.reader,
            config=self.config,
            run=self.run,
            meter=self.meter,
            logger=logging.getLogger("learner"),
            publish=self.publish,
            clock=self.clock,
            sleep=self.clock.sleep,
        )

    def publish(self, folder: Path, info: ModelInfo) -> None:
        assert folder == self.run.ckpt
        assert all((folder / file.name).is_file() for file in info.files)
        self.published.append(info.id)

    def learn(self, count: int) -> None:
        for _ in range(count):
            self.clock.sleep(self.learn_s)
            assert self.trainer.step(0.1)

    @property
    def blocked_on(self) -> str:
        return str(self.meter.snapshot()["blocked_on"])
