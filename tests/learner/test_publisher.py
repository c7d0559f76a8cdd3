"""Pushes beside training: the newest, the first and the last, through an absent pool."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kaimesh.contract.errors import MeshError, PeerError, Stopped
from kaimesh.learner.publisher import Publisher
from kaimesh.process.meter import Meter
from kaimesh.training.checkpoint import ModelInfo

WAIT_S = 60.0


class Pool:
    """Records pushes; `gate` holds them up, `error` makes them fail."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.tries = 0
        self.error: MeshError | None = None
        self.gate = threading.Event()
        self.gate.set()

    def push(self, folder: Path, info: ModelInfo) -> None:
        assert folder == Path("ckpt")
        assert self.gate.wait(WAIT_S)
        self.tries += 1
        if self.error is not None:
            raise self.error
        self.ids.append(info.id)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.002)


@pytest.fixture
def pool():
    return Pool()


@pytest.fixture
def meter():
    return Meter("learner_0")


@pytest.fixture
def make(pool, meter):
    def publisher(every_s: float = 0.0) -> Publisher:
        return Publisher(pool.push, every_s=every_s, meter=meter, logger=logging.getLogger("learner"))

    return publisher


def submit(publisher: Publisher, id: int) -> None:
    publisher.submit(Path("ckpt"), ModelInfo(id, (), 0.0))


def test_each_dump_at_once(make, pool, meter):
    publisher = make()
    for id in range(3):
        submit(publisher, id)
        wait_until(lambda id=id: pool.ids == list(range(id + 1)))
    assert meter.counters["models_pushed"] == 3
    assert meter.gauges["pushed_version"] == 2


def test_training_does_not_wait_and_only_the_newest_goes(make, pool):
    publisher = make()
    pool.gate.clear()
    start = time.monotonic()
    for id in range(100):
        submit(publisher, id)
    assert time.monotonic() - start < 1.0
    pool.gate.set()
    publisher.close(WAIT_S)
    assert pool.ids[-1] == 99
    assert len(pool.ids) <= 2


def test_on_a_timer_the_first_goes_at_once_and_the_last_is_never_skipped(make, pool):
    publisher = make(every_s=3600)
    submit(publisher, 0)
    wait_until(lambda: pool.ids == [0])
    for id in (1, 2, 3):
        submit(publisher, id)
    publisher.close(WAIT_S)
    assert pool.ids == [0, 3]


def test_on_a_timer_the_newest_goes_when_it_is_time(make, pool):
    publisher = make(every_s=0.2)
    submit(publisher, 0)
    wait_until(lambda: pool.ids == [0])
    start = time.monotonic()
    submit(publisher, 1)
    submit(publisher, 2)
    wait_until(lambda: pool.ids == [0, 2])
    assert time.monotonic() - start > 0.1


def test_an_absent_pool_is_tried_again_and_said(make, pool, meter, caplog):
    caplog.set_level("INFO")
    pool.error = PeerError("model_pool at 127.0.0.1:1 does not answer")
    publisher = make()
    submit(publisher, 1)
    wait_until(lambda: pool.tries >= 2)
    assert meter.info["model_pool"] == "model_pool at 127.0.0.1:1 does not answer"
    assert caplog.text.count("training goes on") == 1
    submit(publisher, 2)
    pool.error = None
    wait_until(lambda: pool.ids == [2])
    wait_until(lambda: "model_pool" not in meter.info)
    wait_until(lambda: "answers again" in caplog.text)  # it is said after it is known


def test_a_dump_that_is_gone_is_left_out(make, pool, caplog):
    pool.error = MeshError("ckpt/model.ckpt-1.x is gone")
    publisher = make()
    submit(publisher, 1)
    wait_until(lambda: "model 1 was not pushed" in caplog.text)
    pool.error = None
    submit(publisher, 2)
    wait_until(lambda: pool.ids == [2])


def test_closing_gives_up_in_time_and_says_what_is_missing(make, pool, caplog):
    pool.error = PeerError("nobody")
    publisher = make()
    submit(publisher, 7)
    start = time.monotonic()
    publisher.close(WAIT_S)
    assert time.monotonic() - start < 2
    assert "did not reach the pool" in caplog.text


def test_waiting_for_the_pool_returns_when_it_has_the_model(make, pool, meter):
    publisher = make()
    pool.error = PeerError("nobody there")
    threading.Timer(0.7, lambda: setattr(pool, "error", None)).start()
    publisher.submit_and_wait(Path("ckpt"), ModelInfo(1, (), 0.0), threading.Event())
    assert pool.ids == [1]
    assert "nobody there" in meter.snapshot()["blocked_on"]


def test_waiting_for_the_pool_ends_with_the_process(make, pool):
    pool.error = PeerError("nobody")
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    with pytest.raises(Stopped):
        make().submit_and_wait(Path("ckpt"), ModelInfo(1, (), 0.0), stop)
