"""Priorities on a real Reverb: what is drawn follows them, importance weights undo it,
and a dead server holds nobody up.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import reverb

from kaimesh.buffer import tables
from kaimesh.buffer.drawing.priorities import PriorityWriter
from kaimesh.buffer.drawing.reader import Reader
from kaimesh.buffer.ingest import Ingest
from kaimesh.config import App
from kaimesh.contract.agent import TableSpec
from kaimesh.contract.arrays import Batch, Specs
from kaimesh.contract.columns import KEY, PRIORITY, PROBABILITY, SERVER
from kaimesh.contract.errors import ConfigError, SampleError
from kaimesh.process.meter import Meter
from tests.buffer.conftest import check_rows, config_of, rows, wait_until
from tests.forks import HEAVY
from tests.harness import free_ports

TABLE = TableSpec(kind="replay", rows_per_item=1, prioritised=True)
COUNT, BATCH = 20, 16
OWN = (KEY, PROBABILITY, SERVER, PRIORITY)


class Replay:
    """Buffers of this process and a reader of them."""

    def __init__(self, servers: int = 1, **keys: Any) -> None:
        keys = {"reverb_sampler": "reverb.selectors.Prioritized", "preload_ratio": 0.001, **keys}
        app = App(replay_buffer_capacity=1000, train_batch_size=BATCH, **keys)
        self.ingests = [Ingest(TABLE, app) for _ in range(servers)]
        self.meter = Meter("learner_0")
        self.reader = Reader(
            [], [], "", batch_size=BATCH, table=TABLE, config=config_of(app), meter=self.meter, controls=self.ingests
        )

    def insert(self, batch: Batch, server: int = 0) -> None:
        self.ingests[server].declare(batch.specs, None)
        self.ingests[server].insert(batch)
        assert self.ingests[server].flush(5.0)

    def batch(self) -> Batch:
        batch = self.reader.next_batch(20.0)
        assert batch is not None
        return batch

    def draw(self, batches: int) -> Batch:
        return Batch.concatenate([self.batch() for _ in range(batches)])

    def set(self, priority_of: Callable[[np.ndarray], np.ndarray]) -> None:
        """Gives every sample in the tables the priority of its number; returns when what is drawn was drawn by them."""
        keys: dict[int, Batch] = {}
        while len(keys) < sum(ingest.inserted for ingest in self.ingests):
            batch = self.batch()
            keys |= {int(key): batch[i : i + 1] for i, key in enumerate(batch.columns[KEY])}
        known = Batch.concatenate(list(keys.values()))
        before = self.meter.counters.get("priorities_written", 0)
        self.reader.prioritise(known, priority_of(known.number))
        wait_until(lambda: self.meter.counters.get("priorities_written", 0) >= before + len(known), "written")
        self.draw(20)  # what was drawn ahead

    def close(self) -> None:
        self.reader.close()
        for ingest in self.ingests:
            ingest.close()


@pytest.fixture
def replay() -> Iterator[Callable[..., Replay]]:
    made: list[Replay] = []

    def make(*arguments: Any, **keys: Any) -> Replay:
        made.append(Replay(*arguments, **keys))
        return made[-1]

    yield make
    for one in made:
        one.close()


def frequencies(batch: Batch, count: int = COUNT) -> np.ndarray:
    return np.bincount(batch.number, minlength=count) / len(batch)


def close_to(found: np.ndarray, wanted: np.ndarray, draws: int) -> None:
    """Five standard deviations of a frequency, which draws in pairs could at most widen by a factor of 1.4."""
    assert (np.abs(found - wanted) < 5 * 1.4 * np.sqrt(wanted * (1 - wanted) / draws) + 1e-9).all(), (found, wanted)


@pytest.mark.parametrize("exponent", [0.6, 1.0])
def test_what_is_drawn_follows_the_priorities_that_the_learner_writes(
    replay: Callable[..., Replay], exponent: float
) -> None:
    table = replay(reverb_priority_exponent=exponent)
    table.insert(rows(COUNT))
    table.set(lambda number: 0.1 + number)
    drawn = table.draw(800)
    wanted = (0.1 + np.arange(COUNT)) ** exponent
    wanted /= wanted.sum()
    close_to(frequencies(drawn), wanted, len(drawn))
    np.testing.assert_allclose(drawn.columns[PROBABILITY], COUNT * wanted[drawn.number], rtol=1e-6)
    check_rows(Batch({name: column for name, column in drawn.columns.items() if name not in OWN}))


def test_a_sample_brings_its_first_priority(replay: Callable[..., Replay]) -> None:
    table = replay(reverb_priority_exponent=1.0)
    priority = np.linspace(0.2, 4, COUNT).astype(np.float32)
    table.insert(Batch({**rows(COUNT).columns, PRIORITY: priority}))
    drawn = table.draw(800)
    close_to(frequencies(drawn), priority / priority.sum(), len(drawn))


@pytest.mark.parametrize("servers", [1, 2])
def test_importance_weights_undo_the_priorities(replay: Callable[..., Replay], servers: int) -> None:
    """With the exponent 1 the weighted mean of anything over the draws is its plain mean over the samples."""
    table = replay(servers, reverb_priority_exponent=0.9)
    for server in range(servers):
        table.insert(rows(COUNT, server * COUNT), server)
    table.set(lambda number: 0.05 + (number % COUNT) ** 2 / 40)
    drawn = table.draw(1600)
    value = np.random.default_rng(0).standard_normal((servers, COUNT)) + np.linspace(-2, 2, COUNT)
    for server in range(servers):  # each by itself: a slow one gives fewer
        chosen = drawn.columns[SERVER] == server
        found, weight = value[server, drawn.number[chosen] % COUNT], 1 / drawn.columns[PROBABILITY][chosen]
        error = (weight * found).std() / len(found) ** 0.5
        assert abs((weight * found).mean() - value[server].mean()) < 6 * error
        assert abs(found.mean() - value[server].mean()) > 10 * error  # without them it is far off
        assert abs(weight.mean() - 1) < 6 * weight.std() / len(found) ** 0.5
    assert set(drawn.columns[SERVER]) == set(range(servers))


def test_uniform_sampling_gives_probability_1_and_takes_no_priorities(replay: Callable[..., Replay]) -> None:
    table = replay(reverb_sampler="reverb.selectors.Uniform")
    table.insert(rows(COUNT))
    batch = table.batch()
    table.reader.prioritise(batch, np.full(BATCH, 3.0))
    drawn = table.draw(400)
    np.testing.assert_allclose(drawn.columns[PROBABILITY], 1)
    close_to(frequencies(drawn), np.full(COUNT, 1 / COUNT), len(drawn))
    assert "priorities_written" not in table.meter.counters


def test_samples_that_are_gone_are_passed_over(replay: Callable[..., Replay]) -> None:
    table = replay()
    table.insert(rows(COUNT))
    batch = table.batch()
    table.reader.drop_all()
    table.insert(rows(COUNT, COUNT))
    table.reader.prioritise(batch, np.full(BATCH, 2.0))
    wait_until(lambda: "priorities_written" in table.meter.counters, "written")
    assert "priorities_lost" not in table.meter.counters
    assert table.ingests[0].describe()["size"] == COUNT


@pytest.mark.parametrize("priority", [0.0, -1.0])
def test_a_priority_that_would_never_be_drawn_is_refused(replay: Callable[..., Replay], priority: float) -> None:
    table = replay()
    batch = Batch({**rows(2).columns, PRIORITY: np.array([1, priority], np.float32)})
    with pytest.raises(SampleError, match=r"row 1 is .*above 0"):
        table.insert(batch)


@pytest.mark.parametrize("wrong", [{"rows_per_item": 16}, {"rows_per_item": 0}])
def test_a_table_that_cannot_have_priorities_is_refused(wrong: dict[str, Any]) -> None:
    app = App(replay_buffer_capacity=1000, train_batch_size=BATCH)
    with pytest.raises(ConfigError, match="rows_per_item = 1"):
        tables.plan(TABLE._replace(**wrong), Specs(rows(1).specs), app)


def test_a_queue_has_no_priorities_in_the_buffer() -> None:
    """Those of a prioritised queue are of what the learner replays."""
    plan = tables.plan(TABLE._replace(kind="queue"), rows(1).specs, App(replay_share=0.5))
    assert (plan.kind, plan.prioritised) == ("queue", False)


def test_replaying_a_share_of_a_replay_table_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"replay_share = 0.5 with algo = dqn.*kept twice.*Set replay_share = 0"):
        tables.plan(TABLE, Specs({}), App(algo="dqn", replay_share=0.5))


SERVE = """
import reverb, sys
table = reverb.Table("samples", sampler=reverb.selectors.Prioritized(1.0), remover=reverb.selectors.Fifo(), max_size=9,
                     rate_limiter=reverb.rate_limiters.MinSize(1))
reverb.Server([table], port=int(sys.argv[1])).wait()
"""


def test_a_dead_server_holds_nobody_up() -> None:
    (port,) = free_ports(1)
    process = HEAVY.popen(["-c", SERVE, str(port)], stdout=subprocess.DEVNULL)
    try:
        address, meter = f"127.0.0.1:{port}", Meter("learner_0")
        reverb.Client(address).server_info(timeout=60)
        writer = PriorityWriter([address], "samples", meter, logging.getLogger("test"))
        one = np.zeros(1, np.int64), np.ones(1, np.uint64), np.ones(1)
        writer.write(*one)
        wait_until(lambda: meter.counters.get("priorities_written") == 1, "written")
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        started = time.monotonic()
        many = np.zeros(70_000, np.int64), np.arange(70_000, dtype=np.uint64), np.ones(70_000)
        for batch in range(5):
            writer.write(many[0], many[1] + np.uint64(70_000 * batch), many[2])
        writer.close()
        assert time.monotonic() - started < 10
        assert meter.counters["priorities_lost"] >= 140_000
    finally:
        process.kill()
        process.wait()
