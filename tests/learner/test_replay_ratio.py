"""replay_ratio, without a mesh: whatever the sizes, one side may always go on, and the ratio holds over restarts."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaimesh.buffer.drawing.control import Controls
from kaimesh.buffer.pace import Pace, positions_of
from kaimesh.config import App
from kaimesh.config.check import problems
from kaimesh.contract.arrays import Batch
from kaimesh.contract.columns import KEY, MODEL_VERSION, POSITIONS, RUN_ID
from kaimesh.contract.errors import AgentError, PeerError, SampleError
from kaimesh.learner.replay_ratio import LEARNED, SLACK_LEARNS, ReplayRatio
from kaimesh.process.meter import Meter
from tests.learner.test_trainer import ReplayAgent
from tests.learner.toy import BATCH, Bench


def games(*lengths: int) -> Batch:
    return Batch({POSITIONS: np.array(lengths, np.int32)})


class Buffer:
    """What of a buffer counts here: its Pace, over restarts. path: of its meter."""

    def __init__(self, app: App, path: Path | None = None) -> None:
        self._app, self._path, self.silent = app, path, False
        self.restart()

    def restart(self) -> None:
        self.meter = Meter("buffer_0", self._path)
        self._pace = Pace(self._app, self.meter)

    @property
    def holds(self) -> bool:
        return self._pace.holds

    def insert(self, *lengths: int) -> bool:
        """Takes a frame of games, or not."""
        if self._pace.holds:
            return False
        batch = games(*lengths)
        self._pace.took(batch, positions_of(batch))
        return True

    def pace(self, most: float | None) -> int:
        if self.silent:
            raise PeerError("it is gone")
        return self._pace.tell(most)


class Side:
    """The learner's side: Controls of the buffers, and the ratio."""

    def __init__(self, ratio: float, buffers: list[Buffer], meter: Meter, learn: int = 1) -> None:
        self.controls = Controls(buffers)  # type: ignore[arg-type]
        self.ratio = ReplayRatio(ratio, self.controls, learn=learn, meter=meter)


@settings(max_examples=40, deadline=None)
@given(
    ratio=st.floats(0.001, 1000),
    servers=st.integers(1, 3),
    lengths=st.lists(st.integers(1, 300), min_size=1, max_size=8),
    learns=st.lists(st.integers(0, 3000), min_size=1, max_size=8),
    order=st.randoms(use_true_random=False),
)
def test_one_of_the_two_may_always_go_on_and_what_is_held_is_the_ratio(
    ratio: float, servers: int, lengths: list[int], learns: list[int], order: Any
) -> None:
    app = App(replay_ratio=ratio, replay_buffer_capacity=10, train_batch_size=1, preload_ratio=0.1)
    buffers, meter = [Buffer(app) for _ in range(servers)], Meter("learner_0")
    for buffer in buffers:
        assert buffer.insert(5)
    held = Side(ratio, buffers, meter, learn=max(learns)).ratio
    frame, use = itertools.cycle(lengths), itertools.cycle([n + 1 for n in learns])
    for _ in range(120):
        came = False
        if order.random() < 0.5:
            came = sum(buffer.insert(next(frame)) for buffer in buffers) > 0
        may = not held.blocked_on()
        if may:
            held.learned(next(use))
        elif not came:
            assert sum(buffer.insert(next(frame)) for buffer in buffers), "both wait"
    inserted = sum(buffer.pace(None) for buffer in buffers) - 5 * servers
    error = abs(meter.counters[LEARNED] - ratio * inserted) if LEARNED in meter.counters else ratio * inserted
    most = servers * (SLACK_LEARNS * (max(learns) + 1) + ratio * max(lengths)) + max(learns) + 1
    assert error <= most + ratio * servers * 5


def test_a_learner_that_is_killed_and_buffers_that_restart_go_on_counting(tmp_path: Path) -> None:
    app = App(replay_ratio=4, replay_buffer_capacity=10, train_batch_size=1)
    buffers = [Buffer(app, tmp_path / f"buffer_{i}.json") for i in range(2)]
    path, rng = tmp_path / "learner_0.json", np.random.default_rng(1)
    before = 0
    for buffer in buffers:
        buffer.insert(7)
        before += 7
    meter = Meter("learner_0", path)
    side = Side(4, buffers, meter)
    for step in range(3000):
        size = 1 if step < 1500 else 10  # games become ten times as long
        for buffer in buffers:
            buffer.insert(*(rng.integers(1, 9, 3) * size).tolist())
        if not side.ratio.blocked_on():
            side.ratio.learned(64)
            meter.keep()
        if step in (800, 2200):  # a kill; its status file is as old as it may be
            meter = Meter("learner_0", path)
            side = Side(4, buffers, meter)
        if step in (1000, 2000):
            buffers[step == 2000].pace(None)  # the learner has just asked, so the count is kept
            buffers[step == 2000].restart()
    taken = sum(buffer.pace(None) for buffer in buffers) - before
    assert taken > 20_000
    assert meter.counters[LEARNED] / taken == pytest.approx(4, rel=0.02)
    assert meter.gauges["replay_ratio"] == pytest.approx(4, rel=0.02)


