"""Connects the parts of a learner process: agent, reader, trainer, publisher, port."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from kaimesh.config.check import copies_in_batch
from kaimesh.contract.agent import user_code
from kaimesh.learner import learner_pb2 as pb
from kaimesh.learner.publisher import Publisher
from kaimesh.learner.replay_share import replay_share
from kaimesh.learner.server import LearnerServer
from kaimesh.learner.trainer import Trainer
from kaimesh.model_pool.client import ModelPoolClient
from kaimesh.process.life import Context, set_tensorflow_threads
from kaimesh.training.checkpoint import ModelInfo

_STEP_S = 0.25  # the longest time that a save or a stop waits while there are no samples
_LAST_PUSH_S = 10.0


class LearnerService:
    """One learner process. The main thread trains and saves; see kaimesh.learner.trainer for what runs beside it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        app = context.config.app
        self._user = context.make_agent(
            "learner"
        )  # first, because users' modules may configure heavy libraries on import
        self._set_threads()
        from kaimesh.buffer.drawing.copies import Copies  # these import Reverb and TensorFlow
        from kaimesh.buffer.drawing.reader import Reader

        self._reader = Reader(
            app.buffer_addrs,
            app.buffer_ingest_addrs,
            context.token,
            batch_size=app.train_batch_size,
            table=self._user.table,
            config=context.config,
            meter=context.meter,
            completer=partial(
                replay_share, app=app, table=self._user.table, meter=context.meter, logger=context.logger
            ),
            copies=partial(
                Copies,
                addrs=app.buffer_addrs,
                batch_size=app.train_batch_size,
                count=count,
                meter=context.meter,
                logger=context.logger,
            )
            if (count := copies_in_batch(app))
            else None,
            logger=context.logger,
        )
        self._pool = ModelPoolClient(app.model_pool_addr, context.token, logger=context.logger)
        self._publisher = Publisher(
            self._pool.push,
            every_s=60.0 * app.model_file_sync_per_minutes,
            meter=context.meter,
            logger=context.logger,
        )
        self._on_policy = app.algorithm_on_policy_or_off_policy == "on-policy"
        self._trainer = Trainer(
            self._user,
            self._reader,
            config=context.config,
            run=context.run,
            meter=context.meter,
            logger=context.logger,
            publish=self._publish,
            stop=context.stop,
        )
        self._server = LearnerServer(self._status, context.logger, context.meter)
        port = app.learner_addr.rpartition(":")[2]
        context.meter.info["port"] = self._server.start(
            f"{app.bind_host}:{port}", context.mesh_token, rights=context.config.rights
        )

    def run(self) -> None:
        """Resumes or begins, then trains until the stop. With a prepared agent it first waits for the spaces, which the
        first aisrv sends to the buffer.
        """
        stop, meter = self._context.stop, self._context.meter
        if self._user.prepared is not None:
            meter.state("waiting", "the first aisrv, which sends the spaces of its environments")
            spaces = self._reader.spaces(stop)
            with user_code("learner: Agent.setup"):
                self._user.prepared.setup(spaces)
        self._trainer.start()
        while not stop.is_set():
            self._server.serve_saves(self._trainer.user_save)
            self._trainer.step(_STEP_S)

    def close(self) -> None:
        """Dumps and pushes the last model, then closes port and connections."""
        try:
            self._trainer.close()
        finally:
            self._publisher.close(_LAST_PUSH_S)
            self._server.stop()
            self._pool.close()
            self._reader.close()

    def _publish(self, folder: Path, info: ModelInfo) -> None:
        if self._on_policy and not self._context.stop.is_set():
            self._publisher.submit_and_wait(folder, info, self._context.stop)
        else:
            self._publisher.submit(folder, info)

    def _status(self) -> pb.Status:
        return pb.Status(
            train_count=self._trainer.train_count,
            model_version=self._trainer.dumped_id,
            user_saves=int(self._context.meter.counters.get("user_saves", 0)),
            samples_short=self._trainer.samples_short,
        )

    def _set_threads(self) -> None:
        """Limits TensorFlow's threads. Reverb imports TensorFlow in this process, whatever the agent uses."""
        try:
            set_tensorflow_threads(self._context.threads)
        except RuntimeError as error:  # the agent's constructor has used TensorFlow already
            self._context.logger.warning(
                "learner_threads = %d has no effect, so TensorFlow uses as many threads as it likes: %s. Use "
                "TensorFlow in the agent's setup or later, not in its constructor.",
                self._context.threads,
                error,
            )
