"""The second table: fresh copies beside samples of play, in one server, one batch, and one checkpoint."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reverb

from kaimesh.buffer.checkpoint import Checkpoints
from kaimesh.buffer.drawing.copies import Copies
from kaimesh.buffer.ingest import Ingest
from kaimesh.buffer.sending.sender import REFRESHER, SampleSender
from kaimesh.config.check import copies_in_batch
from kaimesh.config.keys import App
from kaimesh.contract.agent import TableSpec
from kaimesh.contract.arrays import Batch
from kaimesh.contract.columns import KEY, POSITIONS, PRIORITY, SERVER
from kaimesh.contract.errors import ConfigError, MeshError, SampleError
from kaimesh.contract.spaces import Spaces
from kaimesh.operate.view.books import lines
from kaimesh.process.meter import Meter
from tests.buffer.conftest import TOKEN, ChildBuffer, LocalBuffer, check_rows, rows, wait_until

ON = {"reanalyse_count": 1, "reanalyse_share": 0.5}
TABLE = TableSpec(kind="replay", rows_per_item=1)
COPY = 1000  # numbers of copies begin here


def mixed(buffer: LocalBuffer, meter: Meter) -> Any:
    """A reader whose batches are filled up with copies, as the learner's."""
    copies = partial(
        Copies,
        addrs=[f"127.0.0.1:{buffer.port}"],
        batch_size=buffer.app.train_batch_size,
        count=copies_in_batch(buffer.app),
        meter=meter,
        logger=logging.getLogger("reader"),
    )
    return buffer.reader(copies=copies, meter=meter, logger=logging.getLogger("reader"))


def numbers(reader: Any) -> np.ndarray:
    return check_rows(wait_until(lambda: reader.next_batch(5.0), "a batch"))


def test_batches_are_plays_until_there_are_copies_and_then_a_share_of_each(
    local: Callable[..., LocalBuffer], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "reader")
    buffer, meter = local("replay", 1, 64, 8, preload_ratio=0.2, reanalyse_capacity=16, **ON), Meter("learner_0")
    sender = buffer.sender()
    sender.put(rows(40))
    assert sender.flush(20)
    reader = mixed(buffer, meter)
    for _ in range(6):
        assert (numbers(reader) < COPY).all()
    fresh = buffer.sender(role=REFRESHER, name="reanalyse_0", meter=Meter("reanalyse_0"))
    fresh.put(rows(5, COPY))
    assert fresh.flush(20)
    for _ in range(4):
        assert (numbers(reader) < COPY).all(), "too few for a batch"
    fresh.put(rows(25, COPY + 5))
    assert fresh.flush(20)
    wait_until(lambda: (numbers(reader) >= COPY).any(), "copies are drawn")
    for _ in range(20):
        batch = numbers(reader)
        assert (batch[:4] < COPY).all()
        assert (batch[4:] >= COPY).all()
    assert batch[4:].min() >= COPY + 14, "the newest 16 are left"
    said = [record.message for record in caplog.records if "fresh copies" in record.message]
    assert said == [
        "there are too few fresh copies; batches are samples of play alone until there are more",
        "of each batch of 8 samples, 4 are fresh copies now",
    ]
    assert meter.counters["samples_reanalysed"] >= 80
    buffer.ingest.publish()
    status = buffer.meter.snapshot()
    assert status["counters"]["inserted"] == 40, "copies are no samples of play"
    assert status["counters"]["fresh_inserted"] == 30
    assert (status["gauges"]["fresh_size"], status["counters"]["fresh_evicted"]) == (16, 14)
    books = {line.name: line for line in lines({"buffer_0": status})}
    assert set(books) == {"buffer_0", "buffer_0, fresh copies"}
    assert not any(line.missing for line in books.values())


def test_copies_wait_for_the_learner_to_draw_them(local: Callable[..., LocalBuffer]) -> None:
    buffer = local("replay", 1, 64, 8, preload_ratio=0.2, reanalyse_capacity=16, **ON)
    play = buffer.sender()
    play.put(rows(1))
    assert play.flush(20)
    fresh = buffer.sender(role=REFRESHER)
    fresh.put(rows(16, COPY))
    assert fresh.flush(20)
    assert not buffer.ingest.describe()["enough_copies"]
    fresh.put(rows(1, COPY))
    assert fresh.flush(20), "it only asks, and takes what comes"
    assert buffer.ingest.describe()["enough_copies"]
    assert buffer.ingest.describe()["inserted"] == 1
    assert buffer.ingest.copies.plan is not None
    sampled = reverb.Client(f"127.0.0.1:{buffer.port}").sample(buffer.ingest.copies.plan.name, num_samples=200)
    assert len(list(sampled)) == 200
    assert not buffer.ingest.describe()["enough_copies"], "the learner draws"
    fresh.put(rows(17, COPY))
    assert fresh.flush(20)
    assert buffer.ingest.describe()["enough_copies"], "it has stopped; what it drew before is not saved up"


