"""A queue's rows come every one once, whatever ends, pauses or dies while a reader waits for them: real sockets,
a real Reverb.
"""

from __future__ import annotations

import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kaimesh.buffer.drawing.reader import Reader
from kaimesh.buffer.items import Progress
from kaimesh.buffer.sending.sender import SampleSender
from kaimesh.buffer.waiting import LATE_S, LONGEST_S, Waiting
from kaimesh.contract.agent import TableSpec
from kaimesh.contract.errors import AgentError, PeerError
from kaimesh.process.meter import Meter
from kaimesh.wire.client import FrameClient
from tests.buffer.conftest import TOKEN, WAIT_S, ChildBuffer, LocalBuffer, check_rows, config_of, rows, wait_until
from tests.forks import HEAVY

Local = Callable[..., LocalBuffer]
Child = Callable[..., ChildBuffer]
QUEUE = "TableSpec(kind='queue', rows_per_item=1)"
CLOSE_S = 2.0
ON_POLICY: dict[str, Any] = {
    "algorithm_on_policy_or_off_policy": "on-policy", "dump_model_freq": 1, "model_file_sync_per_minutes": 0,
    "model_file_load_per_minutes": 0,
}  # fmt: skip
READER = """
import sys, json
from kaimesh.agent import TableSpec
from kaimesh.config import AlgoEntry, App, Config
from kaimesh.process.meter import Meter
from kaimesh.buffer.drawing.reader import Reader
reverb, ingest, token = sys.argv[1:4]
app, table = App(replay_buffer_capacity=64, train_batch_size=4), TableSpec(kind="queue", rows_per_item=1)
config = Config(app, AlgoEntry("toy", "a.A", "a.A", "a.A", "a.w"), {}, (), "")
reader = Reader([reverb], [ingest], token, batch_size=4, table=table, config=config, meter=Meter("l"))
while (batch := reader.next_batch(0.5)) is None: pass
print(json.dumps(batch.number.tolist()), flush=True)
reader.next_batch(1000.0)
"""


def trickle(sender: SampleSender, count: int, seed: int, most_s: float, sizes: tuple[int, ...] = (1,)) -> None:
    """`count` rows in frames of `sizes`, with pauses of up to `most_s`: some fall on every moment of a draw."""
    rng, sent = random.Random(seed), 0
    while sent < count:
        size = min(rng.choice(sizes), count - sent)
        sender.put(rows(size, sent))
        sent += size
        threading.Event().wait(rng.choice((0.0, rng.uniform(0, most_s))))
    assert sender.flush(WAIT_S)


def collect(reader: Reader, count: int) -> list[int]:
    """The numbers of `count` rows, in the order in which they came."""
    numbers: list[int] = []
    while len(numbers) < count:
        batch = reader.next_batch(WAIT_S)
        assert batch is not None, f"{len(numbers)} of {count} rows came"
        numbers += check_rows(batch).tolist()
    return numbers


@pytest.mark.parametrize(
    ("rows_per_item", "batch", "policy"), [(1, 1, "on-policy"), (1, 64, "on-policy"), (7, 28, "off-policy")]
)
def test_rows_at_odd_moments_all_come(local: Local, rows_per_item: int, batch: int, policy: str) -> None:
    """Pauses around those after which a draw was given up once: 30 and 150 ms."""
    buffer = local("queue", rows_per_item, 256, batch, algorithm_on_policy_or_off_policy=policy)
    sender, count = buffer.sender(), 28 * 5
    feeding = threading.Thread(target=trickle, args=(sender, count, batch, 0.04, (1, 1, 1, 3, 20)), daemon=True)
    feeding.start()
    assert collect(buffer.reader(), count) == list(range(count))
    feeding.join(WAIT_S)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", [1, 2])
