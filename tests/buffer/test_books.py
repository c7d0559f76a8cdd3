"""The books add up after a kill of each process: whatever one had in its hands is in a counter of its next life."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from kaimesh.buffer.drawing.reader import Reader
from kaimesh.buffer.sending.sender import SampleSender
from kaimesh.contract.agent import TableSpec
from kaimesh.contract.errors import PeerError
from kaimesh.operate.view.books import Line, lines
from kaimesh.process.meter import Meter
from tests.buffer.conftest import ROOT, TOKEN, WAIT_S, ChildBuffer, config_of, rows, wait_until
from tests.forks import HEAVY, Fork

Child = Callable[..., ChildBuffer]
QUEUE = "TableSpec(kind='queue', rows_per_item={})"
# A process of its own that sends or draws, and says what it did. argv: what, its status file, keys of App as JSON.
PEER = """
import json, sys, threading
from pathlib import Path
from kaimesh.buffer.drawing.reader import Reader
from kaimesh.buffer.sending.sender import SampleSender
from kaimesh.config import App
from kaimesh.contract.agent import TableSpec
from kaimesh.process.meter import Meter
from tests.buffer.conftest import TOKEN, config_of, rows
what, status, keys = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
app, meter = App(**keys), Meter(sys.argv[1], status)
if what == "aisrv_0":
    sender = SampleSender(
        app.buffer_ingest_addrs, token=TOKEN, name=what, window=64, meter=meter, stop=threading.Event()
    )
    sender.put(rows(10))
    sender.flush(60)
    meter.publish()  # as a process does each second
    while True:
        sender.put(rows(7))
        print("sent", flush=True)
reader = Reader(
    app.buffer_addrs, app.buffer_ingest_addrs, TOKEN, batch_size=app.train_batch_size,
    table=TableSpec(kind="queue", rows_per_item=0), config=config_of(app), meter=meter,
)
for _ in range(2):
    while (batch := reader.next_batch(60)) is None:
        pass
    meter.count("samples_learned", len(batch))
    meter.keep()
while reader.next_batch(60) is None:
    pass
print("has a batch in hand", flush=True)
threading.Event().wait()
"""


def sender_of(buffer: ChildBuffer, meter: Meter) -> SampleSender:
    return SampleSender([buffer.address], token=TOKEN, name="a", window=64, meter=meter, stop=threading.Event())


def reader_of(buffer: ChildBuffer, meter: Meter) -> Reader:
    app = buffer.app
    return Reader(
        app.buffer_addrs, app.buffer_ingest_addrs, TOKEN, batch_size=app.train_batch_size,
        table=TableSpec(kind="queue", rows_per_item=0), config=config_of(app), meter=meter,
    )  # fmt: skip


def peer(buffer: ChildBuffer, what: str, status: Path) -> Fork:
    return HEAVY.popen(["-c", PEER, what, str(status), json.dumps(buffer.keys)], cwd=ROOT)


def line_of(status: dict) -> Line:
    """The line of one process."""
    (found,) = lines({"x": status})
    return found


def settled(buffer: ChildBuffer, shows: Callable[[Line], bool] = lambda line: True) -> Line:
    """The buffer's line once it adds up and shows what the test waits for; a status is up to a second old."""

    def found() -> Line | None:
        return next((line for line in lines({"x": buffer.status()}) if not line.missing and shows(line)), None)

    try:
        return wait_until(found, "the line adds up", 20.0)
    except AssertionError:
        raise AssertionError(f"{lines({'x': buffer.status()})}") from None


def asked(reader: Reader) -> bool:
    """Whether a buffer answers it; the connection may be that to the life before."""
    try:
        return reader.size() == 0
    except PeerError:
        return False


@pytest.mark.parametrize("rows_per_item", [1, 4])
def test_what_a_killed_queue_held_is_counted_and_what_the_learner_got_is_not(child: Child, rows_per_item: int) -> None:
    buffer = child(QUEUE.format(rows_per_item), replay_buffer_capacity=64, train_batch_size=8)
    buffer.start()
    sent, learned = Meter("aisrv_0"), Meter("learner_0")
    sender, reader = sender_of(buffer, sent), reader_of(buffer, learned)
    for part in (9, 5, 7, 20):  # partly filled items, too
        sender.put(rows(part))
        assert sender.flush(WAIT_S)
    got = 0
    for _ in range(2):
        batch = wait_until(lambda: reader.next_batch(1.0), "a batch")
        got += len(batch)
        learned.count("samples_learned", len(batch))
    buffer.end(signal.SIGKILL)
    buffer.start()
    wait_until(lambda: asked(reader), "the reader has asked the next life")
    reader.close()
    line = settled(buffer, lambda line: line.places["sampled"] >= got)
    assert line.came == sent.counters["samples_acked"] == 41
    assert line.places["sampled"] + line.places["lost_in_kill"] == 41
    assert line.places["lost_in_kill"] > 0
    assert line_of({"counters": learned.counters}).missing == 0
    assert line.places["sampled"] == got + learned.counters.get("samples_unfinished", 0)
    sender.put(rows(8))
    assert sender.flush(WAIT_S)
    buffer.end(signal.SIGKILL)
    buffer.start()
    settled(buffer, lambda line: line.came == 49)  # over three lives
    sender.close()


