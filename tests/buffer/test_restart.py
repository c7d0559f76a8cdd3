"""Restarts, kills and checkpoints, with a real buffer process."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import reverb
from reverb import pybind

from kaimesh.buffer.checkpoint import GENERATIONS, Checkpoints, Manifest
from kaimesh.buffer.drawing.reader import Reader
from kaimesh.buffer.ingest import Ingest
from kaimesh.buffer.sending.sender import SampleSender
from kaimesh.config import App
from kaimesh.contract.agent import TableSpec
from kaimesh.contract.errors import PeerError
from kaimesh.contract.spaces import Spaces
from kaimesh.process.meter import Meter
from tests.buffer.conftest import ROOT, TOKEN, WAIT_S, ChildBuffer, check_rows, config_of, rows, wait_until

Child = Callable[..., ChildBuffer]
REPLAY = TableSpec(rows_per_item=4)
APP = App(replay_buffer_capacity=64, train_batch_size=8, preload_ratio=0.2)
SPACES = Spaces((4,), "<f4", "discrete", 2)


@pytest.fixture
def peers() -> Iterator[Callable[[ChildBuffer], tuple[SampleSender, Reader, Meter]]]:
    """A sender and a reader of a child, with the sender's meter."""
    opened: list[SampleSender | Reader] = []

    def make(child: ChildBuffer) -> tuple[SampleSender, Reader, Meter]:
        meter = Meter("aisrv_0")
        sender = SampleSender(
            [child.address], token=TOKEN, name="aisrv_0", window=4, meter=meter, stop=threading.Event(), spaces=SPACES
        )
        table = TableSpec(
            kind="queue" if "queue" in (child.folder / "toy_agent.py").read_text() else "replay", rows_per_item=1
        )
        reader = Reader(
            child.app.buffer_addrs, child.app.buffer_ingest_addrs, TOKEN,
            batch_size=child.app.train_batch_size, table=table, config=config_of(child.app), meter=Meter("learner_0"),
        )  # fmt: skip
        opened.extend([sender, reader])
        return sender, reader, meter

    yield make
    for peer in opened:
        peer.close()


def counters(meter: Meter) -> tuple[float, float, float]:
    return tuple(meter.counters.get(f"samples_{name}", 0) for name in ("sent", "acked", "lost"))  # type: ignore[return-value]


def test_a_kill_is_seen_counted_and_survived(child: Child, peers: Callable) -> None:
    buffer = child("TableSpec(kind='queue', rows_per_item=1)", replay_buffer_capacity=16, train_batch_size=8)
    buffer.start()
    sender, reader, meter = peers(buffer)
    sender.put(rows(16))
    assert sender.flush(WAIT_S)
    batch = reader.next_batch(WAIT_S)
    assert batch is not None
    np.testing.assert_array_equal(check_rows(batch), np.arange(8))
    sender.put(rows(24, 16))  # more than fits: what is not stored is under way when the buffer dies
    wait_until(lambda: meter.counters["samples_sent"] == 40, "sent")
    assert buffer.end(signal.SIGKILL) == -signal.SIGKILL
    wait_until(lambda: sum(counters(meter)[1:]) == 40, "each sample is acknowledged or lost")
    assert counters(meter) == (40, 16, 24)

    def silent() -> str:
        try:
            reader.next_batch(0.1)
        except PeerError as error:
            return str(error)
        return ""

    message = wait_until(silent, "the reader says so")
    assert f"127.0.0.1:{buffer.ports[0]} does not answer since" in message
    with pytest.raises(PeerError, match=f"{buffer.address} does not answer since"):
        reader.size()

    buffer.start()
    reader_total = wait_until(lambda: not silent(), "the reader's server answers again") and 0
    for start in range(100, 164, 8):
        sender.put(rows(8, start))
        reader_total += 1 if reader.next_batch(WAIT_S) is not None else 0
    assert reader_total == 8
    assert sender.flush(WAIT_S)
    assert counters(meter)[1] == 16 + 64
    wait_until(lambda: buffer.status()["counters"].get("inserted", 0) >= 64, "counted")


def test_a_clean_stop_saves_and_a_start_restores(child: Child, peers: Callable) -> None:
    buffer = child("TableSpec(rows_per_item=4)", replay_buffer_capacity=64, train_batch_size=8, preload_ratio=0.2)
    buffer.start()
    sender, reader, _ = peers(buffer)
    sender.put(rows(38))
    assert sender.flush(WAIT_S)
    assert buffer.end() == 0
    buffer.start()
    assert reader.spaces(threading.Event()) == SPACES
    assert reader.size() == 38  # nine items of 4 and one of 2
    assert reader.inserted() == 38
    seen: set[int] = set()
    while len(seen) < 38:
        batch = reader.next_batch(WAIT_S)
        assert batch is not None
        seen |= set(check_rows(batch).tolist())
    assert seen == set(range(38))
    sender.put(rows(8, 38))
    assert sender.flush(WAIT_S)
    assert reader.inserted() == 46
    assert "restored 10 items" in buffer.log.read_text()


