"""Newer models: pulled on a thread, few kept, nothing lost when the pool fails."""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kaimesh.actor import models as actor_models
from kaimesh.actor.models import Model, Models
from kaimesh.contract.errors import PeerError
from kaimesh.model_pool.client import ModelPoolClient
from kaimesh.model_pool.server import ModelPoolServer
from kaimesh.model_pool.store import Store
from kaimesh.process.meter import Meter
from kaimesh.training import checkpoint
from tests.actor.conftest import DEADLINE_S, TOKEN, Actor, FakePool, PreparedAgent, rows
from tests.harness import wait_until


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def newest_is(models: Models, id: int) -> Model:
    wait_until(lambda: models.newest is not None and models.newest.id == id, DEADLINE_S, f"model {id} is pulled")
    assert models.newest is not None
    return models.newest


@pytest.mark.parametrize("period_s", [0, 0.01])
def test_the_newest_is_followed_and_few_are_kept(tmp_path: Path, stop: threading.Event, period_s: float) -> None:
    (tmp_path / "of an earlier life").mkdir()
    pool = FakePool()
    models = Models(pool, tmp_path, period_s=period_s, stop=stop)
    models.start()
    for id in range(5):
        pool.offer(id)
        model = newest_is(models, id)
        assert (model.folder / f"model.ckpt-{id}.txt").read_text() == f"weights {id}"
    wait_until(lambda: len(list(tmp_path.iterdir())) <= 2, DEADLINE_S, "the old ones are removed")
    stop.set()
    models.close()


def test_a_model_in_use_is_not_removed(tmp_path: Path, stop: threading.Event) -> None:
    pool = FakePool()
    models = Models(pool, tmp_path, period_s=0, stop=stop)
    models.start()
    pool.offer(1)
    newest_is(models, 1)
    used = models.take()
    assert used is not None
    for id in (2, 3, 4, 5):
        pool.offer(id)
        newest_is(models, id)
    assert (used.folder / "model.ckpt-1.txt").exists()
    assert models.take() == models.newest
    pool.offer(6)
    newest_is(models, 6)
    wait_until(lambda: not used.folder.exists(), DEADLINE_S, "it is removed")
    stop.set()
    models.close()


@pytest.mark.parametrize("period_s", [0, 0.01])
def test_a_pool_that_fails_is_asked_again(
    tmp_path: Path,
    stop: threading.Event,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    period_s: float,
) -> None:
    monkeypatch.setattr(actor_models, "_RETRY_S", 0.01)
    pool = FakePool()
    pool.broken = True
    pool.offer(1)
    models = Models(pool, tmp_path, period_s=period_s, stop=stop)
    with caplog.at_level(logging.WARNING):
        models.start()
        wait_until(lambda: "the pool is broken" in caplog.text, DEADLINE_S, "it says so")
    pool.broken = False
    newest_is(models, 1)
    stop.set()
    models.close()


def test_what_ends_the_thread_reaches_the_loop(tmp_path: Path, stop: threading.Event) -> None:
    class Broken(FakePool):
        def pull(self, id: int | str, into: Path) -> Any:
            raise ZeroDivisionError("a fault of ours")

    pool = Broken()
    pool.offer(1)
    models = Models(pool, tmp_path, period_s=0, stop=stop)
    models.start()
    models._thread.join(DEADLINE_S)
    with pytest.raises(ZeroDivisionError, match="a fault of ours"):
        models.take()


def test_a_full_disk_is_waited_out_and_said_once(
    tmp_path: Path, stop: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    class Full(FakePool):
        tries = 0

        def pull(self, id: int | str, into: Path) -> Any:
            self.tries += 1
            if self.tries < 3:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().pull(id, into)

    pool = Full()
    pool.offer(1)
    models = Models(pool, tmp_path, period_s=0, stop=stop)
    models.start()
    wait_until(lambda: models.newest is not None, DEADLINE_S, "the model is there")
    assert caplog.text.count("cannot be stored") == 1
    assert "No space left on device" in caplog.text
    stop.set()
    models.close()


def test_fetched_models_are_the_askers_to_remove(tmp_path: Path, stop: threading.Event) -> None:
    pool = FakePool()
    pool.offer(7)
    models = Models(pool, tmp_path, period_s=0, stop=stop)
    model = models.fetch(7).result(DEADLINE_S)
    assert model.id == 7
    models.discard(model)
    assert not model.folder.exists()
    with pytest.raises(PeerError, match="no model 8"):
        models.fetch(8).result(DEADLINE_S)
    assert list(tmp_path.iterdir()) == []
    stop.set()
    models.close()


def test_an_actor_follows_a_real_pool(tmp_path: Path) -> None:
    def dump(id: int) -> None:
        def save(path: str, id: int) -> None:
            Path(path, f"model.ckpt-{id}.txt").write_text(f"weights {id}")

        client.push(tmp_path / "ckpt", checkpoint.dump(tmp_path / "ckpt", id, save))

    pool = ModelPoolServer(Store(tmp_path / "pool", 10), Meter("model_pool_0"), logging.getLogger("pool"))
    client = ModelPoolClient(f"127.0.0.1:{pool.start('127.0.0.1:0', TOKEN)}", TOKEN)
    actor = Actor(PreparedAgent(), tmp_path / "models", pool=client)
    player = actor.client()
    player.send(rows(1))
    dump(0)
    assert player.receive()[1] == 0
    dump(1)
    wait_until(lambda: player.predict(rows(1))[1] == 1, DEADLINE_S, "the newer one predicts")
    assert player.load_model(0) == 0
    dump(2)
    assert player.predict(rows(1))[1] == 0
    wait_until(lambda: player.load_model("latest") == 2, DEADLINE_S, "latest ends the pin")
    assert actor.agent.loaded[-1] == ("weights 2", "2")
    actor.close()
    client.close()
    pool.stop()


def test_a_newer_model_that_the_agent_refuses_leaves_the_one_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Choosy(PreparedAgent):
        def load_model(self, path: str | None = None, id: str | int = "1") -> None:
            if int(id) % 2:
                raise ValueError("weights that are not finite")
            super().load_model(path, id)

    pool = FakePool()
    pool.offer(0)
    actor = Actor(Choosy(), tmp_path, pool=pool)
    player = actor.client()
    assert player.predict(rows(1))[1] == 0
    for id in (1, 3, 4):
        pool.offer(id)
        if id % 2:
            wait_until(lambda id=id: f"model {id} was refused" in caplog.text, DEADLINE_S, "it says so")
            assert player.predict(rows(1))[1] == 0
    wait_until(lambda: player.predict(rows(1))[1] == 4, DEADLINE_S, "the next right one predicts")
    assert "so this actor goes on with model 0 until there is another one" in caplog.text
    assert actor.meter.counters["models_refused"] == 2
    actor.close()