def test_50000_rows_at_odd_moments_all_come(child: Child, seed: int) -> None:
    """Twice, so 100,000; the buffer is another process, and its reader is now and then stopped for longer than any
    draw.
    """
    buffer = child(QUEUE, replay_buffer_capacity=256, train_batch_size=4, **ON_POLICY)
    buffer.start()
    sender = SampleSender([buffer.address], token=TOKEN, name="a", window=64, meter=Meter("a"), stop=threading.Event())
    count = 50_000
    feeding = threading.Thread(target=trickle, args=(sender, count, seed, 0.015, (1, 1, 1, 3, 20)), daemon=True)
    feeding.start()
    reader = reader_of(buffer)
    rng, numbers = random.Random(seed), 0
    while numbers < count:
        batch = reader.next_batch(WAIT_S)
        assert batch is not None, f"row {numbers} did not come"
        assert check_rows(batch).tolist() == list(range(numbers, numbers + len(batch)))
        numbers += len(batch)
        threading.Event().wait(rng.choice((0.0, 0.0, 0.0, rng.uniform(0, 0.02))))
    reader.close()
    sender.close()


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_batches_smaller_than_a_chunk_and_one_larger_come_without_more_rows(local: Local, extra: int) -> None:
    """A chunk of 16 here: what is there of a batch comes on-policy although nothing follows it."""
    buffer = local("queue", 1, 256, 64, algorithm_on_policy_or_off_policy="on-policy")
    sender, reader = buffer.sender(), buffer.reader()
    first = 0
    for count in (1, 3, 16 + extra):
        sender.put(rows(count, first))
        assert collect(reader, count) == list(range(first, first + count))
        first += count


def reader_of(buffer: ChildBuffer, **changes: Meter) -> Reader:
    return Reader(
        buffer.app.buffer_addrs, buffer.app.buffer_ingest_addrs, TOKEN, batch_size=buffer.app.train_batch_size,
        table=TableSpec(kind="queue", rows_per_item=1), config=config_of(buffer.app),
        **{"meter": Meter("learner_0"), **changes},
    )  # fmt: skip


def closes_in_time(reader: Reader) -> None:
    started = time.monotonic()
    reader.close()
    assert time.monotonic() - started < CLOSE_S


def test_a_waiting_reader_that_ends_or_is_killed_takes_nothing_along(child: Child) -> None:
    buffer = child(QUEUE, replay_buffer_capacity=64, train_batch_size=4)
    buffer.start()
    sender = SampleSender([buffer.address], token=TOKEN, name="a", window=64, meter=Meter("a"), stop=threading.Event())
    sender.put(rows(4))
    command = ["-c", READER, *buffer.app.buffer_addrs, buffer.address, TOKEN]
    killed = HEAVY.popen(command, stderr=subprocess.DEVNULL)
    assert killed.stdout is not None
    assert killed.stdout.readline().strip() == "[0, 1, 2, 3]"  # now it waits for more
    ended = reader_of(buffer)
    assert ended.next_batch(0.3) is None
    closes_in_time(ended)
    killed.kill()
    killed.wait(WAIT_S)
    for number in range(4, 12):
        sender.put(rows(1, number))
    assert sender.flush(WAIT_S)
    reader = reader_of(buffer)
    assert collect(reader, 8) == list(range(4, 12))
    reader.close()
    sender.close()


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_closing_takes_two_seconds_at_most_where_the_buffer_is_dead_or_paused(
    child: Child, number: signal.Signals
) -> None:
    buffer = child(QUEUE, replay_buffer_capacity=64, train_batch_size=4)
    buffer.start()
    sender = SampleSender([buffer.address], token=TOKEN, name="a", window=64, meter=Meter("a"), stop=threading.Event())
    sender.put(rows(6))
    reader = reader_of(buffer)
    assert collect(reader, 4) == [0, 1, 2, 3]
    assert buffer.process is not None
    buffer.process.send_signal(number)
    try:
        wait_until(lambda: unanswered(reader), "the reader says that it does not answer")
        closes_in_time(reader)
    finally:
        buffer.process.send_signal(signal.SIGCONT)
    sender.close()


def unanswered(reader: Reader) -> bool:
    try:
        reader.next_batch(0.1)
    except PeerError:
        return True
    return False


