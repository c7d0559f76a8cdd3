"""Predictions over TCP with a 128-256-256-17 MLP, against the same network called in process.

    python -m benchmarks.predict [--runs 5] [--seconds 2] [--network numpy] [--json FILE]

The network is run as a native agent's MLP is (NumPy, kaimesh.algorithms.networks.numpy_mlp) and as a user's TensorFlow
agent would.

Both sides are measured in one run: an actor (kaimesh.actor.server in a process of its own) asked by client processes
(kaimesh.actor.client, no TensorFlow in them), and Agent.predict on a batch of the same total size with nothing else
running. The medians of several short runs are reported, and what share of the in-process rate survives the trip.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import statistics
import sys
import threading
import time
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.report import as_program, finish
from kaimesh.contract.arrays import Batch
from kaimesh.process.meter import Meter

LAYERS = (128, 256, 256, 17)
TOKEN = "benchmark"
WARM_UP_S = 0.5


class Load(NamedTuple):
    """`clients` processes, each asking for `rows` observations at a time. target: predictions/s wanted."""

    clients: int
    rows: int
    target: int


LOADS = (Load(16, 1, 20_000), Load(4, 32, 150_000))


class NumpyAgent:
    """The network as the native agents' actors run it."""

    def __init__(self) -> None:
        from kaimesh.algorithms.networks import numpy_mlp
        from kaimesh.algorithms.networks.torso import Torso
        from kaimesh.contract.spaces import Part

        generator = np.random.default_rng(0)
        parts = (Part("obs", "<f4", (LAYERS[0],)),)
        self._torso = Torso(parts, "mlp", tuple(LAYERS[1:-1]), "relu", False)
        self._forward, self._weights = numpy_mlp.forward, {}
        for layer, (i, o) in enumerate(itertools.pairwise(LAYERS)):
            name = f"mlp/{layer}" if layer < len(LAYERS) - 2 else "head"
            self._weights[f"{name}/w"] = generator.normal(0, i**-0.5, (i, o)).astype(np.float32)
            self._weights[f"{name}/b"] = np.zeros(o, np.float32)

    def predict(self, list_obs_data: Batch) -> dict[str, np.ndarray]:
        """`logits` float32 [B, 17]."""
        features = self._forward(self._torso, self._weights, "mlp", list_obs_data.obs)
        return {"logits": features @ self._weights["head/w"] + self._weights["head/b"]}


class TensorFlowAgent:
    """The network as one concrete function: a fixed signature, so nothing retraces whatever the batch size."""

    def __init__(self) -> None:
        import tensorflow as tf

        generator = np.random.default_rng(0)
        pairs = list(itertools.pairwise(LAYERS))
        weights = [tf.Variable(generator.normal(0, i**-0.5, (i, o)).astype(np.float32)) for i, o in pairs]
        biases = [tf.Variable(tf.zeros(o)) for _, o in pairs]

        def forward(x: Any) -> Any:
            for w, b in zip(weights[:-1], biases[:-1], strict=True):
                x = tf.nn.relu(tf.nn.bias_add(tf.matmul(x, w), b))
            return tf.nn.bias_add(tf.matmul(x, weights[-1]), biases[-1])

        signature = [tf.TensorSpec([None, LAYERS[0]], tf.float32)]
        self._forward = tf.function(forward, input_signature=signature).get_concrete_function()
        self._constant = tf.constant

    def predict(self, list_obs_data: Batch) -> dict[str, np.ndarray]:
        """`logits` float32 [B, 17]."""
        return {"logits": self._forward(self._constant(list_obs_data.obs)).numpy()}


AGENTS: dict[str, type[Any]] = {"numpy": NumpyAgent, "tensorflow": TensorFlowAgent}


def serve(network: str, port: Connection, stop: Event) -> None:
    """The actor's process."""
    from kaimesh.actor.batcher import Batcher
    from kaimesh.actor.server import ActorServer

    meter = Meter("actor_0")
    batcher = Batcher(_read(AGENTS[network]()), max_rows=256, meter=meter)
    server = ActorServer(("127.0.0.1", 0), token=TOKEN, batcher=batcher, models=None, meter=meter)
    port.send(server.port)
    began_s = time.process_time()
    while not stop.is_set():
        server.step(0.2)
    predictions, batches = meter.counters["predictions"], meter.counters["batches"]
    cpu_s = time.process_time() - began_s
    port.send({"rows_per_batch": predictions / batches, "actor_cpu_us_per_prediction": cpu_s / predictions * 1e6})
    server.close()


def _read(agent: Any) -> Any:
    """`agent` as a batcher takes it; before version 0.2 that was the agent itself."""
    try:
        from kaimesh.contract.user_agent import read_agent
    except ImportError:
        return agent
    return read_agent(agent)


