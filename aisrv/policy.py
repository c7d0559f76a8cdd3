"""Predictions as an aisrv asks for them, wherever they are made: in an actor, or in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from kaimesh.contract.arrays import Batch
from kaimesh.contract.errors import MeshError
from kaimesh.contract.predicting import LATEST, ModelId, Predictor, only_latest
from kaimesh.contract.user_agent import UserAgent


class Policy(Protocol):
    """Predictions: what was sent first is received first. An answer is valid until the next `receive`."""

    def send(self, batch: Batch, exploit: bool = False, model: ModelId = LATEST) -> None:
        """Asks for the rows of `batch`, which must stay as they are until the answer has come.

        exploit: by the agent's `exploit` instead of `predict`. model: the one that answers; "latest": what the
        predictor follows, or what `load_model` chose. Raises MeshError: this predictor has no such model.
        """

    def receive(self) -> tuple[Batch, int]:
        """The oldest answer under way, act columns `[B, ...]`, and the version of the model that made it."""
        ...

    def load_model(self, id: ModelId) -> int:
        """Chooses the model that "latest" means from now on; returns the version that then predicts."""
        ...

    def version(self) -> int:
        """The version that predicts now."""
        ...

    def close(self) -> None:
        """Ends the connection."""


class AgentPolicy:
    """A Policy in this process: `user` answers, one request at a time. version: the present model's."""

    def __init__(self, user: UserAgent, version: Callable[[], int]) -> None:
        self._user, self._version_now = user, version
        self._predictor = Predictor(user, "aisrv")
        self._answer: tuple[Batch, int] | None = None

    def send(self, batch: Batch, exploit: bool = False, model: ModelId = LATEST) -> None:
        """As Policy's; predicts at once. Raises AgentError, SampleError as Predictor's."""
        only_latest(model, "the agent in this process")
        self._answer = self._predictor.answer_all(batch, exploit), self._version_now()

    def receive(self) -> tuple[Batch, int]:
        """What `send` found."""
        if self._answer is None:
            raise MeshError("receive() was called, but nothing was asked; call send() first")
        answer, self._answer = self._answer, None
        return answer

    def load_model(self, id: ModelId) -> int:
        """By the agent's own `load_model`."""
        self._user.agent.load_model(id=id)
        return self._version_now()

    def version(self) -> int:
        """The number of learns."""
        return self._version_now()

    def close(self) -> None:
        """Nothing to close."""