@pytest.mark.long
def test_rows_come_again_after_the_buffer_was_stopped_for_a_while(child: Child) -> None:
    """SIGSTOP of the buffer in the middle of a stream, for longer than a lifetime of any wait in the reader."""
    buffer = child(QUEUE, replay_buffer_capacity=64, train_batch_size=4, **ON_POLICY)
    buffer.start()
    sender = SampleSender([buffer.address], token=TOKEN, name="a", window=64, meter=Meter("a"), stop=threading.Event())
    feeding = threading.Thread(target=trickle, args=(sender, 120, 5, 0.02), daemon=True)
    feeding.start()
    reader = reader_of(buffer)
    numbers = collect(reader, 20)
    assert buffer.process is not None
    buffer.process.send_signal(signal.SIGSTOP)
    wait_until(lambda: unanswered(reader), "it is seen")
    buffer.process.send_signal(signal.SIGCONT)
    numbers += collect(reader, 120 - len(numbers))
    assert numbers == list(range(120))
    reader.close()
    sender.close()


def test_what_drop_all_says_is_every_row_that_nobody_gets(local: Local) -> None:
    buffer = local("queue", 1, 64, 4)
    sender, reader = buffer.sender(), buffer.reader()
    given = dropped = 0
    for start in range(0, 90, 30):
        sender.put(rows(30, start))
        assert sender.flush(WAIT_S)
        given += len(collect(reader, 8))
        dropped += reader.drop_all()
        assert given + dropped + buffer.meter.counters.get("dropped", 0) == start + 30


class Clock:
    def __init__(self) -> None:
        self.now_s = 10.0

    def __call__(self) -> float:
        return self.now_s


class Peer:
    closed = False


@pytest.mark.parametrize(
    ("progress", "after_s", "answered"),
    [
        (Progress(5), 0.0, False),
        (Progress(6), 0.0, False),  # one of three
        (Progress(6), 2 * LATE_S, True),
        (Progress(8), 0.0, True),
        (Progress(2), 0.0, True),  # another life of the buffer
        (Progress(5), LONGEST_S, True),
    ],
)
def test_a_reader_is_told_when_there_is_enough_or_late(progress: Progress, after_s: float, answered: bool) -> None:
    clock, peer = Clock(), Peer()
    waiting = Waiting(clock)
    waiting.add(peer, 7, {"known": 5, "enough": 3, "count_undrawn": False})  # type: ignore[arg-type]
    due = waiting.due(progress)
    clock.now_s += after_s
    assert (due or waiting.due(progress)) == ([(peer, 7, False)] if answered else [])
    assert not answered or waiting.due(progress) == []


def test_a_reader_that_is_gone_is_not_answered() -> None:
    peer, waiting = Peer(), Waiting()
    waiting.add(peer, 1, {"known": 0, "enough": 1, "count_undrawn": True})  # type: ignore[arg-type]
    peer.closed = True
    assert waiting.due(Progress(9)) == []


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"known": "5"},
        {"known": True, "enough": 1, "count_undrawn": False},
        {"known": 1, "enough": 1e9, "count_undrawn": 0},
        {"known": None},
    ],
)
def test_nonsense_in_a_wait_is_refused_and_the_next_one_served(local: Local, request_: dict) -> None:
    buffer = local("queue", 1, 64, 4)
    client = FrameClient(buffer.address, token=TOKEN, role="reader", name="r")
    with pytest.raises(AgentError, match="a wait wants whole numbers"):
        client.call({"do": "wait", **request_})
    answer = client.call({"do": "wait", "known": 10**30, "enough": -(10**30), "count_undrawn": True}, WAIT_S)
    assert answer == {"given": 0, "undrawn": 0}
    client.close()


@pytest.mark.long
def test_rows_of_a_killed_buffer_are_waited_for_no_longer_and_new_ones_come(child: Child) -> None:
    """A draw that the kill cut short goes on with what the next life of the buffer gets."""
    buffer = child(QUEUE, replay_buffer_capacity=64, train_batch_size=4, **ON_POLICY)
    buffer.start()
    meter = Meter("a")
    sender = SampleSender([buffer.address], token=TOKEN, name="a", window=8, meter=meter, stop=threading.Event())
    feeding = threading.Thread(target=trickle, args=(sender, 200, 3, 0.005), daemon=True)
    feeding.start()
    reader = reader_of(buffer)
    collect(reader, 20)
    buffer.end(signal.SIGKILL)
    buffer.start()
    feeding.join(WAIT_S)
    sender.put(rows(8, 1000))
    last = collect(reader, 1)
    while last[-1] < 1007:
        last += collect(reader, 1)
    assert np.all(np.diff(last) > 0)
    assert last[-8:] == list(range(1000, 1008))
    reader.close()
    sender.close()