def ask(port: int, rows: int, start: Event, seconds: float, answer: Connection) -> None:
    """A client's process: asks for `seconds` after the start, and reports its predictions/s and its round trips [s]."""
    from kaimesh.actor.client import ActorClient

    client = ActorClient(
        [f"127.0.0.1:{port}"],
        token=TOKEN,
        name=f"client {os.getpid()}",
        meter=Meter("client"),
        stop=threading.Event(),
        spaces=None,
        timeout_s=30.0,
    )
    batch = Batch({"obs": np.random.default_rng(0).normal(size=(rows, LAYERS[0])).astype(np.float32)})
    client.predict(batch)
    answer.send("ready")
    start.wait()
    clock = time.perf_counter
    measured = clock() + WARM_UP_S
    while clock() < measured:
        client.predict(batch)
    trips = []
    began = before = clock()
    while before < began + seconds:
        client.predict(batch)
        now = clock()
        trips.append(now - before)
        before = now
    assert "tensorflow" not in sys.modules
    answer.send((len(trips) * rows / (before - began), trips))
    client.close()


def over_tcp(network: str, clients: int, rows: int, seconds: float) -> tuple[float, list[float], dict[str, float]]:
    """Predictions/s of all clients together, every round trip [s], and what the actor says of itself."""
    context = multiprocessing.get_context("spawn")
    stop, start = context.Event(), context.Event()
    port, port_end = context.Pipe()
    actor = context.Process(target=serve, args=(network, port_end, stop))
    actor.start()
    number = port.recv()
    pipes, processes = [], []
    for _ in range(clients):
        pipe, end = context.Pipe()
        process = context.Process(target=ask, args=(number, rows, start, seconds, end))
        process.start()
        pipes.append(pipe)
        processes.append(process)
    for pipe in pipes:
        assert pipe.recv() == "ready"
    start.set()
    results = [pipe.recv() for pipe in pipes]
    for process in processes:
        process.join()
    stop.set()
    told = port.recv()
    actor.join()
    return sum(rate for rate, _ in results), [trip for _, trips in results for trip in trips], told


def in_process(network: str, rows: int, seconds: float, answer: Connection) -> None:
    """Predictions/s of Agent.predict alone, at one batch size; runs in a process of its own."""
    agent = AGENTS[network]()
    batch = Batch({"obs": np.random.default_rng(0).normal(size=(rows, LAYERS[0])).astype(np.float32)})
    for _ in range(200):
        agent.predict(batch)
    count, began = 0, time.perf_counter()
    while (now := time.perf_counter()) < began + seconds:
        agent.predict(batch)
        count += rows
    answer.send(count / (now - began))


def alone(network: str, rows: int, seconds: float) -> float:
    """`in_process` in a child."""
    context = multiprocessing.get_context("spawn")
    pipe, end = context.Pipe()
    process = context.Process(target=in_process, args=(network, rows, seconds, end))
    process.start()
    rate: float = pipe.recv()
    process.join()
    return rate


def measure(network: str, runs: int, seconds: float) -> dict[str, Any]:
    """Everything of one network, the two sides taking turns."""
    loads = []
    for load in LOADS:
        served, direct, told = [], [], []
        for _ in range(runs):
            rate, _, actor = over_tcp(network, load.clients, load.rows, seconds)
            served.append(rate)
            told.append(actor)
            direct.append(alone(network, load.clients * load.rows, seconds))
        rate, limit = statistics.median(served), statistics.median(direct)
        loads.append(
            {
                **load._asdict(),
                "predictions_per_s": round(rate),
                "target_met": rate >= load.target,
                "in_process_per_s": round(limit),
                "share_of_in_process": round(rate / limit, 3),
                **{name: round(statistics.median(actor[name] for actor in told), 2) for name in told[0]},
                "predictions_per_s_runs": [round(r) for r in served],
            }
        )
    trips = [over_tcp(network, 1, 1, seconds)[1] for _ in range(runs)]
    percentiles = {
        f"p{p}": round(statistics.median(float(np.percentile(run, p)) for run in trips) * 1e6, 1) for p in (50, 90, 99)
    }
    return {"loads": loads, "round_trip_us": percentiles}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="runs whose median is reported (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=2.0, help="seconds of each run (default: %(default)s)")
    parser.add_argument("--network", choices=AGENTS, action="append", help="only this one (default: both)")
    parser.add_argument("--json", type=Path, help="write the result here too")
    arguments = parser.parse_args()
    from kaimesh.process.life import set_threads  # the children inherit the environment, and need not import this

    set_threads(1)
    networks = {
        name: measure(name, arguments.runs, arguments.seconds) for name in dict.fromkeys(arguments.network or AGENTS)
    }
    finish("predict", {"layers": "-".join(map(str, LAYERS)), "networks": networks}, arguments.json)


if __name__ == "__main__":
    as_program(main)
