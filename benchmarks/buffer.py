"""Samples through our writer and reader, against bare Reverb on the same data in the same run.

    python -m benchmarks.buffer [--runs 3] [--seconds 2] [--json FILE]

Each side is a server process and a client process on loopback, alone at a time. Ours: SampleSender -> ingest port ->
Reverb, and Reader. Bare: TrajectoryWriter with flush(block_until_num_items=20), and TrajectoryDataset with one worker,
batched and prefetched.
Two kinds of samples: trajectories [32, 128] float32 (16 kB), rows of 10.7 MB. Then single steps of a Kaiwu-style
SampleData, up to what `learn` gets. Medians of the runs; `share` is ours by bare.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.report import as_program, finish
from kaimesh.wire.proxies import bypass

TOKEN = "benchmark"
CLIENT_DIES_S = 120.0


class Load(NamedTuple):
    """Rows of one float32 array; the table holds `capacity`, a batch `batch`; bare Reverb's best `in_flight`."""

    name: str
    shape: tuple[int, ...]
    capacity: int
    batch: int
    in_flight: int


TRAJECTORIES = Load("trajectories_32x128", (32, 128), 2000, 64, 64)
BIG_ROWS = Load("rows_10.7MB", (2_675_000,), 30, 30, 4)
LOADS = {load.name: load for load in (TRAJECTORIES, BIG_ROWS)}
STEPS = "single_steps"
STEPS_TARGET, SHARE_TARGET = 128_000, 0.8


def app_of(load: str, kind: str = "replay") -> tuple[Any, Any]:
    """Table and configuration of our side."""
    from kaimesh.config import App
    from kaimesh.contract.agent import TableSpec

    if load == STEPS:
        keys = {"replay_buffer_capacity": 50_000, "train_batch_size": 256, "preload_ratio": 0.5}
    else:
        keys = {
            "replay_buffer_capacity": LOADS[load].capacity,
            "train_batch_size": LOADS[load].batch,
            "preload_ratio": 0.5,
        }
    return TableSpec(kind=kind), App(**keys)


def steps(count: int) -> Any:
    """Single steps as an aisrv sends them: what Kaiwu's SampleData of a small game holds."""
    from kaimesh.contract.arrays import Batch

    generator = np.random.default_rng(0)
    return Batch(
        {
            "obs": generator.random((count, 16), np.float32),
            "_obs": generator.random((count, 16), np.float32),
            "act": generator.integers(0, 4, count),
            "rew": generator.random(count, np.float32),
            "done": np.zeros(count, bool),
            "_model_version": np.zeros(count, np.int64),
            "_run_id": np.zeros(count, np.int64),
        }
    )


# ---- the servers


def serve_ours(load: str, port: int, ingest_port: int, kind: str = "replay") -> None:
    """Our buffer, until it is killed."""
    from kaimesh.buffer.ingest import Ingest
    from kaimesh.buffer.server import IngestServer
    from kaimesh.process.meter import Meter

    table, app = app_of(load, kind)
    ingest = Ingest(table, app, port=port)
    server = IngestServer(("127.0.0.1", ingest_port), token=TOKEN, ingest=ingest, meter=Meter("buffer_0"))
    report({"ready": True})
    while True:
        server.step()


def serve_bare(load: str, port: int, _: int) -> None:
    """Reverb alone, until it is killed."""
    import reverb
    import tensorflow as tf

    table = reverb.Table(
        "samples",
        reverb.selectors.Uniform(),
        reverb.selectors.Fifo(),
        LOADS[load].capacity,
        reverb.rate_limiters.MinSize(1),
        signature=tf.TensorSpec(LOADS[load].shape, tf.float32),
    )
    server = reverb.Server([table], port=port)
    report({"ready": True})
    server.wait()


# ---- the clients: each fills the table, then measures for `seconds`


