"""What a queue's reader asks the ingest port, and when it is answered: not again and again, and not too late."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from kaimesh.buffer import waiting
from kaimesh.buffer.drawing.queue_source import QueueSource
from kaimesh.buffer.ingest import Ingest
from kaimesh.buffer.items import Progress
from kaimesh.buffer.store import Store
from kaimesh.buffer.waiting import LATE_S, Waiting
from kaimesh.config import App
from kaimesh.contract.agent import TableSpec
from kaimesh.wire.client import FrameClient
from kaimesh.wire.frame import Kind, to_json
from kaimesh.wire.server import FrameServer
from tests.buffer.conftest import ROOT, TOKEN, WAIT_S, LocalBuffer, check_rows, rows, wait_until

Local = Callable[..., LocalBuffer]
NEVER_S = 1000.0


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Progress]:
    """Every answer that told what is left to be drawn."""
    made: list[Progress] = []
    counted = Ingest.with_undrawn

    def noted(ingest: Ingest) -> Progress:
        made.append(counted(ingest))
        return made[-1]

    monkeypatch.setattr(Ingest, "with_undrawn", noted)
    return made


def collect(reader: Any, count: int) -> list[int]:
    numbers: list[int] = []
    while len(numbers) < count:
        batch = reader.next_batch(WAIT_S)
        assert batch is not None, f"{len(numbers)} of {count} rows came"
        numbers += check_rows(batch).tolist()
    return numbers


def held_after(buffer: LocalBuffer, count: int) -> tuple[Any, Any, QueueSource]:
    """A sender, and a reader that got `count` rows of it; the reader's source, which draws nothing now."""
    sender, reader = buffer.sender(), buffer.reader()
    sender.put(rows(count))
    collect(reader, count)
    (source,) = reader._sources
    assert source.hold(WAIT_S)
    return sender, reader, source