def test_a_copy_has_at_least_one_position_as_a_sample_has(local: Callable[..., LocalBuffer]) -> None:
    buffer = local("replay", 1, 64, 8, **ON)
    play, fresh = buffer.sender(), buffer.sender(role=REFRESHER)
    play.put(Batch({"x": np.zeros(2), POSITIONS: np.ones(2, np.int32)}))
    assert play.flush(20)
    fresh.put(Batch({"x": np.zeros(2), POSITIONS: np.array([3, 0], np.int32)}))
    with pytest.raises(MeshError, match="_positions of row 1 is 0"):
        fresh.flush(20)
    assert not buffer.meter.counters.get("fresh_inserted")


def test_a_refresher_does_not_say_what_a_sample_is(local: Callable[..., LocalBuffer]) -> None:
    buffer = local("replay", 1, 64, 8, **ON)
    wrong = buffer.sender(role=REFRESHER, name="reanalyse_1", spaces=Spaces((9,), "<f4", "discrete", 9))
    fresh = buffer.sender(role=REFRESHER, name="reanalyse_0")
    wrong.put(Batch({"x": np.zeros((1, 3), np.float32)}))
    fresh.put(rows(3, COPY))
    assert not fresh.flush(0.2), "it waits"
    assert buffer.ingest.describe()["specs"] is None
    assert buffer.ingest.describe()["spaces"] is None
    play = buffer.sender()
    play.put(rows(20))
    assert play.flush(20), "nobody who plays is refused for it"
    assert fresh.flush(20)
    with pytest.raises(MeshError, match="cannot join them"):
        wrong.flush(20)
    buffer.ingest.publish()
    assert buffer.meter.counters["fresh_inserted"] == 3


def test_without_reanalyse_there_is_no_table_for_copies(local: Callable[..., LocalBuffer]) -> None:
    buffer = local("replay", 1, 64, 8)
    fresh = buffer.sender(role=REFRESHER)
    fresh.put(rows(1))
    with pytest.raises(MeshError, match=r"no table for fresh copies.*reanalyse_count above 0"):
        fresh.flush(20)
    assert buffer.ingest.describe().get("copies") is None


@pytest.mark.parametrize("table", [TableSpec(kind="queue"), TableSpec(kind="replay", rows_per_item=4)])
def test_another_table_than_one_of_single_samples_is_refused(table: TableSpec) -> None:
    with pytest.raises(ConfigError, match=r"reanalyse_count = 1 .*rows_per_item = 1\. Set reanalyse_count = 0"):
        Ingest(table, App(**ON))


def test_both_tables_count_for_the_memory() -> None:
    app = App(replay_buffer_capacity=10**9, reanalyse_capacity=10**12, **ON)
    with pytest.raises(SampleError, match=r"1,000,000,000,000 fresh copies \(reanalyse_capacity\), takes [\d,.]+ GB"):
        Ingest(TABLE, app).declare(rows(1).specs, None)


def opened(folder: Path, counters: dict[str, float] | None = None, **keys: Any) -> Ingest:
    """A life of a buffer with checkpoints in `folder`. counters: what was kept of the one before."""
    meter = Meter("buffer_0")
    meter.counters.update(counters or {})
    app = App(replay_buffer_capacity=64, train_batch_size=8, **keys)
    return Ingest(TABLE, app, checkpoints=Checkpoints(folder), meter=meter)


def ended(ingest: Ingest) -> dict[str, float]:
    """Ends a life; returns its counters."""
    ingest.publish()
    status = ingest._meter.snapshot()
    assert not any(line.missing for line in lines({"buffer_0": status}))
    ingest.close()
    return dict(ingest._meter.counters)


