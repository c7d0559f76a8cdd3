"""The buffer's process: Reverb, the ingest port, checkpoints."""

from __future__ import annotations

import threading
import time

from kaimesh.buffer.checkpoint import Checkpoints
from kaimesh.buffer.ingest import Ingest
from kaimesh.buffer.server import IngestServer
from kaimesh.contract.errors import MeshError
from kaimesh.process import agents
from kaimesh.process.life import Context
from kaimesh.wire.ports import free

_DRAIN_S = 5.0


class BufferService:
    """Serves until the process is asked to stop.

    Raises MeshError: a port is taken. ConfigError: the table that the algorithm and the keys describe could never
    deliver.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        app, index = context.config.app, context.index
        port, ingest_port = (int(a[index].rpartition(":")[2]) for a in (app.buffer_addrs, app.buffer_ingest_addrs))
        if not free(port):  # else Reverb would end the process in C++, and only when the first sample comes
            raise MeshError(
                f"buffer_addrs[{index}]: port {port} is taken; the learner could not draw samples. Change "
                "buffer_addrs, or end the process that uses the port."
            )
        table = agents.table(context.config)
        self._checkpoint_s = app.buffer_checkpoint_seconds
        checkpoints = Checkpoints(context.run.buffer / context.name, context.logger) if self._checkpoint_s else None
        self._checkpoints = checkpoints
        self._ingest = Ingest(
            table, app, port=port, checkpoints=checkpoints, meter=context.meter, logger=context.logger
        )
        try:
            self._server = IngestServer(
                (app.bind_host, ingest_port),
                token=context.mesh_token,
                rights=context.config.rights,
                ingest=self._ingest,
                meter=context.meter,
                logger=context.logger,
            )
        except OSError as error:
            raise MeshError(
                f"buffer_ingest_addrs[{index}]: {app.bind_host}:{ingest_port} cannot be opened ({error.strerror}); no "
                "aisrv could send samples. Change buffer_ingest_addrs, or end the process that uses the port."
            ) from error
        self._saving: threading.Thread | None = None
        self._last_save = time.monotonic()
        # A queue's samples are used once; those in a checkpoint made by the timer could be learned from again after a
        # restart.
        self._by_timer = checkpoints is not None and table.kind != "queue"
        context.meter.info["port"] = port
        context.meter.info["ingest_port"] = self._server.port
        context.logger.warning(
            "port %d is Reverb's: it has no authentication and listens on all interfaces. Keep it behind a firewall or "
            "in a "
            "private network.", port,
        )  # fmt: skip

    def run(self) -> None:
        """Restores a checkpoint, then serves the ingest port until the process is asked to stop."""
        self._ingest.restore()
        next_publish = 0.0
        while not self._context.stop.is_set():
            self._server.step()
            now = time.monotonic()
            if now >= next_publish:
                next_publish = now + 0.5
                self._ingest.publish()
                self._save_by_timer(now)

    def close(self) -> None:
        """Writes the accepted rows, saves a checkpoint, then closes both ports."""
        try:
            if not self._server.drain(_DRAIN_S):
                self._context.logger.warning(
                    "the table is full; %d samples that were not acknowledged are lost", self._ingest.pending
                )
            if self._saving is not None:
                self._saving.join()
            self._ingest.publish()
            self._context.meter.state("stopping", "saving a checkpoint")
            self._ingest.checkpoint()
        finally:
            self._server.close()
            self._ingest.close()

    def _save_by_timer(self, now: float) -> None:
        busy = self._saving is not None and self._saving.is_alive()
        if not self._by_timer or busy or now - self._last_save < self._checkpoint_s:
            return
        self._last_save = now
        self._saving = threading.Thread(target=self._save, name="checkpoint", daemon=True)
        self._saving.start()

    def _save(self) -> None:
        started = time.monotonic()
        try:
            if self._ingest.checkpoint() is None:  # no table yet
                return
        except (RuntimeError, OSError) as error:
            if self._checkpoints is not None:
                self._checkpoints.clear_own()  # an unfinished save would keep a full disk full
            self._context.logger.error(
                "no checkpoint was saved (%s); the last one stays, the next try is in %g s", error, self._checkpoint_s
            )
            return
        self._context.logger.info("saved a checkpoint in %.1f s", time.monotonic() - started)
