"""The learner's service with a real pool and real ports; only the buffer is a fake."""

from __future__ import annotations

import logging
import sys
import threading
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kaimesh.config import App, Config
from kaimesh.contract.arrays import Specs
from kaimesh.contract.errors import AgentError, PeerError
from kaimesh.contract.spaces import Spaces
from kaimesh.contract.user_agent import read_agent
from kaimesh.learner import service as service_module
from kaimesh.learner.client import LearnerClient
from kaimesh.learner.service import LearnerService
from kaimesh.model_pool.client import ModelPoolClient
from kaimesh.model_pool.server import ModelPoolServer
from kaimesh.model_pool.store import Store
from kaimesh.process.life import Context
from kaimesh.process.meter import Meter
from kaimesh.process.run_dir import RunDir
from kaimesh.training import checkpoint
from kaimesh.wire.gate import role_token
from tests.harness import free_ports
from tests.learner.toy import BATCH, ENTRY, Clock, FakeReader, ToyAgent

WAIT_S = 60.0
SPACES = Spaces((4,), "<f4", "discrete", 2)


class Paced(FakeReader):
    """Delivers one batch each time `go` is released, else waits as long as it may."""

    def __init__(
        self, *addresses: Any, batch_size: int, table: Any, config: Config, meter: Meter, **others: Any
    ) -> None:
        super().__init__(Clock(), endless=True, batch=batch_size)
        assert addresses[-1] == role_token("secret", "learner")
        assert table == ToyAgent.table
        assert config.app.train_batch_size == batch_size
        assert isinstance(meter, Meter)
        assert isinstance(others["logger"], logging.Logger)
        assert others["completer"](Specs({})) is None, "no share is configured"
        self.go = threading.Semaphore(0)

    def spaces(self, stop: threading.Event) -> Spaces:
        assert not stop.is_set()
        return SPACES

    def next_batch(self, timeout_s: float) -> Any:
        return super().next_batch(timeout_s) if self.go.acquire(timeout=timeout_s) else None

    def close(self) -> None:
        self.closed = True


class SetUpAgent(ToyAgent):
    """Is nothing before setup()."""

    spaces: Spaces | None = None

    def setup(self, spaces: Spaces) -> None:
        assert self.spaces is None
        self.spaces = spaces

    def save_model(self, path: str | None = None, id: str | int = "1") -> None:
        assert self.spaces == SPACES
        super().save_model(path, id)


class Running:
    """A LearnerService in a thread; `end` stops it as process/life does and returns what `run` raised."""

    def __init__(self, run: RunDir, pool: int, agent: ToyAgent, **app: Any) -> None:
        values = {
            "train_batch_size": BATCH,
            "dump_model_freq": 2,
            "learner_addr": f"127.0.0.1:{free_ports(1)[0]}",
            **app,
        }
        config = Config(App(model_pool_addr=f"127.0.0.1:{pool}", **values), ENTRY, {}, (), "test")
        self.meter = Meter("learner_0", run.status / "learner_0.json")
        logger = logging.getLogger("learner")
        self.context = Context("learner_0", 0, config, run, "secret", 1, self.meter, logger, threading.Event())
        self.context.make_agent = lambda agent_type: read_agent(agent)  # type: ignore[method-assign,assignment]
        self.agent = agent
        self.service = LearnerService(self.context)
        self.reader: Paced = self.service._reader
        self.client = LearnerClient(f"127.0.0.1:{self.meter.info['port']}", "secret")
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.service.run()
        except BaseException as error:
            self.error = error

    def learn(self, count: int) -> None:
        done = len(self.agent.learned)
        self.reader.go.release(count)
        wait_until(lambda: len(self.agent.learned) == done + count or self.error is not None)

    def end(self) -> BaseException | None:
        self.context.stop.set()
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()
        self.service.close()
        self.meter.publish()
        self.client.close()
        return self.error


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