@pytest.mark.long
def test_a_checkpoint_has_both_tables_also_while_reanalyse_is_off(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ingest = opened(tmp_path, **ON)
    ingest.declare(rows(1).specs, None)
    ingest.insert(rows(20))
    ingest.copies.insert(rows(10, COPY))
    ingest.flush(5.0)
    assert ingest.checkpoint()
    ingest.copies.insert(rows(3, COPY + 10))
    ingest.flush(5.0)
    counters = ended(ingest)
    for keys in ({}, ON, {}, ON):
        ingest = opened(tmp_path, counters, **keys)
        assert ingest.restore()
        ingest.publish()
        gauges = ingest._meter.gauges
        assert (gauges["size"], gauges["fresh_size"]) == (20, 10)
        assert ingest._meter.counters["fresh_lost_in_kill"] == 3
        assert ingest.checkpoint()
        counters = ended(ingest)
    ingest = opened(tmp_path, counters, **ON, reanalyse_capacity=40)
    assert not ingest.restore(), "Reverb would keep the table as it was"
    assert "was saved with another table (fresh copies: max_size 16 instead of 40" in caplog.text
    ingest.close()


@pytest.mark.long
def test_a_run_that_had_no_reanalyse_may_have_it_from_now_on(tmp_path: Path) -> None:
    ingest = opened(tmp_path)
    ingest.declare(rows(1).specs, None)
    ingest.insert(rows(20))
    ingest.flush(5.0)
    assert ingest.checkpoint()
    counters = ended(ingest)
    ingest = opened(tmp_path, counters, **ON)
    assert ingest.restore()
    ingest.copies.insert(rows(4, COPY))
    ingest.flush(5.0)
    ingest.publish()
    assert (ingest._meter.gauges["size"], ingest._meter.gauges["fresh_size"]) == (20, 4)
    ended(ingest)


@pytest.mark.long
def test_new_priorities_go_to_the_table_that_a_row_came_from(local: Callable[..., LocalBuffer]) -> None:
    table = TableSpec(kind="replay", rows_per_item=1, prioritised=True)
    app = App(
        replay_buffer_capacity=64,
        train_batch_size=8,
        preload_ratio=0.2,
        reverb_sampler="reverb.selectors.Prioritized",
        reverb_priority_exponent=1.0,
        **ON,
    )
    buffer, meter = LocalBuffer(table, app), Meter("learner_0")
    try:
        for role, first in (("writer", 0), (REFRESHER, COPY)):
            sender = buffer.sender(role=role, name=role)
            columns = rows(16, first).columns
            sender.put(Batch({**columns, PRIORITY: np.ones(16, np.float32)}))
            assert sender.flush(20)
        reader = mixed(buffer, meter)
        batch = wait_until(lambda: reader.next_batch(5.0), "a batch")
        batch = wait_until(lambda: (found := reader.next_batch(5.0)) and (found.number >= COPY).any() and found, "mix")
        assert (batch.columns[SERVER] == np.where(batch.number >= COPY, 1, 0)).all()
        assert len(set(batch.columns[KEY])) > 1
        heavy = {int(batch.number[0]), int(batch.number[-1])}
        reader.prioritise(batch, np.where(np.isin(batch.number, list(heavy)), 1e6, 1e-6))
        wait_until(lambda: meter.counters.get("priorities_written", 0) >= 2, "both tables know")
        for _ in range(12):  # what was drawn ahead
            batch = wait_until(lambda: reader.next_batch(5.0), "a batch")
        assert set(batch.number.tolist()) == heavy
    finally:
        buffer.close()


@pytest.mark.long
def test_a_kill_loses_what_no_checkpoint_has_and_the_books_say_so(child: Callable[..., ChildBuffer]) -> None:
    buffer = child('TableSpec(kind="replay", rows_per_item=1)', replay_buffer_capacity=64, train_batch_size=8, **ON)
    buffer.start()
    common: dict[str, Any] = {"token": TOKEN, "window": 64, "stop": threading.Event()}
    play = SampleSender([buffer.address], name="aisrv_0", meter=Meter("a"), **common)
    fresh = SampleSender([buffer.address], name="reanalyse_0", meter=Meter("r"), role=REFRESHER, **common)
    play.put(rows(20))
    fresh.put(rows(9, COPY))
    assert play.flush(20)
    assert fresh.flush(20)
    assert buffer.process is not None
    os.kill(buffer.process.pid, signal.SIGKILL)
    buffer.process.wait(20)
    buffer.start()
    fresh.put(rows(4, COPY))
    assert fresh.flush(30)
    wait_until(lambda: buffer.status()["counters"].get("fresh_inserted") == 13, "it goes on")
    counters = wait_until(lambda: buffer.status() if buffer.status()["gauges"].get("fresh_size") == 4 else None, "4")
    assert counters["counters"]["fresh_lost_in_kill"] == 9
    assert counters["counters"]["lost_in_kill"] == 20
    assert not any(line.missing for line in lines({"buffer_0": counters}))
    play.close()
    fresh.close()
