"""The user's instance in aisrv, whose weights follow the predictor's: for methods that no process but this one runs."""

from __future__ import annotations

import threading
from typing import Any

from kaimesh.aisrv.links import Newest
from kaimesh.contract.agent import user_code
from kaimesh.contract.user_agent import UserAgent
from kaimesh.process.meter import Meter


class Stub:
    """The agent of `user`, and the newest model of `models` in it; used by one thread.

    version: the model that it has; -1: its own first weights. lock: shared by all stubs of a process, for loading.
    """

    def __init__(self, user: UserAgent, models: Newest, meter: Meter, lock: threading.Lock) -> None:
        self.user, self.version = user, -1
        self._models, self._meter, self._lock = models, meter, lock
        self._load = user.agent.load_model  # the user's own, before it is replaced

    @property
    def newest(self) -> int:
        """The id of the newest model that this process has pulled; -1: none."""
        newest = self._models.newest
        return -1 if newest is None else newest.id

    def refresh(self) -> None:
        """Loads the newest model, if the agent has another one. Raises AgentError: its code raised."""
        if self.newest == self.version:
            return
        with self._lock:
            model = self._models.take()
            if model is None or model.id == self.version:
                return
            with user_code(f"aisrv: {self.user.name}.load_model(path={str(model.folder)!r}, id={model.id})"):
                self._load(path=str(model.folder), id=model.id)
        self.version = model.id
        self._meter.count("models_loaded")


class StubPolicy:
    """What WorkflowAgent asks a Policy for, where the stub itself predicts."""

    def __init__(self, stub: Stub) -> None:
        self._stub = stub

    def version(self) -> int:
        """The version of the newest model, which predicts from the next call on."""
        return self._stub.newest

    def load_model(self, id: Any) -> int:
        """Loads the newest model, whichever was asked for."""
        del id
        self._stub.refresh()
        return self._stub.version

    def close(self) -> None:
        """Does nothing: there is no connection."""
