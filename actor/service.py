"""Connects the parts of an actor process: the agent, its models, the port."""

from __future__ import annotations

from kaimesh.actor.batcher import Batcher
from kaimesh.actor.models import Models
from kaimesh.actor.server import ActorServer
from kaimesh.contract.errors import MeshError
from kaimesh.model_pool.client import ModelPoolClient
from kaimesh.process.life import Context


class ActorService:
    """Predicts until the process is asked to stop.

    Raises MeshError: the port is in use. AgentError: the agent's constructor, `setup` or `load_model` raised.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        app, meter = context.config.app, context.meter
        self._batcher = Batcher(
            context.make_agent("actor"),
            max_rows=app.predict_batch_size,
            meter=meter,
            timeout_s=app.predict_timeout_seconds,
            again=app.reanalyse_actor_share if app.reanalyse_count else 0.0,
            asked_rows=-(-app.aisrv_count * app.aisrv_connect_to_kaiwu_env_count // len(app.actor_addrs)),
        )
        self._pool = ModelPoolClient(app.model_pool_addr, context.token, logger=context.logger)
        self._models = Models(
            self._pool,
            context.run.root / context.name / "models",
            period_s=app.model_file_load_per_minutes * 60,
            stop=context.stop,
            logger=context.logger,
        )
        # The replicas of a cluster's service share one name, and therefore one address.
        entry = min(context.index, len(app.actor_addrs) - 1)
        port = int(app.actor_addrs[entry].rpartition(":")[2])
        try:
            self._server = ActorServer(
                (app.bind_host, port),
                token=context.mesh_token,
                rights=context.config.rights,
                batcher=self._batcher,
                models=self._models,
                meter=meter,
                max_wait_s=app.predict_max_wait_us * 1e-6,
                reanalyse_share=app.reanalyse_actor_share,
                logger=context.logger,
            )
        except OSError as error:
            raise MeshError(
                f"actor_addrs[{entry}]: {app.bind_host}:{port} cannot be opened ({error.strerror}); no aisrv could get "
                "a prediction. Change the port in actor_addrs, or end what uses it."
            ) from error
        meter.info["port"] = self._server.port
        context.logger.info(
            "port %d, at most %d rows a batch, %s",
            self._server.port,
            self._batcher.max_rows,
            f"waiting {app.predict_max_wait_us} us for more" if app.predict_max_wait_us else "greedy",
        )

    def run(self) -> None:
        """Predicts until the stop."""
        self._models.start()
        if not self._batcher.wants_spaces:  # else it is done when there are spaces
            self._batcher.warm_up()
        while not self._context.stop.is_set():
            self._server.step()

    def close(self) -> None:
        """Closes the port, then the connection to the pool."""
        self._server.close()
        self._models.close()
        self._pool.close()
