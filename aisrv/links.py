"""The connections of an aisrv to actor, buffer and learner: as Protocols, and over the network for remote mode."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from kaimesh.actor.client import ActorClient
from kaimesh.actor.models import Model, Models
from kaimesh.aisrv.policy import Policy
from kaimesh.buffer.sending.sender import SampleSender
from kaimesh.contract.arrays import Batch
from kaimesh.contract.errors import PeerError
from kaimesh.contract.spaces import Spaces
from kaimesh.learner.client import LearnerClient
from kaimesh.model_pool.client import ModelPoolClient
from kaimesh.process.disk import DiskTrouble
from kaimesh.process.life import Context
from kaimesh.process.meter import Meter

_STATUS_S = 2.0
_MOST_REASONS = 8  # at most so many different reasons of refused saves are logged


class Sender(Protocol):
    """Takes samples to the buffer, or to a learner in this process."""

    def put(self, batch: Batch) -> None:
        """Sends a copy of the samples. Blocks while the buffer is full."""

    def flush(self, timeout_s: float) -> bool:
        """Waits until all samples are stored. False: some were not after `timeout_s`."""
        ...

    def close(self) -> None:
        """Ends the connection."""


class UserSaves:
    """Saves models for a workflow. A save that is refused or takes too long is counted, and logged once per reason.

    save: Links.save_model. Counter user_saves_refused.
    """

    def __init__(self, save: Callable[[], int], logger: logging.Logger, meter: Meter) -> None:
        self._save, self._log, self._meter = save, logger, meter
        self._logged: set[str] = set()

    def __call__(self) -> None:
        """Asks for one save, and returns when it is done or refused."""
        try:
            self._save()
        except (PeerError, DiskTrouble) as error:
            self._meter.count("user_saves_refused")
            if str(error) not in self._logged and len(self._logged) < _MOST_REASONS:
                self._logged.add(str(error))
                self._log.warning(
                    "save_model: a model that the workflow asked for was not saved, and the workflow continues: %s. "
                    "Remove this cause and save again; user_saves_refused counts such saves.",
                    error,
                )


class Newest(Protocol):
    """The newest model that there is in this process; see kaimesh.actor.models."""

    newest: Model | None

    def take(self) -> Model | None:
        """The newest model; its folder is kept until the next `take`."""
        ...


class Links(Protocol):
    """All connections of one aisrv."""

    @property
    def sender(self) -> Sender:
        """The sender, which all slots share."""
        ...

    def policy(self, slot: int) -> Policy:
        """A new policy, for one group or slot."""
        ...

    def save_model(self) -> int:
        """Has the learner save its model in user_ckpt; returns the model's id. Raises PeerError, DiskTrouble."""
        ...

    def models(self) -> Newest:
        """The models that the predictors get, for agents of this process that follow them."""
        ...

    def samples_short(self, version: int) -> int:
        """On-policy: the number of samples of model `version` that the learner still waits for; 0: for none.

        Raises PeerError.
        """
        ...


class RemoteLinks:
    """Links over the network: ActorClient, SampleSender, LearnerClient."""

    def __init__(self, context: Context, spaces: Spaces | None) -> None:
        self._context, self._spaces = context, spaces
        app = context.config.app
        self.sender = SampleSender(
            app.buffer_ingest_addrs,
            token=context.token,
            name=context.name,
            window=app.sample_window or app.train_batch_size,
            meter=context.meter,
            stop=context.stop,
            spaces=spaces,
        )
        self._learner = LearnerClient(app.learner_addr, context.token)

    def policy(self, slot: int) -> ActorClient:
        """A new connection to one of the actors."""
        app = self._context.config.app
        return ActorClient(
            app.actor_addrs,
            token=self._context.token,
            name=f"{self._context.name}/{slot}",
            turn=self._context.index + slot * app.aisrv_count,
            meter=self._context.meter,
            stop=self._context.stop,
            spaces=self._spaces,
            timeout_s=app.predict_timeout_seconds,
        )

    def models(self) -> Models:
        """See Links. They are pulled from the pool, in a thread of their own."""
        context, app = self._context, self._context.config.app
        models = Models(
            ModelPoolClient(app.model_pool_addr, context.token, logger=context.logger),
            context.run.root / context.name / "models",
            period_s=app.model_file_load_per_minutes * 60,
            stop=context.stop,
            logger=context.logger,
        )
        models.start()
        return models

    def save_model(self) -> int:
        """See Links. The learner saves between two learns."""
        return self._learner.save_model(timeout_s=60.0)

    def samples_short(self, version: int) -> int:
        """See Links. 0 also if the learner is at another model than `version`."""
        status = self._learner.status(timeout_s=_STATUS_S)
        return status["samples_short"] if status["train_count"] == version else 0