def test_a_buffer_that_has_heard_nothing_takes_what_a_first_learn_needs_and_no_more() -> None:
    buffer = Buffer(App(replay_ratio=1, replay_buffer_capacity=100, train_batch_size=2, preload_ratio=0.05))
    assert sum(buffer.insert(30) for _ in range(50)) == 5
    held = Side(1, [buffer], Meter("learner_0"), learn=8).ratio
    held.open()
    assert not buffer.insert(30)  # it is in the table, and will come
    held.close()
    assert "more new positions (replay_ratio)" in held.blocked_on()
    assert sum(buffer.insert(30) for _ in range(50)) == -(-SLACK_LEARNS * 8 // 30)
    assert not held.blocked_on()


def test_where_there_is_nothing_to_draw_buffers_take_what_a_first_learn_needs(tmp_path: Path) -> None:
    app = App(replay_ratio=1, replay_buffer_capacity=10, train_batch_size=3, preload_ratio=0.1)
    buffer = Buffer(app, tmp_path / "buffer_0.json")
    held = Side(1, [buffer], Meter("learner_0")).ratio
    while buffer.insert(9) or held.blocked_on():  # now the buffer holds, and the learner may learn
        pass
    assert held.credit > 0
    buffer.pace(0)
    buffer.restart()  # its table is empty
    assert not held.blocked_on()
    held.open()
    assert sum(buffer.insert(9) for _ in range(100)) == 3
    held.learned(4)
    assert not held.blocked_on()
    assert buffer.insert(9)  # as many as the ratio allows from then on


def test_one_buffer_of_two_is_enough_and_without_any_the_learner_waits() -> None:
    app = App(replay_ratio=1, replay_buffer_capacity=10, train_batch_size=1)
    buffers = [Buffer(app), Buffer(app)]
    held = Side(1, buffers, Meter("learner_0")).ratio
    buffers[0].silent = True
    assert held.blocked_on()
    assert buffers[1].insert(1000)
    assert not held.blocked_on()
    buffers[1].silent = True
    held.learned(100_000)
    with pytest.raises(PeerError, match="it is gone"):
        held.blocked_on()


def test_buffers_that_have_lost_their_counts_are_counted_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    app = App(replay_ratio=2, replay_buffer_capacity=10, train_batch_size=1)
    buffer, meter = Buffer(app), Meter("learner_0", tmp_path / "learner_0.json")
    buffer.insert(1000)
    held = Side(2, [buffer], meter).ratio
    held.blocked_on()
    for _ in range(100):
        buffer.insert(10)
        if not held.blocked_on():
            held.learned(20)
    meter.keep()
    fresh = Buffer(app)
    held = Side(2, [fresh], Meter("learner_0", tmp_path / "learner_0.json")).ratio
    held.blocked_on()
    assert "their counts are lost" in caplog.text
    fresh.insert(1)
    assert not held.blocked_on()


@pytest.mark.parametrize("lengths", [(0,), (3, -1)])
def test_a_row_without_a_position_is_refused(lengths: tuple[int, ...]) -> None:
    with pytest.raises(SampleError, match=rf"_positions of row {len(lengths) - 1} is .* at least one position"):
        positions_of(games(*lengths))


def test_rows_that_do_not_say_have_one_position() -> None:
    assert positions_of(Batch({"x": np.zeros(7)})) == 7


@pytest.mark.parametrize(
    "keys",
    [
        {"algorithm_on_policy_or_off_policy": "on-policy", "dump_model_freq": 1},
        {"reverb_rate_limiter": "SampleToInsertRatio"},
        {"learner_train_by_while_true": False},
        {"replay_share": 0.5},
    ],
)
def test_another_pace_beside_it_is_refused(keys: dict[str, Any]) -> None:
    fine = App(replay_ratio=2, replay_buffer_capacity=100)
    (found,) = problems(App(**{**dict(fine), **keys}))
    assert "replay_ratio = 2 with " in found
    assert "could wait for each other for ever" in found
    assert not problems(fine)


# In the trainer


def bench_of(tmp_path: Path, told: Any, **columns: Any) -> Bench:
    """A trainer whose batches hold games and whose `learn` tells `told`."""
    agent = ReplayAgent()
    agent.metrics = {"loss": 1.0, **({} if told is None else {POSITIONS: told})}
    bench = Bench(tmp_path, agent=agent, endless=False, replay_ratio=2.0, preload_ratio=0.01)
    bench.paced = []
    bench.reader.pace = lambda more: bench.paced.append(more) or 1000 * len(bench.paced)
    bench.trainer.start()
    whose = np.zeros(BATCH, np.int64)
    batch = Batch({"x": np.zeros((BATCH, 3)), MODEL_VERSION: whose, RUN_ID: whose, KEY: whose, **columns})
    bench.reader.next_batch = lambda timeout_s: batch
    bench.reader.size = lambda: 1000
    return bench


@pytest.mark.parametrize(
    ("told", "columns", "positions"),
    [(None, {}, BATCH), (64, {}, 64), (np.int64(9), {}, 9)],
)
def test_the_positions_of_a_learn_are_those_that_it_tells(
    tmp_path: Path, told: Any, columns: dict[str, Any], positions: int
) -> None:
    bench = bench_of(tmp_path, told, **columns)
    bench.learn(2)
    assert bench.meter.counters[LEARNED] == 2 * positions
    assert f"learn/{POSITIONS}" not in bench.meter.gauges


@pytest.mark.parametrize("told", [-1, 2.5, "9", True, [3]])
def test_positions_that_are_no_number_end_the_training(tmp_path: Path, told: Any) -> None:
    bench = bench_of(tmp_path, told)
    with pytest.raises(AgentError, match=r"_positions = .*replay_ratio cannot be held"):
        bench.learn(1)


def test_without_the_key_nothing_is_asked_or_counted(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reader.pace = None
    bench.trainer.start()
    bench.learn(3)
    assert LEARNED not in bench.meter.counters