def insert_ours(load: str, _: int, ingest_port: int, seconds: float, fill: bool = False) -> float:
    """Rows/s that are acknowledged."""
    from kaimesh.buffer.sending.sender import SampleSender
    from kaimesh.contract.arrays import Batch
    from kaimesh.process.meter import Meter

    shape, frame = LOADS[load].shape, min(16, max(1, (1 << 20) // int(4 * np.prod(LOADS[load].shape))))
    batch = Batch({"row": np.random.default_rng(0).random((frame, *shape), np.float32)})
    meter = Meter("aisrv_0")
    sender = SampleSender(
        [f"127.0.0.1:{ingest_port}"],
        token=TOKEN,
        name="aisrv_0",
        window=frame * max(4, 64 // frame),
        meter=meter,
        stop=threading.Event(),
    )

    def put() -> None:
        sender.put(batch)

    if fill:
        for _ in range(-(-LOADS[load].capacity // frame)):
            put()
        assert sender.flush(CLIENT_DIES_S)
        sender.close()
        return 0.0
    return frame * timed(put, lambda: sender.flush(CLIENT_DIES_S), seconds)


def insert_bare(load: str, port: int, _: int, seconds: float, fill: bool = False) -> float:
    """Rows/s that are confirmed."""
    import reverb

    row = np.random.default_rng(0).random(LOADS[load].shape, np.float32)
    writer = reverb.Client(f"127.0.0.1:{port}").trajectory_writer(1)
    keep = 20 if row.nbytes < 1 << 20 else 2

    def put() -> None:
        writer.append(row)
        writer.create_item("samples", 1.0, writer.history[-1])
        writer.flush(block_until_num_items=keep)

    if fill:
        for _ in range(LOADS[load].capacity):
            put()
        writer.flush()
        return 0.0
    return timed(put, writer.flush, seconds)


def sample_ours(load: str, port: int, ingest_port: int, seconds: float) -> float:
    """Rows/s in batches of the caller's own arrays."""
    insert_ours(load, port, ingest_port, 0, fill=True)
    with_reader = open_reader(load, port, ingest_port)
    return app_of(load)[1].train_batch_size * timed(lambda: touch(with_reader().row), None, seconds)


def sample_bare(load: str, port: int, _: int, seconds: float) -> float:
    """Rows/s in batches, as numpy."""
    import reverb

    insert_bare(load, port, 0, 0, fill=True)
    dataset = reverb.TrajectoryDataset.from_table_signature(
        f"127.0.0.1:{port}",
        "samples",
        max_in_flight_samples_per_worker=LOADS[load].in_flight,
        num_workers_per_iterator=1,
    )
    iterator = iter(dataset.batch(LOADS[load].batch, drop_remainder=True).prefetch(2))
    return LOADS[load].batch * timed(lambda: touch(np.asarray(memoryview(next(iterator).data))), None, seconds)


def learn_ours(load: str, port: int, ingest_port: int, seconds: float, kind: str = "replay") -> float:
    """Single steps/s that `learn` gets as its list of SampleData."""
    from kaimesh.contract.arrays import Batch
    from kaimesh.contract.structs import attached, create_cls, sample_list

    attached(create_cls("SampleData", obs=None, _obs=None, act=None, rew=None, done=None))
    stop = threading.Event()
    feeder = threading.Thread(target=feed_steps, args=(ingest_port, kind, stop))
    feeder.start()
    next_batch = open_reader(load, port, ingest_port, kind)

    def learn(samples: Any) -> None:
        assert samples[0].obs.shape == (16,)  # a list of structs
        touch(samples.obs, samples._obs, samples.act, samples.rew, samples.done)  # and its columns

    def step() -> None:
        batch = next_batch()
        learn(sample_list(Batch({name: column for name, column in batch.columns.items() if not name.startswith("_m")})))

    rate = timed(step, None, seconds)
    stop.set()
    feeder.join()
    return app_of(load, kind)[1].train_batch_size * rate


def feed_steps(ingest_port: int, kind: str, stop: threading.Event) -> None:
    """Fills a replay table once; keeps a queue full."""
    from kaimesh.buffer.sending.sender import SampleSender
    from kaimesh.contract.errors import Stopped
    from kaimesh.process.meter import Meter

    sender = SampleSender(
        [f"127.0.0.1:{ingest_port}"], token=TOKEN, name="aisrv_0", window=16_000, meter=Meter("a"), stop=stop
    )
    batch, sent = steps(1000), 0
    try:
        while (sent < 50_000 or kind == "queue") and not stop.is_set():
            sender.put(batch)
            sent += 1000
        if kind == "replay":
            assert sender.flush(CLIENT_DIES_S)
    except Stopped:
        pass
    sender.close()


def open_reader(load: str, port: int, ingest_port: int, kind: str = "replay") -> Callable[[], Any]:
    """The `next_batch` of a Reader."""
    from kaimesh.buffer.drawing.reader import Reader
    from kaimesh.config import AlgoEntry, Config
    from kaimesh.process.meter import Meter

    table, app = app_of(load, kind)
    reader = Reader(
        [f"127.0.0.1:{port}"], [f"127.0.0.1:{ingest_port}"], TOKEN, batch_size=app.train_batch_size, table=table,
        config=Config(app, AlgoEntry("a", "a.A", "a.A", "a.A", "a.w"), {}, (), ""), meter=Meter("learner_0"),
    )  # fmt: skip

    def next_batch() -> Any:
        batch = reader.next_batch(CLIENT_DIES_S)
        assert batch is not None, "no batch came"
        return batch

    return next_batch


def touch(*arrays: np.ndarray) -> None:
    """Reads one value of each row."""
    for array in arrays:
        array.reshape(len(array), -1)[:, -1].sum()


def timed(action: Callable[[], Any], finish_up: Callable[[], Any] | None, seconds: float) -> float:
    """Actions/s, after a warm-up; with what is left over waited for."""
    warm = time.perf_counter() + seconds / 4
    while time.perf_counter() < warm:
        action()
    if finish_up is not None:
        finish_up()
    start, count = time.perf_counter(), 0
    while time.perf_counter() < start + seconds:
        action()
        count += 1
    if finish_up is not None:
        finish_up()
    return count / (time.perf_counter() - start)


# ---- the conductor


def report(data: dict[str, Any]) -> None:
    """One line for the conductor."""
    print(json.dumps(data), flush=True)


def child(role: str, *arguments: Any) -> subprocess.Popen[str]:
    """This file in another process, in a role."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "GRPC_VERBOSITY": "ERROR"}
    command = [sys.executable, "-m", "benchmarks.buffer", "--role", role, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)


def answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The next line that the child reports. Raises RuntimeError: it ended before."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("{"):
            data: dict[str, Any] = json.loads(line)
            return data
    raise RuntimeError(f"{process.args} ended with {process.wait()}")


def once(what: str, side: str, load: str, seconds: float, *more: str) -> float:
    """One short measurement with a server and a client of its own."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    server = child(f"serve_{side}", load, *ports, *more)
    try:
        answer(server)
        client = child(f"{what}_{side}", load, *ports, seconds, *more)
        rate = float(answer(client)["rate"])
        client.wait(CLIENT_DIES_S)
        return rate
    finally:
        server.kill()
        server.wait()


def compare(load: Load, what: str, runs: int, seconds: float) -> dict[str, Any]:
    """Ours and bare in turn."""
    rates: dict[str, list[float]] = {"ours": [], "bare": []}
    for _ in range(runs):
        for side, found in rates.items():
            found.append(once(what, side, load.name, seconds))
    ours, bare = (statistics.median(rates[side]) for side in ("ours", "bare"))
    return {
        "ours_per_s": round(ours, 1), "bare_per_s": round(bare, 1), "share": round(ours / bare, 3),
        "target_share": SHARE_TARGET, "met": ours >= SHARE_TARGET * bare,
        "runs": {side: [round(r, 1) for r in found] for side, found in rates.items()},
    }  # fmt: skip


def main() -> None:
    """Prints, and with --json writes, the results."""
    bypass()
    if len(sys.argv) > 2 and sys.argv[1] == "--role":
        role, load, port, ingest_port, *rest = sys.argv[2:]
        arguments = [float(a) if a[0].isdigit() else a for a in rest]
        rate = globals()[role](load, int(port), int(ingest_port), *arguments)
        report({"rate": rate})
        sys.stdout.flush()
        os._exit(0)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results: dict[str, Any] = {}
    for load in LOADS.values():
        for what in ("insert", "sample"):
            results[f"{load.name}/{what}"] = compare(load, what, options.runs, options.seconds)
            print(f"{load.name}/{what}: {results[f'{load.name}/{what}']}", file=sys.stderr)
    for kind in ("replay", "queue"):
        rates = [once("learn", "ours", STEPS, options.seconds, kind) for _ in range(options.runs)]
        median = statistics.median(rates)
        results[f"{STEPS}/{kind}/learn"] = {
            "rows_per_s": round(median), "target": STEPS_TARGET, "met": median >= STEPS_TARGET,
            "runs": [round(r) for r in rates],
        }  # fmt: skip
        print(f"{STEPS}/{kind}: {results[f'{STEPS}/{kind}/learn']}", file=sys.stderr)
    finish("buffer", results, options.json)


if __name__ == "__main__":
    as_program(main)
