"""The whole mesh in one process, without sockets, to debug an agent: this is what train_test.py runs.

SerialMesh holds actor, buffer, learner and model pool as plain objects. `run` connects them to an aisrv and trains;
`check` checks that samples, learns and models passed through all of them.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaimesh.config import load
from kaimesh.config.check import fresh_samples
from kaimesh.config.load import DEFAULT_CONF
from kaimesh.config.packages import find_own_code
from kaimesh.contract.columns import MODEL_VERSION
from kaimesh.contract.errors import EXIT_OK, ConfigError, MeshError, Stopped
from kaimesh.contract.predicting import only_latest
from kaimesh.contract.user_agent import table_of
from kaimesh.operate.cli.start import overrides_of
from kaimesh.process.agents import dotted
from kaimesh.process.documents import write_text
from kaimesh.process.life import Context, set_threads
from kaimesh.process.logs import configure as configure_logging
from kaimesh.process.meter import Meter
from kaimesh.process.run_dir import RunDir
from kaimesh.process.turn import Turn
from kaimesh.process.watch import Watch
from kaimesh.wire.proxies import bypass, hosts_of

if TYPE_CHECKING:
    from kaimesh.config import Config
    from kaimesh.contract.arrays import Batch
    from kaimesh.contract.spaces import Spaces
    from kaimesh.training.checkpoint import ModelInfo

# Small, so that the first learn comes at once. On-policy, so that the order of all steps is fixed.
SETTINGS = {
    "wrapper_type": "remote",
    "algorithm_on_policy_or_off_policy": "on-policy",
    "aisrv_count": "1",
    "aisrv_connect_to_kaiwu_env_count": "4",
    "train_batch_size": "4",
    "replay_buffer_capacity": "64",
    "preload_ratio": "0.05",
    "dump_model_freq": "1",
    "model_file_sync_per_minutes": "0",
    "model_file_load_per_minutes": "0",
    "buffer_checkpoint_seconds": "0",
}
# Samples of a replay table are drawn again and again, whichever model made them. One thread both inserts and draws
# here, so a rate limiter that makes an insert wait for a draw would stop it for ever.
OFF_POLICY = {"algorithm_on_policy_or_off_policy": "off-policy"}
REPLAY_SETTINGS = {**OFF_POLICY, "reverb_rate_limiter": "MinSize"}
LEARN_S = 60.0  # if no learn begins within this time, its samples were lost


class SerialMesh:
    """Actor, buffer, learner and model pool as plain objects. For the aisrv, it is both Links and Sender
    (kaimesh.aisrv.links).

    `put` stores samples, and before it returns, the learner learns as often as there are enough of them:

        put samples -> ingest -> Reverb table -> reader -> trainer: learn, dump -> store (pool) -> batcher: load
    """

    def __init__(self, context: Context, spaces: Spaces, learns: int, turn: Turn) -> None:
        from kaimesh.actor.batcher import Batcher
        from kaimesh.buffer.drawing.reader import Reader
        from kaimesh.buffer.ingest import Ingest
        from kaimesh.learner.replay_share import FRESH_BATCHES, replay_share
        from kaimesh.learner.trainer import Trainer
        from kaimesh.model_pool.store import Store

        app = context.config.app
        self._context, self._spaces, self._learns = context, spaces, learns
        learner_agent, actor_agent = (context.make_agent(kind) for kind in ("learner", "actor"))
        for user in (learner_agent, actor_agent):
            if user.prepared is not None:
                user.prepared.setup(spaces)
        self.batcher = Batcher(actor_agent, max_rows=app.predict_batch_size, meter=context.meter)
        self.store = Store(context.run.model_pool, app.modelpool_max_save_model_count)
        self.ingest = Ingest(learner_agent.table, app, meter=context.meter)
        self.reader = Reader(
            [],
            [],
            context.token,
            batch_size=app.train_batch_size,
            table=learner_agent.table,
            config=context.config,
            meter=context.meter,
            controls=[self.ingest],
            completer=partial(
                replay_share, app=app, table=learner_agent.table, meter=context.meter, logger=context.logger
            ),
        )
        self.trainer = Trainer(
            learner_agent,
            self.reader,
            config=context.config,
            run=context.run,
            meter=context.meter,
            logger=context.logger,
            publish=self._publish,
        )
        self.trainer.start()
        self._on_policy = app.algorithm_on_policy_or_off_policy == "on-policy"
        # How many fresh samples each coming learn takes; the last number holds for all learns after these.
        self._wanted = [*[app.train_batch_size] * FRESH_BATCHES, fresh_samples(app)]
        self._waiting = 0  # samples in the buffer that the next learn may use
        self._turn = turn  # Kaiwu-style slots are threads, and only one may use the agents at a time

    @property
    def sender(self) -> SerialMesh:
        """This object: see `put`."""
        return self

    def policy(self, slot: int) -> SerialPolicy:
        """A policy that predicts by the one batcher."""
        del slot
        return SerialPolicy(self)

    def save_model(self) -> int:
        """See Links. The model is saved at once."""
        with self._turn("save_model", harmless=True):
            return self.trainer.user_save()

    def samples_short(self, version: int) -> int:
        """Always 0: no learn is waiting for samples, because `put` returns only after the learns that they allow."""
        del version
        return 0

    def put(self, batch: Batch) -> None:
        """Stores the samples, then learns as often as there are enough. Raises Stopped after the last learn."""
        with self._turn("storing samples, learning"):
            self._check_stop()
            self.ingest.declare(batch.specs, self._spaces)
            self.ingest.insert(batch)
            self._store_all()
            self._waiting += self._usable(batch)
            while self._waiting >= self._wanted[0]:
                if not self.trainer.step(LEARN_S):
                    raise MeshError(
                        f"no learn within {LEARN_S:.0f} s although the buffer holds {self._waiting} samples, so "
                        "training ends here. Look at the log above for what the learner waits for."
                    )
                self._waiting = 0 if self._on_policy else self._waiting - self._wanted[0]
                self._wanted = self._wanted[1:] or self._wanted
                if self.trainer.train_count >= self._learns:
                    self._context.stop.set()
                    raise Stopped

    def waiting_for(self) -> str:
        """How many samples there are of those that the next learn needs."""
        return f"buffer: {self._waiting} of {self._wanted[0]} samples"

    def flush(self, timeout_s: float) -> bool:
        """True: after `put`, no sample is on its way."""
        del timeout_s
        return True

    def close(self) -> None:
        """Closes the reader and Reverb."""
        self.reader.close()
        self.ingest.close()

    def predict(self, batch: Batch, exploit: bool) -> tuple[Batch, int]:
        """Predicts one batch by the actor's core; returns act columns and the model's version."""
        with self._turn("exploit" if exploit else "predict"):
            self._check_stop()
            return self.batcher.predict([batch], exploit)[0], self.batcher.version

    def _check_stop(self) -> None:
        if self._context.stop.is_set():
            raise Stopped

    def _usable(self, batch: Batch) -> int:
        """How many samples of `batch` will be learned from: on-policy, those of older models are dropped."""
        if not self._on_policy:
            return len(batch)
        return int((batch.columns[MODEL_VERSION] == self.trainer.train_count).sum())

    def _store_all(self) -> None:
        deadline = time.monotonic() + LEARN_S
        while not self.ingest.flush(1.0):
            if time.monotonic() > deadline:
                raise MeshError(
                    "the buffer takes no more and nothing draws from it, so training would wait for ever. Raise "
                    "replay_buffer_capacity."
                )

    def _publish(self, folder: Path, info: ModelInfo) -> None:
        """Takes a dump from the learner to the model pool, and from there to the actor, as files like in a mesh."""
        self.store.put(folder, info)
        pulled = self._context.run.root / "actor_0" / "models" / str(info.id)
        self.store.get("latest", pulled)
        self.batcher.load(pulled, info.id)


class SerialPolicy:
    """A Policy (kaimesh.aisrv.policy) that predicts by a SerialMesh."""

    def __init__(self, mesh: SerialMesh) -> None:
        self._mesh = mesh
        self._answer: tuple[Any, int] | None = None

    def send(self, batch: Batch, exploit: bool = False, model: int | str = "latest") -> None:
        """See Policy; predicts at once."""
        only_latest(model, "the actor in this process")
        self._answer = self._mesh.predict(batch, exploit)

    def receive(self) -> tuple[Batch, int]:
        """The predictions for the last `send`, and the version of the model that made them."""
        assert self._answer is not None
        return self._answer

    def load_model(self, id: int | str) -> int:
        """Does nothing: the actor in this process always has the newest model. Returns its version."""
        del id
        return self._mesh.batcher.version

    def version(self) -> int:
        """See Policy."""
        return self._mesh.batcher.version

    def close(self) -> None:
        """Does nothing: there is no connection."""


def configured(algo: str, conf: str | Path, seed: int | None, settings: dict[str, str]) -> Config:
    """The configuration in the file `conf`, with SETTINGS, and with `settings` on top. Raises ConfigError."""
    given = {"algo": algo, **({} if seed is None else {"random_seed": str(seed)}), **settings}
    config = load(conf, {**SETTINGS, **REPLAY_SETTINGS, **given})
    bypass(hosts_of(config.addresses))
    table = table_of(dotted(config.algo.learner_agent))
    if table.kind != "replay":
        config = load(conf, {**SETTINGS, **(OFF_POLICY if config.app.replay_share else {}), **given})
    if config.app.wrapper_type != "remote":
        raise ConfigError(
            f"wrapper_type = {config.app.wrapper_type}: train_test.py tries the remote path and would wait for ever. "
            "Leave it out, or use ./tools/start.sh."
        )
    for warning in config.warnings:
        print(f"note: {warning}", file=sys.stderr)
    return config


def run(config: Config, learns: int, watched: bool = True) -> RunDir:
    """Trains `learns` times and checks the result; returns the run's directory. Raises what the agent raised.

    watched: whether to end the process if nothing happens for watchdog_seconds.
    """
    from kaimesh.aisrv.service import AisrvService

    run_dir = RunDir(Path(config.app.runs_dir) / "train_test")
    shutil.rmtree(run_dir.root, ignore_errors=True)
    run_dir.prepare()
    os.environ["KAIMESH_RUN_DIR"] = str(run_dir.root)
    write_text(run_dir.conf, config.to_toml())
    meter = Meter("train_test", run_dir.status / "train_test.json")
    logger = configure_logging("train_test", config.app.log_level)
    context = Context("train_test", 0, config, run_dir, run_dir.token(), 1, meter, logger, threading.Event())
    made: list[SerialMesh] = []
    turn = Turn()

    def links(context: Context, spaces: Spaces) -> SerialMesh:
        made.append(SerialMesh(context, spaces, learns, turn))
        return made[0]

    app = config.app
    watch = Watch.over(meter, turn, app.watchdog_seconds, app.report_seconds, config.algo.train_workflow)
    if watched:
        watch.start()
    service = AisrvService(context, make_links=links)
    watch.built = True
    try:
        service.run()
    except Stopped:
        pass
    finally:
        service.close()
        watch.stop()
    mesh = made[0]
    mesh.trainer.close()
    meter.publish()
    check(mesh, run_dir, learns)
    return run_dir


def check(mesh: SerialMesh, run_dir: RunDir, learns: int) -> None:
    """Raises MeshError: a step on the way from samples to the actor's new model did not happen."""
    from kaimesh.training import checkpoint

    snapshot = mesh._context.meter.snapshot()
    losses = {name: value for name, value in snapshot["gauges"].items() if name.startswith("learn/")}
    dumped = [info.id for info in checkpoint.models(run_dir.ckpt)]
    pooled = mesh.store.latest()
    learned = f"{mesh.trainer.train_count} of {learns} learns" if mesh.trainer.train_count else "nothing was learned"
    problems = [
        (
            mesh.trainer.train_count < learns,
            f"{learned}: the workflow ended, and the learner still waited for {mesh.waiting_for()}",
        ),
        (not snapshot["counters"].get("inserted"), "no sample reached the buffer: does the workflow call agent.learn?"),
        (not all(map(math.isfinite, losses.values())), f"a metric is not finite: {losses}; look at the loss in learn"),
        (learns not in dumped, f"checkpoint {learns} was not dumped; there are {dumped}: does save_model write it?"),
        (
            pooled is None or pooled.id != learns,
            f"the model pool's newest model is {pooled and pooled.id}, not {learns}",
        ),
        (mesh.batcher.version != learns, f"the actor predicts with model {mesh.batcher.version}, not {learns}"),
    ]
    if wrong := [text for failed, text in problems if failed]:
        raise MeshError("; ".join(wrong))
    print(
        f"{snapshot['counters'].get('env_steps', 0):,.0f} env steps, {snapshot['counters']['inserted']:,.0f} samples, "
        f"{learns} learns, models {dumped}; " + ", ".join(f"{name} {value:.4g}" for name, value in losses.items())
    )


def main(algo: str, description: str) -> int:
    """The command line of train_test.py; returns the exit code. algo: the default. description: for --help."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algo", default=algo, help="a table of conf/algo_conf.toml (default: %(default)s)")
    parser.add_argument("--conf", default=DEFAULT_CONF, help="configuration (default: conf/configure_app.toml)")
    parser.add_argument("--learns", type=int, default=3, help="learns to do (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="random_seed")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a key of the configuration, repeatable"
    )
    parser.add_argument("--no-watchdog", action="store_true", help="never end because nothing moves")
    arguments = parser.parse_args()
    set_threads(1)
    find_own_code()
    try:
        settings = overrides_of(None, None, arguments.set)
        config = configured(arguments.algo, arguments.conf, arguments.seed, settings)
        directory = run(config, arguments.learns, watched=not arguments.no_watchdog)
    except ConfigError as error:
        sys.exit(str(error))
    print(f"Train test succeed ({directory.root})", flush=True)
    return EXIT_OK