def test_a_reader_that_waits_asks_no_more_often_than_it_is_answered(
    local: Local, looks: list[Progress], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was 500 questions a second, from the first second on in which nothing came."""
    monkeypatch.setattr(waiting, "LONGEST_S", 0.1)
    buffer = local("queue", 1, 64, 4)
    sender, reader = buffer.sender(), buffer.reader()
    sender.put(rows(4))
    collect(reader, 4)
    before = len(looks)
    assert reader.next_batch(0.8) is None
    assert len(looks) - before <= 12


@pytest.mark.parametrize("capacity", [1, 3, 16])
def test_what_waits_for_room_in_a_small_table_is_told_of(
    local: Local, monkeypatch: pytest.MonkeyPatch, capacity: int
) -> None:
    """The table is full before anybody reads: the reader was told of what waits outside it only after a second,
    each time.
    """
    monkeypatch.setattr(waiting, "LONGEST_S", NEVER_S)
    buffer = local("queue", 1, capacity, 1)
    sender = buffer.sender()
    feeding = threading.Thread(target=lambda: [sender.put(rows(1, number)) for number in range(90)], daemon=True)
    feeding.start()
    wait_until(lambda: buffer.ingest.blocked, "the table is full")
    started = time.monotonic()
    assert collect(buffer.reader(), 90) == list(range(90))
    assert time.monotonic() - started < WAIT_S
    feeding.join(WAIT_S)


def test_a_reader_is_told_before_the_loop_waits_for_room_that_only_it_can_make(
    local: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = local("queue", 1, 8, 1)
    buffer.sender(window=64).put(rows(60))
    wait_until(lambda: buffer.ingest.blocked, "the table is full")
    reader = FrameClient(buffer.address, token=TOKEN, role="reader", name="learner_0", timeout_s=WAIT_S)
    buffer.end_loop()
    events: list[str] = []
    confirmed, send_json = Store._confirmed, FrameServer.send_json
    monkeypatch.setattr(Store, "_confirmed", lambda *args: events.append("waits") or confirmed(*args))
    monkeypatch.setattr(FrameServer, "send_json", lambda *a, **k: events.append("tells") or send_json(*a, **k))
    reader.send(Kind.CONTROL, [to_json({"do": "wait", "known": 0, "enough": 1, "count_undrawn": False})], tag=1)
    buffer.server.step()
    assert events[0] == "tells"
    reader.close()


def test_items_are_told_of_before_an_insert_waits_for_them() -> None:
    table = TableSpec(kind="queue", rows_per_item=1)
    ingest = Ingest(table, App(replay_buffer_capacity=8, train_batch_size=1))
    ingest.declare(rows(1).specs, None)
    told: list[int] = []
    ingest.on_items = lambda: told.append(ingest.progress.given)
    ingest.insert(rows(60))  # of which some 50 find no room
    ingest.drop()
    ingest.close()
    assert told
    assert 8 < told[0] < 60


def test_what_is_left_is_counted_outside_of_an_insert(local: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reverb counts it. Were it silent, the writer whose frame is being taken would be refused for that."""
    buffer = local("queue", 1, 8, 1)
    reader = FrameClient(buffer.address, token=TOKEN, role="reader", name="learner_0", timeout_s=WAIT_S)
    hello = {"specs": rows(1).specs.to_json()}
    writer = FrameClient(buffer.address, token=TOKEN, role="writer", name="aisrv_0", hello=hello, timeout_s=WAIT_S)
    buffer.end_loop()
    under_way: list[str] = []
    counted: list[list[str]] = []
    insert, undrawn = Ingest.insert, Store.undrawn

    def noted(*args: Any) -> int:
        under_way.append("insert")
        accepted = insert(*args)
        under_way.clear()
        return accepted

    monkeypatch.setattr(Ingest, "insert", noted)
    monkeypatch.setattr(Store, "undrawn", lambda *args: counted.append(list(under_way)) or undrawn(*args))
    reader.send(Kind.CONTROL, [to_json({"do": "wait", "known": 0, "enough": 1, "count_undrawn": True})], tag=1)
    writer.send_rows(rows(60), rows(1).specs, tag=1)  # of which some 50 find no room: it waits inside
    buffer.server.step()
    assert counted == [[]]
    assert reader.receive(WAIT_S)[0].tag == 1
    reader.close()
    writer.close()


def test_a_reader_that_asks_during_a_drain_is_answered_and_makes_room(local: Local) -> None:
    buffer = local("queue", 1, 8, 1)
    sender, reader, source = held_after(buffer, 1)
    sender.put(rows(20, 1))
    wait_until(lambda: buffer.ingest.blocked, "the table is full")
    buffer.end_loop()
    source.release()  # now it asks anew
    numbers: list[int] = []
    learning = threading.Thread(target=lambda: numbers.extend(collect(reader, 20)), daemon=True)
    learning.start()
    started = time.monotonic()
    assert buffer.server.drain(WAIT_S / 4)
    assert time.monotonic() - started < WAIT_S / 4
    learning.join(WAIT_S)
    assert numbers == list(range(1, 21))


def test_a_draw_whose_items_another_one_took_is_followed_by_counting(
    local: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one does that was killed in the middle: later draws would all ask for more than is there,
    and wait in Reverb.
    """
    draw, thefts = QueueSource._draw, [2]

    def late(source: QueueSource, client: Any, count: int, holds: int) -> int:
        if count == 4 and thefts:
            number = thefts.pop()
            other = client.NewSampler("samples", number, number)
            for _ in range(number):
                other.GetNextTrajectory()
        return draw(source, client, count, holds)

    monkeypatch.setattr(QueueSource, "_draw", late)
    monkeypatch.setattr(waiting, "LONGEST_S", NEVER_S)
    buffer = local("queue", 1, 64, 4, algorithm_on_policy_or_off_policy="on-policy")
    monkeypatch.setattr(QueueSource, "_enough", lambda _: 4)
    sender, reader = buffer.sender(), buffer.reader()
    sender.put(rows(4))
    assert collect(reader, 2) == [2, 3]
    assert reader.next_batch(0.15) is None  # the draw waits in Reverb for two more
    (source,) = reader._sources
    for first in (4, 8):
        sender.put(rows(2, first))
        assert collect(reader, 2) == [first, first + 1]
        wait_until(lambda: source.hold(0.2), "no draw waits in Reverb", 2.0)
        source.release()


def test_the_rest_of_a_batch_is_drawn_as_soon_as_it_is_there(local: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 16: the reader waits for what its batch lacks, not for a chunk, whatever it has not decoded yet."""
    monkeypatch.setattr(waiting, "LONGEST_S", NEVER_S)
    monkeypatch.setattr(waiting, "LATE_S", NEVER_S)
    buffer = local("queue", 1, 256, 64)
    sender, reader = buffer.sender(), buffer.reader()
    sender.put(rows(64))
    collect(reader, 64)
    for first, split in enumerate((48, 60, 63, 17, 33), 1):
        sender.put(rows(split, 64 * first))
        assert sender.flush(WAIT_S)
        wait_until(lambda: reader.size() == 0, "they are drawn")
        sender.put(rows(64 - split, 64 * first + split))
        assert collect(reader, 64) == list(range(64 * first, 64 * first + 64))


def test_a_question_from_before_a_table_was_emptied_draws_nothing(
    local: Local, looks: list[Progress], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would wait inside Reverb for rows that are gone, and the next `drop_all` for it."""
    monkeypatch.setattr(waiting, "LONGEST_S", 0.02)
    buffer = local("queue", 1, 64, 4)
    sender, reader, source = held_after(buffer, 4)
    asked = len(looks)
    wait_until(lambda: len(looks) > asked + 2, "it asks while it is held")
    sender.put(rows(3, 4))
    assert sender.flush(WAIT_S)
    wait_until(lambda: looks[-1].undrawn == 3 or looks[-1].given < 7, "it may know of them")
    threading.Event().wait(0.1)
    reader._controls.each[0].drop()
    source.release()
    assert reader.next_batch(0.2) is None
    assert source.hold(0.2), "a draw waits for what was dropped"
    source.release()
    sender.put(rows(4, 7))
    assert collect(reader, 4) == [7, 8, 9, 10]


@pytest.mark.parametrize("capacity", [1, 4, 64])
def test_what_is_left_counts_all_that_is_to_come_and_nothing_that_was_dropped(capacity: int) -> None:
    ingest = Ingest(TableSpec(kind="queue", rows_per_item=1), App(replay_buffer_capacity=capacity, train_batch_size=1))
    ingest.declare(rows(1).specs, None)
    for count in (30, 3):
        ingest.insert(rows(count))
        ingest.flush(0.01)
        assert ingest.with_undrawn().undrawn == count
        ingest.drop()
        assert ingest.with_undrawn().undrawn == 0
        assert ingest.pending == 0
    assert ingest.flush(WAIT_S)
    ingest.close()


def test_items_that_come_one_after_another_are_told_of_together() -> None:
    """Each draw has its price, so a trickle makes one draw of a chunk, not one every 30 ms."""

    class Peer:
        closed = False

    now, peer = [10.0], Peer()
    asked = Waiting(lambda: now[0])
    asked.add(peer, 7, {"known": 0, "enough": 16, "count_undrawn": False})  # type: ignore[arg-type]
    for given in range(1, 16):
        assert asked.due(Progress(given)) == []
        assert asked.most_s(NEVER_S) == pytest.approx(LATE_S)
        now[0] += 0.9 * LATE_S
    assert asked.due(Progress(16)) == [(peer, 7, False)]
    assert asked.due(Progress(17)) == []
    now[0] += 2 * LATE_S
    asked.add(peer, 8, {"known": 16, "enough": 16, "count_undrawn": False})  # type: ignore[arg-type]
    assert asked.due(Progress(17)) == [(peer, 8, False)]


COUNTING = """
from kaimesh.buffer import store
from kaimesh.buffer.ingest import Ingest
from kaimesh.agent import TableSpec
from kaimesh.config import App
from tests.buffer.conftest import rows
store._INFO_S = 1
ingest = Ingest(TableSpec(kind="queue", rows_per_item=1), App(replay_buffer_capacity=8, train_batch_size=1))
ingest.declare(rows(1).specs, None)
while True:
    for _ in range(20):  # most of its time it asks
        ingest.publish()
    print("counted", flush=True)
"""


@pytest.mark.long
def test_a_buffer_that_was_stopped_while_it_asked_reverb_goes_on() -> None:
    """Reverb is in its own process: nobody could answer.

    Such a stop, for longer than a question may take, ended the buffer.
    """
    with subprocess.Popen([sys.executable, "-c", COUNTING], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for _ in range(5):
                assert process.stdout.readline() == "counted\n"
                process.send_signal(signal.SIGSTOP)
                threading.Event().wait(1.5)
                process.send_signal(signal.SIGCONT)
            said = [process.stdout.readline() for _ in range(5)]
            assert said == ["counted\n"] * 5
        finally:
            process.kill()