class Pool:
    """A served pool that can go and come back on the same port."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.port = folder, 0
        self.start()

    def start(self) -> None:
        self.store = Store(self._folder, 10)
        self._server = ModelPoolServer(self.store, Meter("model_pool"))
        self.port = self._server.start(f"127.0.0.1:{self.port}", "secret")

    def stop(self) -> None:
        self._server.stop(0)

    def newest(self) -> int:
        info = self.store.latest()
        return -1 if info is None else info.id


@pytest.fixture
def pool(tmp_path):
    pool = Pool(tmp_path / "pool")
    yield pool
    pool.stop()


@pytest.fixture
def start(tmp_path, pool, monkeypatch):
    module = types.ModuleType("kaimesh.buffer.drawing.reader")
    module.Reader = Paced  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "kaimesh.buffer.drawing.reader", module)
    monkeypatch.setattr(service_module, "set_tensorflow_threads", lambda count: None)
    run = RunDir(tmp_path / "run")
    run.root.mkdir()
    run.prepare()
    started: list[Running] = []

    def make(**app: Any) -> Running:
        started.append(Running(run, pool.port, SetUpAgent(), **app))
        return started[-1]

    yield make
    for running in started:
        if running._thread.is_alive():
            running.end()


def test_models_reach_the_pool_and_the_last_one_does_at_the_end(start, pool, tmp_path):
    learner = start()
    wait_until(lambda: pool.newest() == 0)
    learner.learn(2)
    wait_until(lambda: pool.newest() == 2)
    learner.learn(1)
    assert learner.end() is None
    assert pool.newest() == 3
    assert learner.reader.closed
    pulled = ModelPoolClient(f"127.0.0.1:{pool.port}", "secret").pull("latest", tmp_path / "into")
    np.testing.assert_array_equal(np.load(tmp_path / "into" / pulled.files[0].name), learner.agent.weights)


def test_a_user_save_while_there_are_no_samples(start, tmp_path):
    learner = start()
    learner.learn(1)
    assert learner.client.save_model(WAIT_S) == 1
    assert [info.id for info in checkpoint.models(tmp_path / "run" / "user_ckpt")] == [1]
    assert learner.client.status() == {"train_count": 1, "model_version": 0, "user_saves": 1, "samples_short": 0}
    assert learner.end() is None


def test_the_same_run_directory_goes_on(start, pool):
    first = start()
    first.learn(3)
    assert first.end() is None
    second = start()
    second.reader.numbers = iter(range(3, 100))
    second.learn(2)
    assert second.end() is None
    assert second.service._trainer.train_count == 5
    assert pool.newest() == 5
    straight = start_straight(5)
    np.testing.assert_array_equal(second.agent.weights, straight)


def start_straight(learns: int) -> np.ndarray:
    """The weights after so many learns on batches 0, 1, 2, ... without any mesh."""
    agent = ToyAgent()
    reader = FakeReader(Clock(), endless=True)
    for _ in range(learns):
        batch = reader.next_batch(0)
        assert batch is not None
        agent.learn(type(batch)({"x": batch.x}))
    return agent.weights


def test_a_pool_that_is_gone_does_not_stop_training(start, pool):
    learner = start()
    wait_until(lambda: pool.newest() == 0)
    pool.stop()
    learner.learn(6)
    wait_until(lambda: "model_pool at" in str(learner.meter.info.get("model_pool")))
    pool.start()
    wait_until(lambda: pool.newest() == 6)
    assert learner.end() is None


def test_on_policy_waits_for_the_pool_and_says_so(start, pool):
    learner = start(algorithm_on_policy_or_off_policy="on-policy", dump_model_freq=1)
    wait_until(lambda: pool.newest() == 0)
    learner.learn(1)
    wait_until(lambda: pool.newest() == 1)
    learner.reader.version = 1
    pool.stop()
    learner.learn(1)
    wait_until(lambda: "model_pool at" in learner.meter.snapshot()["blocked_on"])
    pool.start()
    wait_until(lambda: pool.newest() == 2)
    assert learner.end() is None


def test_an_agent_that_raises_ends_the_service_with_the_cause_and_dumps_nothing(start, tmp_path):
    learner = start()
    learner.learn(3)
    learner.agent.fails = ZeroDivisionError("reward / 0")
    learner.reader.go.release()
    wait_until(lambda: learner.error is not None)
    error = learner.end()
    assert isinstance(error, AgentError)
    assert error.__cause__ is learner.agent.fails
    assert [info.id for info in checkpoint.models(tmp_path / "run" / "ckpt")] == [0, 2]


def test_a_save_that_raises_reaches_the_caller_and_ends_the_service(start):
    learner = start()
    learner.learn(1)
    learner.service._trainer._training._save_model = lambda path, id: 1 / 0
    with pytest.raises(PeerError, match="ZeroDivisionError"):
        learner.client.save_model(WAIT_S)
    wait_until(lambda: learner.error is not None)
    assert isinstance(learner.error, AgentError)