def test_a_full_queue_does_not_hold_up_the_end(child: Child, peers: Callable) -> None:
    """Reverb's writer would wait for room for its last items, with the GIL held,
    so that no thread could end the process.
    """
    buffer = child("TableSpec(kind='queue', rows_per_item=1)", replay_buffer_capacity=8, train_batch_size=8)
    buffer.start()
    sender, _, _ = peers(buffer)
    for i in range(4):
        sender.put(rows(1, i))
    sender.put(rows(64, 4))
    wait_until(lambda: "the queue is full" in buffer.status()["blocked_on"], "the queue is full")
    assert buffer.end() == 0
    buffer.start()
    assert "restored 8 items" in buffer.log.read_text()


def test_a_queue_is_restored_once(child: Child, peers: Callable) -> None:
    """Samples that were trained on must not come back after a crash."""
    buffer = child("TableSpec(kind='queue', rows_per_item=1)", replay_buffer_capacity=64, train_batch_size=8)
    buffer.start()
    sender, reader, _ = peers(buffer)
    sender.put(rows(8))
    assert sender.flush(WAIT_S)
    assert buffer.end() == 0
    buffer.start()
    batch = reader.next_batch(WAIT_S)
    assert batch is not None
    np.testing.assert_array_equal(check_rows(batch), np.arange(8))
    buffer.end(signal.SIGKILL)
    buffer.start()
    assert buffer.log.read_text().count("samples inserted so far") == 1
    assert not list((buffer.folder / "run/buffer/buffer_0/kept").iterdir())


def test_another_capacity_starts_empty_and_says_why(child: Child) -> None:
    buffer = child("TableSpec(rows_per_item=4)", replay_buffer_capacity=64, train_batch_size=8)
    buffer.start()
    with_sender = SampleSender(
        [buffer.address], token=TOKEN, name="a", window=4, meter=Meter("a"), stop=threading.Event()
    )
    with_sender.put(rows(40))
    assert with_sender.flush(WAIT_S)
    with_sender.close()
    assert buffer.end() == 0
    buffer.start(replay_buffer_capacity=128)
    assert "max_size 16 instead of 32" in buffer.log.read_text()
    assert "starts empty" in buffer.log.read_text()
    assert buffer.end() == 0
    buffer.start(replay_buffer_capacity=64)
    assert "restored 10 items" in buffer.log.read_text()


def test_taken_ports_are_named(child: Child) -> None:
    buffer = child("TableSpec()")
    buffer.start()
    for key, mine in (("buffer_addrs", 0), ("buffer_ingest_addrs", 1)):
        other = child("TableSpec()")
        other.keys[key] = [f"127.0.0.1:{buffer.ports[mine]}"]
        if mine == 0:  # Reverb opens its port with the first sample
            SampleSender(
                [buffer.address], token=TOKEN, name="a", window=4, meter=Meter("a"), stop=threading.Event()
            ).put(rows(1))
            wait_until(lambda: "table 'samples'" in buffer.log.read_text(), "declared")
        with pytest.raises(AssertionError, match=rf"{key}\[0\]"):
            other.start()


def filled(folder: Path, start: int = 0, app: App = APP) -> Ingest:
    ingest = Ingest(REPLAY, app, checkpoints=Checkpoints(folder))
    if not ingest.restore():
        ingest.declare(rows(1).specs, SPACES)
    ingest.insert(rows(16, start))
    assert ingest.flush(WAIT_S)
    return ingest


def generations(folder: Path) -> list[Path]:
    return sorted((folder / "kept").iterdir())


def test_two_generations_are_kept_and_foreign_files_survive(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "zzz").mkdir()
    ingest = filled(tmp_path)
    (tmp_path / "kept" / "keep me").mkdir()
    paths = [ingest.checkpoint() for _ in range(3)]
    assert GENERATIONS == 2
    assert [p for p in generations(tmp_path) if p.name.isdigit()] == paths[1:]
    assert not list((tmp_path / "reverb").iterdir())  # Reverb's own folder, whose other entries it would delete
    ingest.close()
    ingest = filled(tmp_path)
    ingest.checkpoint()
    ingest.close()
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert (tmp_path / "zzz").is_dir()
    assert (tmp_path / "kept" / "keep me").is_dir()


