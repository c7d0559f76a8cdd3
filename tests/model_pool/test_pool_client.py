"""The client against a pool that lies: every answer ends in a model that was verified, or in a PeerError."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from kaimesh.contract.errors import PeerError
from kaimesh.model_pool import model_pool_pb2 as pb
from kaimesh.model_pool import model_pool_pb2_grpc as pb_grpc
from kaimesh.model_pool.client import ModelPoolClient
from kaimesh.model_pool.server import NEEDS
from kaimesh.wire import grpc_edge
from tests.harness import connected

CONTENT = b"weights"
SHA = hashlib.sha256(CONTENT).hexdigest()


class Liar(pb_grpc.ModelPoolServicer):
    """Answers with `model` and `pieces`."""

    def __init__(self) -> None:
        self.model, self.pieces = model(), [CONTENT]

    def Pull(self, _which: pb.Which, _context: grpc.ServicerContext) -> Iterator[pb.Part]:
        yield pb.Part(model=self.model)
        for piece in self.pieces:
            yield pb.Part(data=piece)

    def List(self, _request: pb.Nothing, _context: grpc.ServicerContext) -> pb.Models:
        return pb.Models(models=[self.model])

    def Watch(self, _request: pb.Nothing, context: grpc.ServicerContext) -> Iterator[pb.Model]:
        yield self.model


def model(
    id: int = 5, name: str = "model.ckpt-5.x", size: int = len(CONTENT), sha: str = SHA, time: float = 1.0
) -> pb.Model:
    return pb.Model(id=id, files=[pb.File(name=name, bytes=size, sha256=sha)], time=time)


@pytest.fixture
def liar() -> Iterator[tuple[Liar, ModelPoolClient]]:
    """The server's side, and a client of it."""
    servicer = Liar()

    def register(server: grpc.Server) -> None:
        pb_grpc.add_ModelPoolServicer_to_server(servicer, server)

    server, port = grpc_edge.serve([register], "127.0.0.1:0", "secret", needs=NEEDS)
    client = connected(ModelPoolClient(f"127.0.0.1:{port}", "secret", timeout_s=10.0))
    yield servicer, client
    client.close()
    server.stop(0).wait()


def test_a_pool_that_does_not_lie_is_believed(liar: tuple[Liar, ModelPoolClient], tmp_path: Path) -> None:
    _, client = liar
    assert client.pull(5, tmp_path).id == 5
    assert (tmp_path / "model.ckpt-5.x").read_bytes() == CONTENT
    assert [info.id for info in client.list()] == [5]


LIES = {
    "no files": pb.Model(id=5),
    "a name outside": model(name="../../x"),
    "a name inside a folder": model(name="model.ckpt-5.x/y"),
    "a name of another model": model(name="model.ckpt-6.x"),
    "a name with a line end": model(name="model.ckpt-5.x\nforged"),
    "an id below all": model(id=-5, name="model.ckpt--5.x"),
    "an id beyond all": model(id=2**63 - 1, name=f"model.ckpt-{2**63 - 1}.x"),
    "no time": model(time=float("nan")),
    "an impossible size": model(size=-1),
    "an impossible digest": model(sha="0" * 63),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_a_model_that_cannot_be_is_not_taken(liar: tuple[Liar, ModelPoolClient], tmp_path: Path, lie: pb.Model) -> None:
    servicer, client = liar
    servicer.model = lie
    folder = tmp_path / "into"
    with pytest.raises(PeerError):
        client.pull("latest", folder)
    with pytest.raises(PeerError):
        client.list()
    assert not list(folder.iterdir())
    assert [path.name for path in tmp_path.iterdir()] == ["into"]


@pytest.mark.parametrize("pieces", [[], [b"w"], [CONTENT + b"more"], [b"WEIGHTS"]])
def test_bytes_that_are_not_those_of_the_model_are_not_taken(
    liar: tuple[Liar, ModelPoolClient], tmp_path: Path, pieces: list[bytes]
) -> None:
    servicer, client = liar
    servicer.pieces = pieces
    with pytest.raises(PeerError):
        client.pull("latest", tmp_path)
    assert not list(tmp_path.iterdir())


def test_another_model_than_was_asked_for_is_not_taken(liar: tuple[Liar, ModelPoolClient], tmp_path: Path) -> None:
    with pytest.raises(PeerError, match="sent model 5 when it was asked for 6"):
        liar[1].pull(6, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_watcher_waits_until_the_pool_tells_the_truth(
    liar: tuple[Liar, ModelPoolClient], caplog: pytest.LogCaptureFixture
) -> None:
    servicer, client = liar
    servicer.model = LIES["a name outside"]
    stop = threading.Event()
    seen = client.watch(stop)
    timer = threading.Timer(0.5, lambda: setattr(servicer, "model", model()))
    timer.start()
    assert next(seen).files[0].name == "model.ckpt-5.x"
    stop.set()
    timer.join()
    assert "no file of model 5" in caplog.text
