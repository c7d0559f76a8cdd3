"""Configurations that pass the check at the start never block, on real Reverbs; those that it refuses do.

Samples go the whole way: several writers with a window of unacknowledged samples, ingest ports, tables with a limiter,
the reader's prefetch, and the learner's trigger.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from kaimesh.buffer import tables
from kaimesh.buffer.drawing.reader import Reader
from kaimesh.buffer.sending.sender import SampleSender
from kaimesh.config import App
from kaimesh.config.check import problems
from kaimesh.contract.agent import TableSpec
from kaimesh.contract.arrays import Specs
from kaimesh.contract.errors import ConfigError, Stopped
from kaimesh.learner.trigger import Trigger
from kaimesh.process.meter import Meter
from tests.buffer.conftest import TOKEN, LocalBuffer, config_of, rows

LIMITER = {"reverb_rate_limiter": "SampleToInsertRatio"}
ADDRESSES = [f"127.0.0.1:{port}" for port in range(1, 5)]
PROGRESS_S = 30.0  # without a learn for so long, all stand still


def app_of(servers: int, **keys: Any) -> App:
    """The buffers' addresses in it are placeholders; only their number counts."""
    half = ADDRESSES[:servers], ADDRESSES[2 : 2 + servers]
    return App(buffer_addrs=half[0], buffer_ingest_addrs=half[1], **{**LIMITER, **keys})


class Flow:
    """Writers that send for ever, and a learner that draws when its trigger lets it."""

    def __init__(self, app: App, table: TableSpec, *, writers: int, frame: int, window: int) -> None:
        self.app = app
        self.buffers = [LocalBuffer(table, app) for _ in app.buffer_addrs]
        self._stop = threading.Event()
        addresses = [buffer.address for buffer in self.buffers]
        self._senders = [
            SampleSender(
                addresses, token=TOKEN, name=f"aisrv_{i}", window=window, meter=Meter("aisrv"), stop=self._stop
            )
            for i in range(writers)
        ]
        self.reader = Reader(
            [f"127.0.0.1:{buffer.port}" for buffer in self.buffers],
            addresses,
            TOKEN,
            batch_size=app.train_batch_size,
            table=table,
            config=config_of(app),
            meter=Meter("learner_0"),
        )
        self._trigger = Trigger(app, table, self.reader, time.monotonic)
        self._threads = [threading.Thread(target=self._write, args=(s, frame), daemon=True) for s in self._senders]
        for thread in self._threads:
            thread.start()

    def learn(self, timeout_s: float) -> bool:
        """As learner/trainer does: the trigger, then a batch; False if nothing came in time."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self._trigger.blocked_on():
                self._stop.wait(0.002)
            elif self.reader.next_batch(0.2) is not None:
                self._trigger.learned()
                return True
        return False

    def close(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(10)
        self.reader.close()
        for sender in self._senders:
            sender.close()
        for buffer in self.buffers:
            buffer.close()

    def _write(self, sender: SampleSender, frame: int) -> None:
        try:
            while not self._stop.is_set():
                sender.put(rows(frame))
        except Stopped:
            pass


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    servers=st.integers(1, 2),
    rows_per_item=st.sampled_from([1, 1, 5]),
    batch=st.integers(1, 40),
    capacity=st.integers(1, 300),
    preload=st.sampled_from([0.01, 0.3, 1.0]),
    ratio=st.sampled_from([0.3, 1.0, 3.0, 16.0]),
    slack=st.none() | st.floats(1, 64),
    while_true=st.booleans(),
    consume=st.sampled_from([0.3, 1.0, 3.0, 20.0]),
    writers=st.integers(1, 3),
    frame=st.integers(1, 60),
    window=st.integers(1, 100),
)
def test_what_passes_the_check_does_not_block(
    servers: int,
    rows_per_item: int,
    batch: int,
    capacity: int,
    preload: float,
    ratio: float,
    slack: float | None,
    while_true: bool,
    consume: float,
    writers: int,
    frame: int,
    window: int,
) -> None:
    app = app_of(
        servers,
        train_batch_size=batch,
        replay_buffer_capacity=capacity,
        preload_ratio=preload,
        reverb_samples_per_insert=ratio,
        reverb_error_buffer=slack,
        learner_train_by_while_true=while_true,
        production_consume_ratio=consume,
    )
    assume(not problems(app))
    flow = Flow(app, TableSpec(rows_per_item=rows_per_item), writers=writers, frame=frame, window=window)
    try:
        # Far beyond what fits in the slack and the prefetch: whoever would have stopped has.
        plan = tables.plan(TableSpec(rows_per_item=rows_per_item), Specs(rows(1).specs), app)
        held = plan.error_buffer * plan.rows_per_draw + plan.pool_rows + 200
        for learn in range(min(150, 5 + int(3 * held * servers / batch))):
            assert flow.learn(PROGRESS_S), f"stopped after {learn} learns"
    finally:
        flow.close()


def test_two_paces_that_cannot_meet_are_refused_with_the_numbers_and_do_block() -> None:
    keys: dict[str, Any] = {
        "train_batch_size": 8, "replay_buffer_capacity": 100, "preload_ratio": 0.1, "reverb_samples_per_insert": 8,
        "learner_train_by_while_true": False,
    }  # fmt: skip
    (said,) = problems(app_of(1, **keys, production_consume_ratio=2))
    assert "production_consume_ratio = 2 is below reverb_samples_per_insert = 8" in said
    assert "learner_train_by_while_true = true" in said
    assert not problems(app_of(1, **keys, production_consume_ratio=8))
    assert not problems(app_of(1, **{**keys, "learner_train_by_while_true": True}, production_consume_ratio=2))
    flow = Flow(
        app_of(1, **keys, production_consume_ratio=2), TableSpec(rows_per_item=1), writers=1, frame=4, window=16
    )
    try:
        learns = 0
        while flow.learn(5.0):
            learns += 1
            assert learns < 2000
        assert learns > 10  # it looked well at first
        assert flow.reader.inserted() > 50
    finally:
        flow.close()


def test_servers_that_fill_unevenly_do_not_wait_for_each_other() -> None:
    """Of 1,800 samples to begin with, one server takes 900 and its slack of 68, and then no more; three writers, each
    with a frame that waits there, leave the other one at 800. Their sum is 32 short for ever.
    """
    app = app_of(2, train_batch_size=4, replay_buffer_capacity=3600, preload_ratio=0.5, reverb_samples_per_insert=1)
    assert not problems(app)
    flow = Flow(app, TableSpec(rows_per_item=1), writers=3, frame=200, window=200)
    try:
        for _ in range(100):
            assert flow.learn(PROGRESS_S)
    finally:
        flow.close()


def test_a_ratio_is_refused_on_policy() -> None:
    app = app_of(1, algorithm_on_policy_or_off_policy="on-policy", dump_model_freq=1, train_batch_size=8)
    with pytest.raises(ConfigError, match=r"reverb_samples_per_insert = 8.*one batch of 8"):
        tables.plan(TableSpec(), Specs({}), app)
    assert tables.plan(TableSpec(kind="queue"), Specs({}), app).warnings
