"""What an agent in an aisrv process is connected to, as protocols, and the real connections of remote mode."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from kaimesh.actor.client import ActorClient
from kaimesh.aisrv.policy import Policy
from kaimesh.buffer.sending.sender import SampleSender
from kaimesh.contract.arrays import Batch
from kaimesh.contract.errors import PeerError
from kaimesh.contract.spaces import Spaces
from kaimesh.learner.client import LearnerClient
from kaimesh.process.disk import DiskTrouble
from kaimesh.process.life import Context
from kaimesh.process.meter import Meter

_STATUS_S = 2.0
_MOST_REASONS = 8  # that saves were refused for, told in the log


class Sender(Protocol):
    """The way of samples to the learner."""

    def put(self, batch: Batch) -> None:
        """Takes a copy; blocks under back-pressure."""

    def flush(self, timeout_s: float) -> bool:
        """Waits until all is stored; False if it took longer."""
        ...

    def close(self) -> None:
        """Ends the connection."""


class UserSaves:
    """Saves that a workflow asks for. One that is refused or comes too late is a warning, once for each reason, and counted.

    save: Links.save_model. Counter user_saves_refused.
    """

    def __init__(self, save: Callable[[], int], logger: logging.Logger, meter: Meter) -> None:
        self._save, self._log, self._meter = save, logger, meter
        self._said: set[str] = set()

    def __call__(self) -> None:
        """Asks for one save, and returns when it is done or refused."""
        try:
            self._save()
        except (PeerError, DiskTrouble) as error:
            self._meter.count("user_saves_refused")
            if str(error) not in self._said and len(self._said) < _MOST_REASONS:
                self._said.add(str(error))
                self._log.warning(
                    "a model that the workflow asked for was not saved, and the workflow goes on: %s", error
                )


class Links(Protocol):
    """Everything one aisrv is connected to."""

    @property
    def sender(self) -> Sender:
        """Shared by all slots."""
        ...

    def policy(self, slot: int) -> Policy:
        """A policy of its own for each group or slot."""
        ...

    def save_model(self) -> int:
        """A user save; returns its id."""
        ...

    def samples_short(self, version: int) -> int:
        """On-policy: how many samples of model `version` the learner lacks for a learn and waits for.

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
        """A connection of its own to one of the actors."""
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

    def save_model(self) -> int:
        """Asks the learner, which saves between two learns."""
        return self._learner.save_model(timeout_s=60.0)

    def samples_short(self, version: int) -> int:
        """Asks the learner."""
        status = self._learner.status(timeout_s=_STATUS_S)
        return status["samples_short"] if status["train_count"] == version else 0