@pytest.mark.parametrize("damage", ["shorter", "gone", "manifest", "flipped", "empty"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    ingest = filled(tmp_path)
    ingest.checkpoint()
    ingest.insert(rows(16, 16))
    assert ingest.flush(WAIT_S)
    newest = ingest.checkpoint()
    ingest.close()
    assert newest is not None
    chunks = newest / "data/chunks.tfrecord"
    content = chunks.read_bytes()
    if damage == "shorter":
        chunks.write_bytes(content[:-5])
    elif damage == "gone":
        chunks.unlink()
    elif damage == "manifest":
        (newest / "manifest.json").write_text("{")
    elif damage == "flipped":
        chunks.write_bytes(content[:20] + bytes(255 - b for b in content[20:40]) + content[40:])
    else:
        for path in (newest / "data").iterdir():
            path.write_bytes(b"")
    again = Ingest(REPLAY, APP, checkpoints=Checkpoints(tmp_path))
    assert again.restore()
    assert (again.inserted, again.describe()["size"]) == (16, 16)
    assert f"{newest}" in caplog.text
    again.close()


def test_a_save_that_was_cut_short_is_not_restored(tmp_path: Path) -> None:
    ingest = filled(tmp_path)
    ingest.checkpoint()
    ingest.close()
    half = tmp_path / "reverb" / "2999-01-01T00:00:00"
    half.mkdir()
    (half / "tables.tfrecord").write_bytes(b"half")
    (tmp_path / "kept" / ".00000000000000000009").mkdir()
    again = Ingest(REPLAY, APP, checkpoints=Checkpoints(tmp_path))
    assert again.restore()
    assert again.inserted == 16
    again.close()
    shutil.rmtree(tmp_path / "kept")
    half.mkdir(parents=True)
    empty = Ingest(REPLAY, APP, checkpoints=Checkpoints(tmp_path))
    assert not empty.restore()
    empty.declare(rows(1).specs, None)
    assert empty.describe()["size"] == 0
    empty.close()


def test_inserting_goes_on_while_a_checkpoint_is_saved(tmp_path: Path) -> None:
    ingest = filled(tmp_path)
    saving = threading.Thread(target=ingest.checkpoint)
    saving.start()
    start = 16
    while saving.is_alive() or start == 16:
        ingest.insert(rows(16, start))
        assert ingest.flush(WAIT_S)
        start += 16
    saving.join()
    ingest.close()
    again = Ingest(REPLAY, APP, checkpoints=Checkpoints(tmp_path))
    assert again.restore()
    again.close()


def test_the_manifest_is_plain_json(tmp_path: Path) -> None:
    ingest = filled(tmp_path)
    path = ingest.checkpoint()
    ingest.close()
    assert path is not None
    manifest = Manifest(**json.loads((path / "manifest.json").read_text()))
    assert manifest.items == 4
    assert {name for name, _ in manifest.files} >= {"chunks.tfrecord", "items.tfrecord", "tables.tfrecord"}
    assert all((path / "data" / name).stat().st_size == size for name, size in manifest.files)


def test_the_client_loads_neither_tensorflow_nor_reverb() -> None:
    heavy = ("tensorflow", "reverb", "grpc", "jax", "torch")
    code = f"import sys, kaimesh.buffer.sending.sender; print([m for m in {heavy} if m in sys.modules])"
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
    assert time.monotonic() - started < 30


def test_what_was_drawn_before_a_restart_is_not_counted_again(tmp_path: Path) -> None:
    """Reverb's own count comes back with the table."""
    table, meter = TableSpec(kind="queue", rows_per_item=1), Meter("buffer_0")
    ingest = Ingest(table, APP, checkpoints=Checkpoints(tmp_path), meter=meter)
    ingest.declare(rows(1).specs, SPACES)
    ingest.insert(rows(60))
    assert ingest.flush(WAIT_S)
    reader = Reader(
        [], [], "", batch_size=8, table=table, config=config_of(APP), meter=Meter("learner_0"), controls=[ingest]
    )
    assert reader.next_batch(WAIT_S) is not None
    reader.close()
    ingest.publish()
    drawn = meter.counters["sampled"]
    assert drawn + meter.gauges["size"] == 60
    ingest.checkpoint()
    ingest.close()
    again = Ingest(table, APP, checkpoints=Checkpoints(tmp_path), meter=meter)
    assert again.restore()
    again.publish()
    assert meter.counters["sampled"] == drawn
    assert again.describe()["sampled"] == drawn, "over all lives"
    again.close()


def test_what_is_drawn_while_a_queue_is_saved_is_not_restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A learner goes on drawing while the buffer stops: it got the same samples again after the restart."""
    ingest = Ingest(TableSpec(kind="queue", rows_per_item=1), APP, checkpoints=Checkpoints(tmp_path))
    ingest.declare(rows(1).specs, SPACES)
    ingest.insert(rows(20))
    assert ingest.flush(WAIT_S)
    counts, client = [3, 2], pybind.Client(f"127.0.0.1:{ingest.port}")
    save = reverb.Client.checkpoint

    def drawn_meanwhile(saving: reverb.Client) -> str:
        path = str(save(saving))
        if counts:
            count = counts.pop()
            sampler = client.NewSampler("samples", count, count)
            for _ in range(count):
                sampler.GetNextTrajectory()
        return path

    monkeypatch.setattr(reverb.Client, "checkpoint", drawn_meanwhile)
    ingest.checkpoint()
    ingest.close()
    again = Ingest(TableSpec(kind="queue", rows_per_item=1), APP, checkpoints=Checkpoints(tmp_path))
    assert again.restore()
    assert again.describe()["size"] == 15
    again.close()
