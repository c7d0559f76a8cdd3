"""Agents to serve, a pool that is checked, and a real actor server on a thread of its own."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kaimesh.actor.batcher import Batcher
from kaimesh.actor.client import ActorClient
from kaimesh.actor.models import Models
from kaimesh.actor.server import ActorServer
from kaimesh.contract.arrays import Batch
from kaimesh.contract.errors import PeerError, Refused
from kaimesh.contract.spaces import Spaces
from kaimesh.contract.user_agent import read_agent
from kaimesh.process.meter import Meter
from kaimesh.training.checkpoint import FileInfo, ModelInfo

TOKEN = "token"
SPACES = Spaces((3,), "<f4", "discrete", 2)
DEADLINE_S = 60.0


def rows(count: int, first: int = 0) -> Batch:
    """Observations that can be told apart: `obs` [count, 3], each row first, first + 1, ..."""
    return Batch({"obs": np.repeat(np.arange(first, first + count, dtype=np.float32)[:, None], 3, axis=1)})


class Echoing:
    """Answers each row with its first number; notes the sizes it was called with. `hook` runs inside predict."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.hook: Callable[[Batch], Any] = lambda batch: None
        self.loaded: list[tuple[str, str]] = []

    def predict(self, list_obs_data: Batch) -> Any:
        self.sizes.append(len(list_obs_data))
        special = self.hook(list_obs_data)
        if special is not None:
            return special
        return {"action": list_obs_data.obs[:, 0].astype(np.int64), "value": list_obs_data.obs.sum(1)}

    def exploit(self, list_obs_data: Batch) -> Any:
        return {"action": -list_obs_data.obs[:, 0].astype(np.int64)}

    def load_model(self, path: str | None = None, id: str | int = "1") -> None:
        self.loaded.append((Path(str(path), f"model.ckpt-{id}.txt").read_text(), str(id)))


class PreparedAgent(Echoing):
    """An agent that builds its network from the spaces."""

    def __init__(self) -> None:
        super().__init__()
        self.spaces: list[Spaces] = []

    def setup(self, spaces: Spaces) -> None:
        self.spaces.append(spaces)


class FakePool:
    """A pool in memory. `offer` makes a model the newest; `broken` makes every call fail."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.models: list[ModelInfo] = []
        self.pulled: list[int | str] = []
        self.broken = False

    def offer(self, id: int) -> None:
        text = f"weights {id}".encode()
        file = FileInfo(f"model.ckpt-{id}.txt", len(text), hashlib.sha256(text).hexdigest())
        with self.changed:
            self.models.append(ModelInfo(id, (file,), float(id)))
            self.changed.notify_all()

    def list(self) -> list[ModelInfo]:
        if self.broken:
            raise PeerError("the pool is broken")
        return list(self.models)

    def pull(self, id: int | str, into: Path) -> ModelInfo:
        assert id in ("latest", "random") or str(id).isdecimal()
        self.pulled.append(id)
        if self.broken:
            raise PeerError("the pool is broken")
        found = [info for info in self.models if id in ("latest", "random") or info.id == int(id)]
        if not found:
            raise Refused(f"no model {id}")
        info = found[0] if id == "random" else found[-1]
        into.mkdir(parents=True, exist_ok=True)
        (into / info.files[0].name).write_text(f"weights {info.id}")
        return info

    def watch(self, stop: threading.Event) -> Iterator[ModelInfo]:
        seen = 0
        while not stop.is_set():
            with self.changed:
                if len(self.models) == seen:
                    self.changed.wait(0.05)
                newest = self.models[-1] if len(self.models) > seen else None
                seen = len(self.models)
            if newest is not None:
                yield newest


class Actor:
    """A served agent. Its loop runs on a thread until `close`."""

    def __init__(
        self,
        agent: Any,
        folder: Path | None = None,
        *,
        max_rows: int = 8,
        max_wait_s: float = 0.0,
        share: float = 0.5,
        pool: Any = None,
    ) -> None:
        self.agent, self.pool, self.stop = agent, pool or FakePool(), threading.Event()
        self.meter = Meter("actor_0")
        self.failure: BaseException | None = None
        self.models = None if folder is None else Models(self.pool, folder, period_s=0, stop=self.stop)
        self.batcher = Batcher(read_agent(agent), max_rows=max_rows, meter=self.meter)
        self.server = ActorServer(
            ("127.0.0.1", 0),
            token=TOKEN,
            batcher=self.batcher,
            models=self.models,
            meter=self.meter,
            max_wait_s=max_wait_s,
            reanalyse_share=share,
        )
        self.address = f"127.0.0.1:{self.server.port}"
        self._clients: list[ActorClient] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        if self.models is not None:
            self.models.start()
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self.stop.is_set():
                self.server.step(0.01)
        except BaseException as error:
            self.failure = error

    def client(self, name: str = "aisrv_0/0", **changes: Any) -> ActorClient:
        arguments: dict[str, Any] = {
            "token": TOKEN,
            "meter": Meter(name),
            "stop": threading.Event(),
            "spaces": SPACES,
            "timeout_s": DEADLINE_S,
            **changes,
        }
        client = ActorClient([self.address], name=name, **arguments)
        self._clients.append(client)
        return client

    def state(self) -> tuple[str, str]:
        snapshot = self.meter.snapshot()
        return snapshot["state"], snapshot["blocked_on"]

    def join(self) -> None:
        """Waits for the loop to end."""
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive(), "the actor's loop hangs"

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self.stop.set()
        self.join()
        self.server.close()
        if self.models is not None:
            self.models.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Actor]]:
    """Makes actors and closes them."""
    made: list[Actor] = []

    def make(*arguments: Any, **options: Any) -> Actor:
        made.append(Actor(*arguments, **options))
        return made[-1]

    yield make
    for actor in made:
        actor.close()
