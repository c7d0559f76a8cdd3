"""What a writer may declare, and what a sender makes of a buffer that answers nonsense."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest

from kaimesh.buffer import declared, tables
from kaimesh.buffer.sending.sender import SampleSender
from kaimesh.config import App
from kaimesh.contract.agent import TableSpec
from kaimesh.contract.arrays import Specs
from kaimesh.contract.errors import MeshError, Refused, SampleError
from kaimesh.process.meter import Meter
from kaimesh.wire import frame as wire
from kaimesh.wire.client import FrameClient
from kaimesh.wire.frame import Kind
from kaimesh.wire.server import STALL_S
from tests.buffer.conftest import TOKEN, WAIT_S, LocalBuffer, rows, wait_until

TABLE = TableSpec(kind="replay", rows_per_item=1, prioritised=True)


@pytest.mark.parametrize(
    "fields",
    [
        [["_priority", "<f4", [2]]],
        [["_priority", "<i4", []]],
        [["_priority", "|b1", []]],
        [["_model_version", "<f4", []]],
        [["_run_id", "<i8", [1]]],
        [["_key", "<u8", []]],
        [["_probability", "<f8", []]],
        [["_server", "<i8", []]],
        [["_replayed", "|b1", []]],
    ],
    ids=lambda fields: repr(fields[0]),
)
def test_the_meshs_own_columns_are_as_they_are(fields: list[Any]) -> None:
    specs = Specs.from_json([["x", "<f4", [3]], *fields])
    with pytest.raises(SampleError):
        declared.check(specs, tables.plan(TABLE, specs, App()), 8 << 30)


@pytest.mark.parametrize(
    ("rows_per_item", "capacity", "words"),
    [(64, 1000, "over the limit"), (1, 64, "takes 17.2 GB when it is full, and there are 8.6 GB of memory")],
)
def test_a_table_that_no_memory_could_hold_is_refused(rows_per_item: int, capacity: int, words: str) -> None:
    specs = Specs.from_json([["x", "|u1", [1 << 28]]])
    app = App(replay_buffer_capacity=capacity, train_batch_size=64)
    with pytest.raises(SampleError, match=words):
        declared.check(specs, tables.plan(TableSpec(rows_per_item=rows_per_item), specs, app), 8 << 30)


@pytest.mark.parametrize("memory_gb", [17, 18, 34, 35])
def test_a_table_of_more_than_half_of_the_memory_is_warned_of(memory_gb: int) -> None:
    specs = Specs.from_json([["x", "|u1", [1 << 28]]])  # 64 of them are 17.18 GB
    plan = tables.plan(TableSpec(rows_per_item=1), specs, App(replay_buffer_capacity=64, train_batch_size=64))
    memory_bytes = memory_gb * 10**9
    if memory_gb == 17:
        with pytest.raises(SampleError, match="Lower replay_buffer_capacity"):
            declared.check(specs, plan, memory_bytes)
        return
    declared.check(specs, plan, memory_bytes)
    assert any("more than half" in text for text in declared.warnings(plan, memory_bytes)) == (memory_gb < 35)


@pytest.mark.parametrize(
    ("addresses", "together"),
    [
        (["127.0.0.1:1"], 1),
        (["127.0.0.1:1", "127.0.0.1:2"], 2),
        (["buffer:9999", "other:9999", "other:9998"], 2),
    ],
)
def test_buffers_on_one_machine_share_its_memory(addresses: list[str], together: int) -> None:
    app = App(replay_buffer_capacity=64, train_batch_size=64, buffer_addrs=addresses)
    assert declared.together(app) == together
    specs = Specs.from_json([["x", "|u1", [1 << 28]]])  # 17.18 GB in each buffer
    plan = tables.plan(TableSpec(rows_per_item=1), specs, app)
    declared.check(specs, plan, together * 18 * 10**9, together)
    words = f"{together} buffers on one machine" if together > 1 else "Lower replay_buffer_capacity"
    with pytest.raises(SampleError, match=words):
        declared.check(specs, plan, together * 17 * 10**9, together)
    assert len(declared.warnings(plan, together * 18 * 10**9, together)) == len(plan.warnings) + 1


def test_writers_that_declare_nonsense_do_not_bind_the_next(local: Any) -> None:
    buffer: LocalBuffer = local("replay", 1, 64, 4, preload_ratio=0.1)
    for hello in (
        {"specs": [["x", "|u1", [1 << 29]]]},
        {"specs": [["_priority", "<f4", [9]]]},
        {"specs": rows(1).specs.to_json(), "spaces": {"obs_shape": [4]}},
    ):
        with pytest.raises(Refused):
            FrameClient(buffer.address, token=TOKEN, role="writer", name="w", hello=hello)
    sender = buffer.sender()
    sender.put(rows(5))
    assert sender.flush(WAIT_S)


def test_flushes_that_nobody_can_do_are_bounded(local: Any) -> None:
    buffer: LocalBuffer = local("queue", 1, 4, 4)
    sender = buffer.sender()
    sender.put(rows(64))
    wait_until(lambda: buffer.ingest.blocked, "the queue is full")
    asks = FrameClient(buffer.address, token=TOKEN, role="reader", name="r")
    for tag in range(100):
        asks.send(Kind.CONTROL, [wire.to_json({"do": "flush"})], tag=tag)
    header, payload = asks.receive(WAIT_S)
    assert header.kind == Kind.ERROR
    assert b"flushes were asked for" in bytes(payload)
    asks.close()
    wait_until(lambda: not buffer.server._flushes, "they are forgotten")


@pytest.mark.parametrize(
    "answer",
    [
        wire.encode(Kind.ACK, 0, tag=77),
        wire.encode(Kind.CONTROL, 2, tag=1) + b"{}",
        wire.encode(Kind.DATA, 0, tag=1),
        wire.encode(Kind.ERROR, 1, tag=1) + b"[",
        wire.encode(Kind.REFUSED, 14) + b'{"reason":"a"}',
        wire.encode(Kind.ACK, 2**32 - 1, tag=1),
        bytes(32),
    ],
    ids=lambda answer: repr(answer[4:8]),
)
def test_a_buffer_that_answers_nonsense_loses_what_was_sent_and_nothing_hangs(answer: bytes) -> None:
    stop, meter = threading.Event(), Meter("s")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while not stop.is_set():
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                with peer:
                    peer.settimeout(WAIT_S)
                    peer.recv(1 << 16)
                    peer.sendall(wire.encode(Kind.WELCOME, 2) + b"{}")
                    if b"KM" in peer.recv(1 << 16):
                        peer.sendall(answer)
                        peer.recv(1 << 16)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        sender = SampleSender(
            [f"127.0.0.1:{listener.getsockname()[1]}"], token=TOKEN, name="s", window=64, meter=meter, stop=stop
        )
        sender.put(rows(3))
        wait_until(lambda: meter.counters.get("samples_lost") == 3, "they are counted as lost")
        assert isinstance(sender._error, MeshError | None)
        stop.set()
        sender.close()


def test_a_writer_that_stops_in_the_middle_of_a_frame_withholds_nobodys_acknowledgement(local: Any) -> None:
    buffer: LocalBuffer = local("queue", 1, 64, 4)
    specs = rows(1).specs
    stalls, other = (
        FrameClient(buffer.address, token=TOKEN, role="writer", name=name, hello={"specs": specs.to_json()})
        for name in ("stalls", "other")
    )
    stalls._sock.sendall(wire.encode(Kind.DATA, 1 << 20, rows=9) + bytes(64))
    wait_until(lambda: any(c.mid_frame for c in buffer.server._server.connections), "half a frame is there")
    other.send_rows(rows(3), specs, tag=5)
    header, _ = other.receive(STALL_S / 2)
    assert (header.kind, header.tag) == (Kind.ACK, 5)
    stalls.close()
    other.close()


def test_closing_does_not_wait_for_a_buffer_that_never_answers_hello() -> None:
    """As one does that was stopped: the kernel takes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address, meter = f"127.0.0.1:{silent.getsockname()[1]}", Meter("a")
        sender = SampleSender([address], token=TOKEN, name="a", window=64, meter=meter, stop=threading.Event())
        sender.put(rows(3))
        with silent.accept()[0] as accepted:
            assert accepted.recv(1 << 16)
            started = time.monotonic()
            sender.close()
            assert time.monotonic() - started < 2
    assert meter.counters == {"samples_made": 3, "samples_lost": 3}
