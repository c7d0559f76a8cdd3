"""replay_ratio on a real Reverb: it holds when games become ten times as long, and over kills of buffer and learner."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from kaimesh.buffer.drawing.reader import Reader
from kaimesh.buffer.ingest import Ingest
from kaimesh.buffer.sending.sender import SampleSender
from kaimesh.config import App
from kaimesh.contract.agent import TableSpec
from kaimesh.contract.arrays import ArraySpec, Batch, Specs
from kaimesh.contract.columns import POSITIONS
from kaimesh.contract.errors import ConfigError, PeerError, SampleError, Stopped
from kaimesh.learner.replay_ratio import BEFORE, LEARNED, SLACK_LEARNS
from kaimesh.learner.trigger import Trigger
from kaimesh.process.meter import Meter
from tests.buffer.conftest import TOKEN, WAIT_S, ChildBuffer, LocalBuffer, config_of, wait_until

TABLE = TableSpec(kind="replay", rows_per_item=1)
RATIO, BATCH, PER_LEARN = 4.0, 8, 16  # two positions of each game


def games(lengths: np.ndarray) -> Batch:
    return Batch({"planes": np.zeros((len(lengths), 90), np.int8), POSITIONS: lengths.astype(np.int32)})


class Actors:
    """A thread that sends games of `least` to 3 x `least` positions for ever, as fast as it may."""

    def __init__(self, address: str) -> None:
        self.least, self.meter, self._stop = 2, Meter("aisrv_0"), threading.Event()
        self._sender = SampleSender(
            [address], token=TOKEN, name="aisrv_0", window=16, meter=self.meter, stop=self._stop
        )
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def _send(self) -> None:
        rng = np.random.default_rng(0)
        try:
            while True:
                self._sender.put(games(rng.integers(self.least, 3 * self.least, rng.integers(1, 5))))
        except Stopped:
            pass

    def close(self) -> None:
        self._stop.set()
        self._thread.join(10)
        self._sender.close()


class Learner:
    """What learner/trainer does, without an agent: the trigger, a batch, and what it learned from."""

    def __init__(self, app: App, path: Path) -> None:
        self.meter = Meter("learner_0", path)
        self.reader = Reader(
            app.buffer_addrs, app.buffer_ingest_addrs, TOKEN, batch_size=BATCH, table=TABLE, config=config_of(app),
            meter=self.meter,
        )  # fmt: skip
        self._trigger = Trigger(app, TABLE, self.reader, time.monotonic, self.meter)

    def learn(self, count: int) -> None:
        deadline = time.monotonic() + WAIT_S
        while count:
            assert time.monotonic() < deadline, "all stand still"
            try:
                if self._trigger.blocked_on():
                    threading.Event().wait(0.002)
                elif self.reader.next_batch(0.1) is None:
                    self._trigger.starved()
                else:
                    self._trigger.learned(PER_LEARN)
                    self.meter.keep()
                    count -= 1
            except PeerError:
                threading.Event().wait(0.02)

    def ratio(self) -> float:
        """Learned from, of those stored since the first learn, by the buffer's count."""
        return self.meter.counters[LEARNED] / (self.reader.pace(None) - self.meter.counters[BEFORE])


@pytest.fixture
def closing() -> Iterator[Callable]:
    opened: list = []

    def add(thing):
        opened.append(thing)
        return thing

    yield add
    for thing in reversed(opened):
        thing.close()


KEYS = {"replay_ratio": RATIO, "preload_ratio": 0.04}


def test_it_holds_when_games_become_ten_times_as_long_and_over_a_kill_of_the_learner(
    local: Callable[..., LocalBuffer], tmp_path: Path, closing: Callable
) -> None:
    buffer = local("replay", 1, 500, BATCH, **KEYS)
    app = App(**{**dict(buffer.app), "buffer_ingest_addrs": [buffer.address]})
    app = App(**{**dict(app), "buffer_addrs": [f"127.0.0.1:{buffer.port}"]})
    actors = closing(Actors(buffer.address))
    path = tmp_path / "learner_0.json"
    first = Learner(app, path)
    first.learn(300)
    actors.least = 20
    first.learn(300)
    first.reader.close()  # and nothing is said of the end: as after a kill
    second = Learner(app, path)
    closing(second.reader)
    assert second.meter.counters[LEARNED] == 600 * PER_LEARN
    second.learn(4000)  # so that the slack and one insert, some 300 positions, are within 2 % of what came
    assert second.ratio() == pytest.approx(RATIO, rel=0.02)
    assert second.meter.gauges["replay_ratio"] == pytest.approx(RATIO, rel=0.02)


