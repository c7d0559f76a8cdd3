"""Connects the parts of a reanalyse process: the reader of the buffer, an actor, the sender of copies."""

from __future__ import annotations

import math
import time

from kaimesh.actor.client import REANALYSER, ActorClient
from kaimesh.buffer.drawing.control import Controls, RemoteControl
from kaimesh.buffer.sending.sender import REFRESHER, SampleSender
from kaimesh.contract.agent import user_code
from kaimesh.contract.arrays import Batch
from kaimesh.contract.errors import PeerError
from kaimesh.contract.user_agent import check_reanalysing
from kaimesh.process.life import Context, set_tensorflow_threads
from kaimesh.reanalyse.refresher import Refresher

SAMPLES = 16  # drawn at once; few, so that copies are of the newest model
CONNECTIONS = 4  # to actors: an actor reads one request at a time from each
WINDOW = 256  # copies under way to the buffer
_LAST_S = 5.0  # how long it waits at its end until they are stored
_WAIT_S, _RETRY_S, _ASK_S = 0.5, 0.5, 0.25


class ReanalyseService:
    """Searches again until the process is asked to stop. Raises ConfigError: the algorithm's samples cannot be."""

    def __init__(self, context: Context) -> None:
        self._context = context
        app, config = context.config.app, context.config
        self._user = context.make_agent()
        check_reanalysing(self._user.agent, config.app.algo)
        set_tensorflow_threads(context.threads)
        from kaimesh.buffer.drawing.reader import Reader  # imports Reverb and TensorFlow

        self._reader = Reader(
            app.buffer_addrs,
            app.buffer_ingest_addrs,
            context.token,
            batch_size=min(SAMPLES, app.train_batch_size),
            table=self._user.table,
            config=config,
            meter=context.meter,
            restored=lambda stored: stored,  # copies are stored as the samples are
            logger=context.logger,
        )
        controls = [RemoteControl(address, context.token, context.name) for address in app.buffer_ingest_addrs]
        self._controls = Controls(controls)
        self._asked_at = -math.inf
        self._sender: SampleSender | None = None
        self._actors: list[ActorClient] = []

    def run(self) -> None:
        """Waits for the spaces and the first samples, then works until the stop."""
        context, app = self._context, self._context.config.app
        meter, stop, user = context.meter, context.stop, self._user
        spaces = self._reader.spaces(stop)
        if user.prepared is not None:
            with user_code("reanalyse: Agent.setup"):
                user.prepared.setup(spaces)
        assert user.reanalysing is not None
        self._sender = sender = SampleSender(
            app.buffer_ingest_addrs, token=context.token, name=context.name, window=WINDOW, meter=meter, stop=stop,
            spaces=spaces, role=REFRESHER, logger=context.logger,
        )  # fmt: skip
        self._actors = [
            ActorClient(
                app.actor_addrs, token=context.token, name=f"{context.name}/{i}", turn=context.index + i, meter=meter,
                stop=stop, spaces=spaces, timeout_s=app.predict_timeout_seconds / app.reanalyse_actor_share,
                role=REANALYSER,
            )
            for i in range(CONNECTIONS)
        ]  # fmt: skip
        rows = min(app.predict_batch_size, user.predict_rows_at_most or app.predict_batch_size)
        refresh = Refresher(user, user.reanalysing, self._actors, rows=rows, meter=meter)
        waiting = meter.phase("wait")
        while not stop.is_set():
            with waiting:
                drawn = self._drawn()
            if drawn is not None:
                meter.state("working")
                sender.put(refresh(drawn))

    def _drawn(self) -> Batch | None:
        """Samples to search again; None: not now, and the state says why."""
        meter, now = self._context.meter, time.monotonic()
        try:
            if now - self._asked_at >= _ASK_S:
                if all(data.get("enough_copies", False) for data in self._controls.describe()):
                    meter.state("waiting", "learner: it is to draw the fresh copies that there are first")
                    self._context.stop.wait(_ASK_S)
                    return None
                self._asked_at = now
            drawn = self._reader.next_batch(_WAIT_S)
        except PeerError as error:
            meter.state("waiting", f"buffer: {error}")
            self._context.stop.wait(_RETRY_S)
            return None
        if drawn is None:
            meter.state("waiting", "buffer: too few samples to draw from")
        return drawn

    def close(self) -> None:
        """Waits for the last acknowledgements, then closes the connections."""
        if self._sender is not None:
            self._sender.flush(_LAST_S)
            self._sender.close()
        for actor in self._actors:
            actor.close()
        self._controls.close()
        self._reader.close()
