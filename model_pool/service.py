"""The model pool's process."""

from __future__ import annotations

from kaimesh.model_pool.server import ModelPoolServer
from kaimesh.model_pool.store import Store
from kaimesh.process.life import Context


class ModelPoolService:
    """The store behind its port. Serves until the process is asked to stop."""

    def __init__(self, context: Context) -> None:
        self._context = context
        app = context.config.app
        self._store = Store(context.run.model_pool, app.modelpool_max_save_model_count, logger=context.logger)
        self._server = ModelPoolServer(self._store, context.meter, context.logger)
        port = app.model_pool_addr.rpartition(":")[2]
        context.meter.info["port"] = self._server.start(
            f"{app.bind_host}:{port}", context.mesh_token, rights=context.config.rights
        )
        context.logger.info("%d models on disk; port %s", len(self._store.list()), context.meter.info["port"])

    def run(self) -> None:
        """Updates the process's status each second; the calls are served by the server's threads."""
        meter = self._context.meter
        known = None
        while not self._context.stop.is_set():
            self._store.forget_deleted()
            meter.state("ready", self._store.overtaken())
            models = self._store.list()
            meter.gauge("models", len(models))
            if models:
                meter.info["model_version"] = models[-1].id
            known = self._store.wait_newer(known, 0.5) or known

    def close(self) -> None:
        """Stops the server."""
        self._server.stop()
