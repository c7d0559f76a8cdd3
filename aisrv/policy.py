"""Policy, the interface by which an aisrv asks for predictions. An actor makes them (ActorClient), or this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from kaimesh.contract.arrays import Batch
from kaimesh.contract.errors import MeshError
from kaimesh.contract.predicting import LATEST, ModelId, Predictor, only_latest
from kaimesh.contract.user_agent import UserAgent


class Policy(Protocol):
    """Asks for predictions. Answers come in the order of the requests; how many may be on their way is the policy's."""

    def send(self, batch: Batch, exploit: bool = False, model: ModelId = LATEST) -> None:
        """Asks for predictions for the rows of `batch`. They must not change before the answer is received.

        exploit: True: by the agent's `exploit`; False: by its `predict`. model: the model that shall answer; "latest":
        the newest one, or the one that `load_model` chose. Raises MeshError: this policy cannot ask for that model.
        """

    def receive(self) -> tuple[Batch, int]:
        """The answer to the oldest unanswered request: act columns `[B, ...]`, and the version of the model.

        The columns are valid until the next call of `receive`.
        """
        ...

    def load_model(self, id: ModelId) -> int:
        """Chooses the model that predicts from now on, under the name "latest"; returns its version."""
        ...

    def version(self) -> int:
        """The version of the model that predicts now."""
        ...

    def close(self) -> None:
        """Ends the connection."""


class AgentPolicy:
    """A Policy by which the agent of `user` predicts in this process, one request at a time.

    version: returns the version of its model.
    """

    def __init__(self, user: UserAgent, version: Callable[[], int]) -> None:
        self._user, self._version_now = user, version
        self._predictor = Predictor(user, "aisrv")
        self._answer: tuple[Batch, int] | None = None

    def send(self, batch: Batch, exploit: bool = False, model: ModelId = LATEST) -> None:
        """See Policy; predicts at once. Raises MeshError: an answer waits. Else as Predictor.answer."""
        only_latest(model, "the agent in this process")
        if self._answer is not None:
            raise MeshError(
                "send() was called before the last answer was received; the agent may reuse that answer's arrays, so "
                "it would be lost. Call receive() first."
            )
        self._answer = self._predictor.answer_all(batch, exploit), self._version_now()

    def receive(self) -> tuple[Batch, int]:
        """See Policy. Raises MeshError: there was no `send` before."""
        if self._answer is None:
            raise MeshError("receive() was called, but nothing was asked, so there is no answer; call send() first")
        answer, self._answer = self._answer, None
        return answer

    def load_model(self, id: ModelId) -> int:
        """Calls the agent's `load_model`."""
        self._user.agent.load_model(id=id)
        return self._version_now()

    def version(self) -> int:
        """See Policy."""
        return self._version_now()

    def close(self) -> None:
        """Does nothing: there is no connection."""
