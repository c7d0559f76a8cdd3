"""Rows through real sockets and a real Reverb: exact, in order, acknowledged when stored,
held back when the table is full.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kaimesh.buffer.declared import refuse_not_finite
from kaimesh.buffer.drawing.reader import Reader
from kaimesh.buffer.ingest import Ingest
from kaimesh.buffer.sending.sender import SampleSender
from kaimesh.config import App
from kaimesh.contract.agent import TableSpec
from kaimesh.contract.arrays import Batch
from kaimesh.contract.errors import AgentError, MeshError, PeerError, Refused, SampleError, Stopped
from kaimesh.contract.spaces import Spaces
from kaimesh.process.meter import Meter
from kaimesh.wire.client import FrameClient
from kaimesh.wire.frame import Kind
from tests.buffer.conftest import TOKEN, WAIT_S, LocalBuffer, check_rows, config_of, rows, wait_until

Local = Callable[..., LocalBuffer]


def drain(reader: Reader, count: int) -> np.ndarray:
    """The numbers of the next `count` rows."""
    numbers: list[np.ndarray] = []
    while sum(map(len, numbers)) < count:
        batch = reader.next_batch(WAIT_S)
        assert batch is not None, f"only {sum(map(len, numbers))} of {count} rows came"
        numbers.append(check_rows(batch))
    return np.concatenate(numbers)


@pytest.mark.parametrize("rows_per_item", [1, 7, 64])
def test_a_queue_delivers_every_row_once_and_in_order(local: Local, rows_per_item: int) -> None:
    buffer = local("queue", rows_per_item, 512, 32)
    sender = buffer.sender()
    sizes = [1, 3, 64, 100, 33, 64, 7, 500, 28]  # 800 rows: more than the table holds, in frames that fit no item
    feeder = threading.Thread(
        target=lambda: [sender.put(rows(n, sum(sizes[:i]))) for i, n in enumerate(sizes)], daemon=True
    )
    feeder.start()
    reader = buffer.reader()
    np.testing.assert_array_equal(drain(reader, 800), np.arange(800))
    assert sender.flush(WAIT_S)
    assert reader.inserted() == 800
    assert wait_until(lambda: reader.size() == 0, "the queue is empty")
    assert reader.next_batch(0.0) is None


@pytest.mark.parametrize("kind", ["queue", "replay"])
def test_rows_that_fill_no_item_come_after_a_moment(local: Local, kind: str) -> None:
    buffer = local(kind, 64, 512, 4, preload_ratio=0.001)
    sender = buffer.sender(window=4)
    sender.put(rows(4))
    sender.put(rows(4, 4))  # does not wait for the moment: rows in an open item are acknowledged
    wait_until(lambda: buffer.ingest.plan, "declared")
    assert buffer.reader().size() in (0, 4, 8)
    batch = buffer.reader().next_batch(WAIT_S)
    assert batch is not None
    assert set(check_rows(batch).tolist()) <= set(range(8))


def test_a_queue_that_pauses_again_and_again_loses_nothing(local: Local) -> None:
    """Each pause ends a draw, whose unfinished chunk must still come."""
    buffer = local("queue", 1, 512, 64)
    sender = buffer.sender()
    sender.put(rows(1))
    reader = buffer.reader()
    for round_number in range(5):
        sender.put(rows(64 - (round_number == 0), 64 * round_number + (round_number == 0)))
        np.testing.assert_array_equal(drain(reader, 64), np.arange(64 * round_number, 64 * round_number + 64))


def test_the_caller_may_change_what_it_gave_and_what_it_got(local: Local) -> None:
    buffer = local("queue", 1, 64, 4)
    sender = buffer.sender()
    mine = rows(4)
    sender.put(mine)
    mine.columns["feature"][:] = -1
    sender.flush(WAIT_S)
    batch = buffer.reader().next_batch(WAIT_S)
    assert batch is not None
    check_rows(batch)
    batch.columns["feature"][:] = -1  # writable, and nobody else's


def test_an_acknowledgement_means_stored(local: Local) -> None:
    buffer = local("queue", 1, 8, 4)
    client = FrameClient(buffer.address, token=TOKEN, role="writer", name="w", hello={"specs": rows(1).specs.to_json()})
    client.send_rows(rows(8), rows(1).specs, tag=1)
    header, _ = client.receive(WAIT_S)
    assert (header.kind, header.tag) == (Kind.ACK, 1)
    assert buffer.ingest.describe()["size"] == 8
    client.send_rows(rows(1, 8), rows(1).specs, tag=2)  # no room
    with pytest.raises(PeerError, match="did not answer within"):
        client.receive(0.3)
    assert buffer.ingest.stored == 8
    client.send_rows(rows(2, 9), rows(1).specs, tag=3)
    drain(buffer.reader(), 8)
    header, _ = client.receive(WAIT_S)
    assert (header.kind, header.tag) == (Kind.ACK, 2)
    assert client.receive(WAIT_S)[0].tag == 3
    client.close()


def test_a_full_queue_holds_the_writers_back_and_says_so(local: Local) -> None:
    buffer = local("queue", 1, 16, 4)
    meter, stop = Meter("aisrv_0"), threading.Event()
    sender = buffer.sender(window=4, meter=meter, stop=stop)
    put = [0]

    def feed() -> None:
        with contextlib.suppress(Stopped):
            while True:
                sender.put(rows(1, put[0]))
                put[0] += 1

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    wait_until(lambda: buffer.meter.snapshot()["blocked_on"] == "learner: the queue is full (16 samples)", "it says so")
    held = 16 + 4  # what the table holds, and the window
    wait_until(lambda: put[0] == held, "the writer fills table and window")
    wait_until(lambda: "4 samples are not stored yet" in meter.snapshot()["blocked_on"], "the writer says so")
    assert not threading.Event().wait(0.2)
    assert put[0] == held
    other = FrameClient(buffer.address, token=TOKEN, role="reader", name="r", timeout_s=2.0)  # others are still served
    assert other.call({"do": "describe"})["size"] == 16
    other.close()
    np.testing.assert_array_equal(drain(buffer.reader(), 40), np.arange(40))
    stop.set()
    feeder.join(WAIT_S)
    assert not feeder.is_alive()


def test_a_stop_under_back_pressure_leaves_no_sample_uncounted(local: Local) -> None:
    buffer = local("queue", 1, 16, 4)
    meter, stop = Meter("aisrv_0"), threading.Event()
    sender = SampleSender([buffer.address], token=TOKEN, name="aisrv_0", window=4, meter=meter, stop=stop)
    for start in range(0, 20, 4):
        sender.put(rows(4, start))
    wait_until(lambda: buffer.ingest.inserted == 20, "16 fill the table, 4 wait before it")
    stopper = threading.Timer(0.2, stop.set)
    stopper.start()
    with pytest.raises(Stopped):
        sender.put(rows(3, 20))
    stopper.join()
    sender.close()
    counted = {name: meter.counters.get(f"samples_{name}", 0) for name in ("made", "acked", "lost", "unfinished")}
    assert counted == {"made": 23, "acked": 16, "lost": 4, "unfinished": 3}
    buffer.ingest.publish()
    table = buffer.meter.snapshot()
    assert table["counters"] == {"inserted": 20, "sampled": 0}
    assert (table["gauges"]["size"], table["gauges"]["pending"]) == (16, 4)


def test_a_learner_that_ends_counts_what_it_drew_and_did_not_learn_from(local: Local) -> None:
    buffer = local("queue", 1, 64, 8)
    sender = buffer.sender()
    before = 0.0
    for _ in range(2):  # the second one's count begins where the first one's ended
        sender.put(rows(32))
        assert sender.flush(WAIT_S)
        meter = Meter("learner_0")
        reader = buffer.reader(meter=meter)
        drain(reader, 16)
        reader.close()
        buffer.ingest.publish()
        sampled = buffer.meter.counters["sampled"]
        assert 0 < sampled - before - 16 == meter.counters["samples_unfinished"]
        before = sampled


def test_drop_all_empties_table_and_prefetch(local: Local) -> None:
    buffer = local("queue", 1, 64, 8)
    sender = buffer.sender()
    sender.put(rows(40))
    assert sender.flush(WAIT_S)
    reader = buffer.reader()
    drain(reader, 8)
    reader.drop_all()
    assert reader.size() == 0
    sender.put(rows(64, 1000))
    late: list[int] = []
    while len(late) < 64:
        batch = reader.next_batch(WAIT_S)
        assert batch is not None
        late += [n for n in check_rows(batch) if n >= 1000]
        if len(late) >= 48:
            break
    assert late == sorted(late)


def test_not_finite_samples_are_refused_and_named(local: Local) -> None:
    buffer = local("queue", 1, 64, 4)
    good, bad = rows(4), rows(4, 4)
    bad.columns["feature"][2, 3] = np.nan
    sender = buffer.sender()
    sender.put(good)
    sender.put(bad)
    with pytest.raises(AgentError, match=r"aisrv_0.*field 'feature' of row 2 holds nan.*refused"):
        sender.flush(WAIT_S)
    with pytest.raises(AgentError, match="field 'feature'"):
        sender.put(good)
    wait_until(lambda: buffer.ingest.stored == 4, "the good ones are stored")
    assert buffer.reader().size() == 4


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_infinity_is_not_finite_either(value: float) -> None:
    with pytest.raises(SampleError, match=f"field 'x' of row 1 holds {value}"):
        refuse_not_finite(Batch({"n": np.arange(3), "x": np.array([[0, 1], [1, value], [value, 0]], np.float32)}))
    refuse_not_finite(Batch({"x": np.full((2, 3), np.finfo(np.float32).max)}))


def test_samples_of_another_shape_or_dtype_are_errors(local: Local) -> None:
    buffer = local("queue", 1, 64, 4)
    sender = buffer.sender()
    sender.put(rows(2))
    with pytest.raises(SampleError, match=r"'feature' has row shape \(4,\); the declared shape is \(5,\)"):
        sender.put(Batch({**rows(2).columns, "feature": np.zeros((2, 4), np.float32)}))
    with pytest.raises(SampleError, match="the cast would lose values"):
        sender.put(Batch({**rows(2).columns, "number": np.zeros(2)}))
    with pytest.raises(SampleError, match="has no 'flag'"):
        sender.put(Batch({"number": np.zeros(2, int), "feature": rows(2).feature}))
    assert sender.flush(WAIT_S)
    other = buffer.sender()
    other.put(Batch({"x": np.zeros(2)}))
    with pytest.raises(Refused, match=r"holds samples of number .*cannot join them"):
        other.flush(WAIT_S)


def test_strangers_and_nonsense_do_not_stop_the_service(local: Local) -> None:
    buffer = local("queue", 1, 64, 4)
    with pytest.raises(Refused, match="token"):
        FrameClient(buffer.address, token="guess", role="writer", name="w", hello={"specs": rows(1).specs.to_json()})
    for hello in (
        {"specs": []},
        {"specs": [["x", "O", []]]},
        {"specs": rows(1).specs.to_json(), "spaces": {"a": 1}},
        {"specs": 3},
    ):
        with pytest.raises(Refused):
            FrameClient(buffer.address, token=TOKEN, role="writer", name="w", hello=hello)
    client = FrameClient(buffer.address, token=TOKEN, role="writer", name="w", hello={"specs": rows(1).specs.to_json()})
    client.send(Kind.DATA, [b"123"], rows=7, tag=5)
    header, payload = client.receive(WAIT_S)
    assert (header.kind, header.tag) == (Kind.ERROR, 5)
    assert b"7 rows of" in bytes(payload)
    client.send(Kind.DATA, [b""], rows=0, tag=6)
    assert client.receive(WAIT_S)[0].kind == Kind.ACK
    with pytest.raises(AgentError, match="'format'"):
        client.call({"do": "format"})
    client.send_rows(rows(3), rows(1).specs, tag=7)
    assert client.receive(WAIT_S)[0].kind == Kind.ACK
    client.close()


def test_the_learner_hears_of_the_environment_before_there_is_a_sample(local: Local) -> None:
    buffer = local("queue", 1, 64, 4)
    spaces = Spaces((4,), "<f4", "discrete", 2)
    heard: list[Any] = []
    reader = buffer.reader()
    waiting = threading.Thread(target=lambda: heard.append(reader.spaces(buffer.stop)), daemon=True)
    waiting.start()
    assert reader.next_batch(0.05) is None
    assert not heard
    sender = buffer.sender(spaces=spaces)
    waiting.join(WAIT_S)
    assert heard == [spaces]
    assert reader.next_batch(0.05) is None
    sender.put(rows(4))
    np.testing.assert_array_equal(drain(reader, 4), np.arange(4))


def test_waiting_for_the_environment_ends_with_the_process(local: Local) -> None:
    buffer = local("queue", 1, 64, 4)
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        buffer.reader().spaces(stop)


def test_a_learner_with_another_algorithm_is_told(local: Local) -> None:
    buffer = local("queue", 1, 64, 4)
    buffer.sender().put(rows(1))
    buffer.table = TableSpec(kind="replay")
    with pytest.raises(MeshError, match="holds a queue, the learner's agent wants a replay"):
        buffer.reader().next_batch(WAIT_S)


def test_several_buffers_share_the_rows_and_all_are_read(local: Local) -> None:
    buffers = [local("queue", 1, 256, 8) for _ in range(2)]
    addresses = [buffer.address for buffer in buffers]
    sender = SampleSender(addresses, token=TOKEN, name="a", window=4096, meter=Meter("a"), stop=threading.Event())
    for i in range(20):
        sender.put(rows(8, 8 * i))
    assert sender.flush(WAIT_S)
    assert [buffer.ingest.inserted for buffer in buffers] == [80, 80]
    reader = Reader(
        [f"127.0.0.1:{buffer.port}" for buffer in buffers], addresses, TOKEN,
        batch_size=8, table=buffers[0].table, config=config_of(buffers[0].app), meter=Meter("l"),
    )  # fmt: skip
    assert reader.size() == reader.inserted() == 160
    np.testing.assert_array_equal(np.sort(drain(reader, 160)), np.arange(160))
    reader.close()
    sender.close()


def test_in_one_process_without_a_port() -> None:
    """As train_test.py does it."""
    table, app = TableSpec(kind="queue", rows_per_item=1), App(replay_buffer_capacity=64, train_batch_size=8)
    ingest = Ingest(table, app)
    ingest.declare(rows(1).specs, None)
    reader = Reader([], [], "", batch_size=8, table=table, config=config_of(app), meter=Meter("l"), controls=[ingest])
    ingest.insert(rows(24))
    assert ingest.flush(WAIT_S)
    np.testing.assert_array_equal(drain(reader, 24), np.arange(24))
    reader.close()
    ingest.close()


@pytest.mark.parametrize("size", [700_000, 700_001, 1 << 18, (1 << 18) + 1])  # from 1 MB on a row is stored in steps
def test_large_rows_travel_in_several_frames_and_come_back_exact(local: Local, size: int) -> None:
    buffer = local("queue", 1, 6, 3)
    big = Batch({"x": np.random.default_rng(0).random((6, size), np.float32)})
    sender = buffer.sender()
    sender.put(big)
    assert sender.flush(WAIT_S)
    reader = buffer.reader()
    for start in (0, 3):
        batch = reader.next_batch(WAIT_S)
        assert batch is not None
        np.testing.assert_array_equal(batch.x, big.x[start : start + 3])


@pytest.mark.parametrize("kind", ["queue", "replay"])
def test_a_small_window_does_not_stall(local: Local, kind: str) -> None:
    """Frames that fit no item and a window of little more than a frame: no frame waits for the item's next rows."""
    buffer = local(kind, 16, 4096, 16)
    sender = buffer.sender(window=16)
    started = time.monotonic()
    for start in range(0, 1000, 10):
        sender.put(rows(10, start))
    assert sender.flush(WAIT_S)
    assert time.monotonic() - started < 5
    assert buffer.reader().size() in (1000, 1008)  # the last item may count as full


def test_a_learner_that_keeps_asking_does_not_hold_acknowledgements_back(local: Local) -> None:
    """By ratio it asks how many samples came until there are enough;
    the one that is missing waits for the last one's receipt.
    """
    buffer = local("replay", 1, 1000, 4)
    sender, reader = buffer.sender(window=1), buffer.reader()
    counts, stop = [0], threading.Event()

    def ask() -> None:
        while not stop.is_set():
            counts.append(reader.inserted())

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    try:
        for number in range(40):
            sender.put(rows(1, number))
        wait_until(lambda: counts[-1] == 40, "all came", 10)
    finally:
        stop.set()
        asking.join(10)
