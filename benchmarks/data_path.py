"""How long the learner waits for data while the buffer is full: real unrolls through Reverb into a real `learn`.

    .venv/bin/python -m benchmarks.data_path                           # IMPALA on ale:pong, batches of 16 x 20 steps
    .venv/bin/python -m benchmarks.data_path --algo dqn --app ale:pong

One process: a thread keeps the table full with unrolls that were rolled out before, the learner's reader draws, `learn`
runs in the main thread. Measured twice: as samples are stored, with single frames, and with whole stacks in their
place, the way it would be without kaimesh/contract/stacking. Prints JSON: `wait_share` is the time without a batch as a
share of all, `restore_ms` what stacking costs.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import as_program, finish
from kaimesh import envs
from kaimesh.config import Config, load
from kaimesh.config.load import DEFAULT_CONF
from kaimesh.contract import stacking
from kaimesh.contract.arrays import Batch
from kaimesh.contract.user_agent import UserAgent
from kaimesh.operate.cli.start import overrides_of
from kaimesh.process.agents import make_agent
from kaimesh.process.life import set_threads
from kaimesh.process.meter import Meter
from kaimesh.process.run_dir import RunDir
from kaimesh.wire.proxies import bypass

_BATCHES = 3  # of different samples, which the feeder repeats
_LET_IN_S = 0.05
_RESTORED = 20


def main() -> None:
    """Measures both and reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--app", default="ale:pong")
    parser.add_argument("--algo", default="impala")
    parser.add_argument("--learns", type=int, default=30, help="measured, after three to warm up")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in tools/start.sh")
    parser.add_argument("--json", type=Path, help="also write the JSON here")
    arguments = parser.parse_args()
    set_threads(os.cpu_count() or 1)
    bypass()
    settings = ["dump_model_freq=1000000", "replay_share=0", *arguments.set]  # every sample comes from the buffer
    config = load(DEFAULT_CONF, overrides_of(arguments.app, arguments.algo, settings))
    samples = unrolls(config)
    found = {"as_stored": measure(config, samples, arguments.learns)}
    if stacking.FRAMES in samples[0].columns:
        found["with_stacks"] = measure(config, [stacking.restored(batch) for batch in samples], arguments.learns)
        found["as_stored"]["restore_ms"] = restore_ms(samples[0])
    report = {"app": arguments.app, "algo": arguments.algo, "set": arguments.set, "learns": arguments.learns}
    finish("data_path", {**report, "load_average": os.getloadavg()[0], **found}, arguments.json)


def unrolls(config: Config) -> list[Batch]:
    """Batches of train_batch_size samples, as aisrv sends them."""
    from kaimesh.aisrv.policy import AgentPolicy
    from kaimesh.aisrv.rollout import Group

    app = config.app
    kept: list[Batch] = []

    class Keeper(AgentPolicy):
        on_policy = False

        def __init__(self, user: UserAgent) -> None:
            super().__init__(user, version=lambda: 0)
            self.user = user

        def learn(self, samples: Batch) -> None:
            kept.append(Batch({name: column.copy() for name, column in samples.columns.items()}))

    user, env = agent_of(config)
    assert user.vectorised is not None
    length = user.vectorised.unroll_length
    group = Group(env, Keeper(user), length, Meter("aisrv_0"), run_id=0, seed=app.random_seed)
    while len(kept) < _BATCHES:
        group.advance()
    env.close()
    return kept


def agent_of(config: Config) -> tuple[UserAgent, Any]:
    """An untrained agent that can do everything, and environments for a batch of samples as it sees them."""
    app = config.app
    user = make_agent(config, "learner", logger=logging.getLogger("agent"))
    env = envs.make_vector(
        app.app,
        app.train_batch_size,
        env_conf=app.env_conf,
        seed=1,
        max_episode_steps=app.max_episode_steps,
        unit_actions=user.unit_actions,
    )
    seen = envs.featured(env, user.featured)
    assert user.prepared is not None  # as every algorithm of ours
    user.prepared.setup(seen.spaces)
    return user, seen


def measure(config: Config, samples: list[Batch], learns: int) -> dict[str, float]:
    """Learns from a table that is kept full."""
    from kaimesh.buffer.drawing.reader import Reader
    from kaimesh.buffer.ingest import Ingest
    from kaimesh.learner.trainer import Trainer

    user, env = agent_of(config)
    env.close()
    meter, logger = Meter("learner_0"), logging.getLogger("learner")
    ingest = Ingest(user.table, config.app, meter=Meter("buffer_0"))
    ingest.declare(samples[0].specs, None)
    done = threading.Event()
    feeder = threading.Thread(target=_feed, args=(ingest, samples, done), daemon=True)
    batch_size = config.app.train_batch_size
    reader = Reader([], [], "", batch_size=batch_size, table=user.table, config=config, meter=meter, controls=[ingest])
    with tempfile.TemporaryDirectory() as folder:
        run = RunDir(Path(folder))
        run.prepare()
        trainer = Trainer(
            user,
            reader,
            config=config,
            run=run,
            meter=meter,
            logger=logger,
            publish=lambda _path, _info: None,
        )
        trainer.start()
        feeder.start()
        _learn(trainer, 3)
        before, start = meter.snapshot()["phase_seconds"], time.perf_counter()
        _learn(trainer, learns)
        seconds, after = time.perf_counter() - start, meter.snapshot()["phase_seconds"]
        done.set()
        feeder.join()
        reader.close()
        ingest.close()
    valid = sum(int(batch.mask.sum()) for batch in samples)
    rows = sum(map(len, samples))
    return {
        "learns_per_s": learns / seconds,
        "wait_share": (after["wait"] - before["wait"]) / seconds,
        "sample_bytes": samples[0].specs.row_bytes,
        "bytes_per_transition": samples[0].specs.row_bytes * rows / valid,
    }


def restore_ms(batch: Batch) -> float:
    """Milliseconds that it takes to give one batch its stacks back, in the reader's thread; the median."""
    times = []
    for _ in range(_RESTORED):
        start = time.perf_counter()
        stacking.restored(batch)
        times.append(1000 * (time.perf_counter() - start))
    return float(np.median(times))


def _feed(ingest: Any, samples: list[Batch], done: threading.Event) -> None:
    turn = 0
    while not done.is_set():
        if ingest.flush(_LET_IN_S, partial=False):
            ingest.insert(samples[turn % len(samples)])
            turn += 1


def _learn(trainer: Any, learns: int) -> None:
    until = trainer.train_count + learns
    while trainer.train_count < until:
        trainer.step(1.0)


if __name__ == "__main__":
    as_program(main)