@pytest.mark.parametrize("saved", [False, True])
def test_what_a_killed_replay_table_held_is_counted_as_far_as_no_checkpoint_has_it(child: Child, saved: bool) -> None:
    buffer = child("TableSpec(rows_per_item=1)", replay_buffer_capacity=64, train_batch_size=8, preload_ratio=0.2)
    buffer.start()
    sender = sender_of(buffer, Meter("aisrv_0"))
    sender.put(rows(40))
    assert sender.flush(WAIT_S)
    if saved:
        assert buffer.end() == 0
        buffer.start()
    for start in range(40, 160, 8):  # 96 more than there is room for
        sender.put(rows(8, start))
        assert sender.flush(WAIT_S)
    buffer.end(signal.SIGKILL)
    buffer.start()
    line = settled(buffer, lambda line: line.places["lost_in_kill"] > 0)
    restored = 40 if saved else 0
    places = (line.places["size"], line.places["evicted"], line.places["lost_in_kill"])
    assert (line.came, *places) == (160, restored, 96, 64 - restored)
    sender.close()


def test_what_a_killed_learner_had_in_hand_is_counted(child: Child, tmp_path: Path) -> None:
    buffer = child(QUEUE.format(1), replay_buffer_capacity=64, train_batch_size=8)
    buffer.start()
    status = tmp_path / "learner_0.json"
    sender = sender_of(buffer, Meter("aisrv_0"))
    sender.put(rows(60))
    learner = peer(buffer, "learner_0", status)
    assert learner.stdout is not None
    assert learner.stdout.readline() == "has a batch in hand\n"
    learner.send_signal(signal.SIGKILL)
    learner.wait(WAIT_S)
    meter = Meter("learner_0", status)
    assert meter.counters["samples_learned"] == 16, "though it never wrote a status file"
    reader = reader_of(buffer, meter)
    assert wait_until(lambda: reader.next_batch(1.0), "a batch") is not None
    meter.count("samples_learned", 8)
    reader.close()
    line = line_of({"counters": meter.counters})
    assert line.missing == 0
    settled(buffer, lambda buffers: buffers.places["sampled"] == line.came)
    assert line.places["lost_in_kill"] >= 8
    sender.close()


def test_what_a_killed_aisrv_had_on_its_way_is_counted(child: Child, tmp_path: Path) -> None:
    buffer = child(QUEUE.format(1), replay_buffer_capacity=16, train_batch_size=8)
    buffer.start()
    status = tmp_path / "aisrv_0.json"
    aisrv = peer(buffer, "aisrv_0", status)
    assert aisrv.stdout is not None
    aisrv.stdout.readline()
    wait_until(lambda: "the queue is full" in buffer.status()["blocked_on"], "no more is acknowledged")
    aisrv.send_signal(signal.SIGKILL)
    aisrv.wait(WAIT_S)
    meter = Meter("aisrv_0", status)
    sender = sender_of(buffer, meter)
    line = line_of({"counters": meter.counters})
    assert line.missing == 0
    assert line.places["samples_acked"] >= 10
    assert line.places["lost_in_kill"] > 0
    sender.close()


def test_what_was_made_just_now_is_kept_soon_though_nothing_comes_after_it(child: Child, tmp_path: Path) -> None:
    buffer = child(QUEUE.format(1), replay_buffer_capacity=64, train_batch_size=8)
    buffer.start()
    status = tmp_path / "aisrv_0.json"
    sender = sender_of(buffer, Meter("aisrv_0", status))
    for number in range(5):
        sender.put(rows(1, number))

    def kept() -> list[float]:
        found = Meter("aisrv_0", status).counters  # what its next life would know
        return [found.get(name, 0) for name in ("samples_made", "samples_acked")]

    wait_until(lambda: kept() == [5, 5], "all five and their answers are in the books", 5.0)
    sender.close()