@pytest.mark.long
def test_it_holds_when_games_become_longer_and_over_kills_of_buffer_and_learner(
    child: Callable[..., ChildBuffer], tmp_path: Path, closing: Callable
) -> None:
    buffer = child(
        "TableSpec(kind='replay', rows_per_item=1)", replay_buffer_capacity=500, train_batch_size=BATCH, **KEYS
    )
    buffer.start()
    actors = closing(Actors(buffer.address))
    path = tmp_path / "learner_0.json"
    first = Learner(buffer.app, path)
    first.learn(700)
    assert first.ratio() == pytest.approx(RATIO, rel=0.06)  # the slack is 2 % of what was learned
    actors.least = 20
    first.learn(300)
    buffer.end(signal.SIGKILL)  # nothing of what it held is in a checkpoint
    buffer.start()
    first.learn(300)
    first.reader.close()
    second = Learner(buffer.app, path)
    closing(second.reader)
    assert second.meter.counters[LEARNED] == 1300 * PER_LEARN
    second.learn(900)
    assert second.ratio() == pytest.approx(RATIO, rel=0.02)
    wait_until(lambda: buffer.status()["counters"]["positions_inserted"] > 8_000, "8,000 of 8,800 are in its status")


def test_a_learner_that_is_gone_stops_the_environments_and_one_that_is_slow_slows_them(
    local: Callable[..., LocalBuffer], closing: Callable, tmp_path: Path
) -> None:
    buffer = local("replay", 1, 400, BATCH, replay_ratio=RATIO, preload_ratio=0.1)
    actors = closing(Actors(buffer.address))
    wait_until(lambda: buffer.meter.snapshot()["blocked_on"].endswith("(replay_ratio)"), "held back")
    assert 40 <= buffer.ingest.inserted < 40 + 5
    app = App(**{**dict(buffer.app), "buffer_addrs": [f"127.0.0.1:{buffer.port}"]})
    learner = Learner(App(**{**dict(app), "buffer_ingest_addrs": [buffer.address]}), tmp_path / "learner_0.json")
    closing(learner.reader)
    for _ in range(10):
        learner.learn(20)
        ahead = RATIO * (learner.reader.pace(0) - learner.meter.counters[BEFORE]) - learner.meter.counters[LEARNED]
        # Two tells apart by a quarter of the slack, and a frame of up to four games.
        assert -PER_LEARN <= ahead <= 1.25 * SLACK_LEARNS * PER_LEARN + RATIO * 4 * 3 * actors.least


def test_rows_of_several_positions_above_4_mb_are_refused_with_what_to_change() -> None:
    ingest = Ingest(TABLE, App(replay_buffer_capacity=100))
    fields = {"planes": ArraySpec("<f4", (1000, 1100)), POSITIONS: ArraySpec("<i4", ())}
    with pytest.raises(SampleError, match=r"takes 4,400,004 bytes.* planes \(4,400,000 bytes\).*Store shorter windows"):
        ingest.declare(Specs(fields), None)
    assert ingest.plan is None
    with pytest.raises(SampleError, match=r"'_positions' is <f4\[\]; it must be <i4\[\]"):
        ingest.declare(Specs({POSITIONS: ArraySpec("<f4", ())}), None)


def test_a_queue_has_no_ratio() -> None:
    with pytest.raises(ConfigError, match=r"replay_ratio = 2 with .*queue.*would wait for each other"):
        Ingest(TableSpec(kind="queue"), App(replay_ratio=2, replay_buffer_capacity=100))
