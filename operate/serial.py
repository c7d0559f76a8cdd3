"""The whole mesh in one process, without sockets, to debug an agent: train_test.py trains in it.

SerialMesh holds actor, buffer, learner and model pool as plain objects, for an aisrv in the same process.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kaimesh.actor.models import Model
from kaimesh.config.check import fresh_samples
from kaimesh.contract.columns import MODEL_VERSION
from kaimesh.contract.errors import MeshError, Stopped
from kaimesh.contract.predicting import only_latest
from kaimesh.process.life import Context
from kaimesh.process.turn import Turn

if TYPE_CHECKING:
    from kaimesh.contract.arrays import Batch
    from kaimesh.contract.spaces import Spaces
    from kaimesh.training.checkpoint import ModelInfo

LEARN_S = 60.0  # if no learn begins within this time, its samples were lost


class SerialMesh:
    """Actor, buffer, learner and model pool as plain objects. For the aisrv, it is both Links and Sender
    (kaimesh.aisrv.links).

    `put` stores samples, and before it returns, the learner learns as often as there are enough of them:

        put samples -> ingest -> Reverb table -> reader -> trainer: learn, dump -> store (pool) -> batcher: load

    last: the id of the model after `learns` learns, with which it stops.
    """

    def __init__(self, context: Context, spaces: Spaces, learns: int, turn: Turn) -> None:
        from kaimesh.actor.batcher import Batcher
        from kaimesh.buffer.drawing.reader import Reader
        from kaimesh.buffer.ingest import Ingest
        from kaimesh.learner.replay_share import FRESH_BATCHES, replay_share
        from kaimesh.learner.trainer import Trainer
        from kaimesh.model_pool.store import Store

        app = context.config.app
        self._context, self._spaces, self._models = context, spaces, SerialModels()
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
        self._first = self.trainer.train_count  # above 0 for a preloaded model
        self.last = self._first + learns
        self._on_policy = app.algorithm_on_policy_or_off_policy == "on-policy"
        # How many fresh samples each coming learn takes; the last number holds for all learns after these.
        self._wanted = [*[app.train_batch_size] * FRESH_BATCHES, fresh_samples(app)]
        self._waiting = 0  # samples in the buffer that the next learn may use
        self._turn = turn  # Kaiwu-style slots are threads, and only one may use the agents at a time

    @property
    def learned(self) -> int:
        """Learns so far."""
        return self.trainer.train_count - self._first

    @property
    def sender(self) -> SerialMesh:
        """This object: see `put`."""
        return self

    def policy(self, slot: int) -> SerialPolicy:
        """A policy that predicts by the one batcher."""
        del slot
        return SerialPolicy(self)

    def models(self) -> SerialModels:
        """The models that the actor here has loaded."""
        return self._models

    def save_model(self) -> int:
        """See Links. The model is saved at once."""
        with self._turn("save_model", harmless=True):
            return self.trainer.user_save()

    def samples_short(self, version: int) -> int:
        """Always 0: no learn is waiting for samples, because `put` returns only after the learns that they allow."""
        del version
        return 0

    def put(self, batch: Batch) -> None:
        """Stores the samples, then learns as often as there are enough. Raises Stopped after the last learn.

        They are stored in pieces of what the next learn needs: nobody draws while this thread waits for room.
        """
        with self._turn("storing samples, learning"):
            self._check_stop()
            self.ingest.declare(batch.specs, self._spaces)
            while len(batch):
                count = self._wanted[0]
                self._take(batch[:count])
                batch = batch[count:]

    def _take(self, rows: Batch) -> None:
        """Stores one piece, and learns if there is enough."""
        rows = self._usable(rows)
        if not len(rows):
            return
        self.ingest.insert(rows)
        self._store_all()
        self._waiting += len(rows)
        while self._waiting >= self._wanted[0]:
            if not self.trainer.step(LEARN_S):
                raise MeshError(
                    f"no learn within {LEARN_S:.0f} s although the buffer holds {self._waiting} samples, so training "
                    "ends here. Look at the log above for what the learner waits for."
                )
            self._waiting = 0 if self._on_policy else self._waiting - self._wanted[0]
            self._wanted = self._wanted[1:] or self._wanted
            if self.trainer.train_count >= self.last:
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

    def _usable(self, rows: Batch) -> Batch:
        """The samples that may be learned from: on-policy, those of older models are stale."""
        if not self._on_policy:
            return rows
        current = rows.columns[MODEL_VERSION] == self.trainer.train_count
        if current.all():
            return rows
        self._context.meter.count("samples_stale", int((~current).sum()))
        return rows.take(np.flatnonzero(current))

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
        self._models.newest = Model(pulled, info.id)


class SerialModels:
    """The newest model, in a folder that stays."""

    def __init__(self) -> None:
        self.newest: Model | None = None

    def take(self) -> Model | None:
        """The newest model."""
        return self.newest


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
