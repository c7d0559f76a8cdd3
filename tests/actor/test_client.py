"""The caller's half: picking an actor, moving to another, deadlines, stopping."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kaimesh.actor.batcher import Batcher
from kaimesh.actor.client import ActorClient
from kaimesh.actor.server import ActorServer
from kaimesh.contract.arrays import Batch
from kaimesh.contract.errors import AgentError, MeshError, Refused, SampleError, Stopped
from kaimesh.contract.user_agent import read_agent
from kaimesh.process.meter import Meter
from kaimesh.wire import frame as wire
from kaimesh.wire.frame import Kind
from tests.actor.conftest import DEADLINE_S, SPACES, TOKEN, Actor, Echoing, PreparedAgent, rows
from tests.harness import free_ports, wait_until

Serve = Callable[..., Actor]


def client_of(addresses: list[str], name: str = "aisrv_0/0", **changes: Any) -> ActorClient:
    arguments: dict[str, Any] = {
        "token": TOKEN,
        "meter": Meter(name),
        "stop": threading.Event(),
        "spaces": SPACES,
        "timeout_s": DEADLINE_S,
        **changes,
    }
    return ActorClient(addresses, name=name, **arguments)


def serve_in_a_process(port: Connection) -> None:
    server = ActorServer(
        ("127.0.0.1", 0),
        token=TOKEN,
        batcher=Batcher(read_agent(Echoing()), max_rows=8, meter=Meter("actor_1")),
        models=None,
        meter=Meter("actor_1"),
    )
    port.send(server.port)
    while True:
        server.step(0.1)


class Silent:
    """An actor's port where nobody ever answers."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        self._listener.close()


def test_the_choice_is_stable_and_spreads() -> None:
    addresses = [f"127.0.0.1:{port}" for port in range(1, 5)]
    first = [client_of(addresses, f"aisrv_{i}/{j}")._turn % 4 for i in range(16) for j in range(2)]
    assert first[:6] == [2, 2, 2, 2, 1, 3], "the choice must not depend on the process, as Python's own hash does"
    assert {first.count(i) for i in range(4)} <= set(range(3, 16))


def test_callers_that_know_their_number_share_the_actors_out_evenly() -> None:
    addresses = [f"127.0.0.1:{port}" for port in range(1, 3)]
    first = [client_of(addresses, f"aisrv_{i}/{j}", turn=i + 2 * j)._turn % 2 for i in range(2) for j in range(2)]
    assert sorted(first) == [0, 0, 1, 1]


def test_a_killed_actors_clients_are_answered_by_another(serve: Serve) -> None:
    context = multiprocessing.get_context("spawn")
    port, end = context.Pipe()
    process = context.Process(target=serve_in_a_process, args=(end,), daemon=True)
    process.start()
    assert port.poll(DEADLINE_S)
    doomed, survivor = f"127.0.0.1:{port.recv()}", serve(Echoing())
    client = client_of([doomed, survivor.address])
    client._turn = 0
    assert client.predict(rows(2))[0].action.tolist() == [0, 1]
    assert client.address == doomed
    os.kill(process.pid or 0, signal.SIGSTOP)  # so that what is sent now is surely not answered
    client.send(rows(1, first=3))
    client.send(rows(2, first=4), exploit=True)
    os.kill(process.pid or 0, signal.SIGKILL)
    assert client.receive()[0].action.tolist() == [3]
    assert client.receive()[0].action.tolist() == [-4, -5]
    assert client.address == survivor.address
    assert client.predict(rows(1))[0].action.tolist() == [0]
    process.join(DEADLINE_S)
    client.close()


def test_an_actor_that_comes_back_on_its_port_is_found_again() -> None:
    (port,) = free_ports(1)
    meter = Meter("aisrv_0")
    client = client_of([f"127.0.0.1:{port}"], meter=meter)
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(client.predict(rows(1, first=6))), daemon=True)
    thread.start()
    wait_until(lambda: meter.snapshot()["state"] == "waiting", DEADLINE_S, "it waits")
    assert "none answers for 0 s" in meter.snapshot()["blocked_on"]
    actor = ActorServer(
        ("127.0.0.1", port),
        token=TOKEN,
        batcher=Batcher(read_agent(Echoing()), max_rows=8, meter=Meter("a")),
        models=None,
        meter=Meter("a"),
    )
    for _ in range(10_000):
        if answers:
            break
        actor.step(0.01)
    assert answers[0][0].action.tolist() == [6]
    assert meter.snapshot()["state"] == "working"
    client.close()
    actor.close()


def test_an_actor_that_misses_the_deadline_is_left(serve: Serve) -> None:
    actor, stuck, opened = serve(Echoing()), serve(Echoing()), threading.Event()
    stuck.agent.hook = lambda batch: opened.wait(DEADLINE_S) and None
    client = client_of([stuck.address, actor.address], timeout_s=0.5)
    client._turn = 0
    assert client.predict(rows(1, first=8))[0].action.tolist() == [8]
    assert client.address == actor.address
    opened.set()
    client.close()


def test_a_port_that_never_welcomes_is_left(serve: Serve) -> None:
    actor, silent = serve(Echoing()), Silent()
    client = client_of([silent.address, actor.address], timeout_s=0.3)
    client._turn = 0
    assert client.predict(rows(1))[0].action.tolist() == [0]
    client.close()
    silent.close()


@pytest.mark.parametrize("blocked", ["connecting", "shaking hands", "waiting for an answer", "waiting for a model"])
def test_stop_ends_every_wait(serve: Serve, tmp_path: Path, blocked: str) -> None:
    silent = Silent()
    actor = serve(PreparedAgent(), tmp_path) if blocked == "waiting for a model" else serve(Echoing())
    opened = threading.Event()
    actor.agent.hook = lambda batch: opened.wait(DEADLINE_S) and None
    address = {"connecting": f"127.0.0.1:{free_ports(1)[0]}", "shaking hands": silent.address}.get(
        blocked, actor.address
    )
    stop = threading.Event()
    client = client_of([address], stop=stop)
    ended: list[BaseException] = []

    def predict() -> None:
        try:
            client.predict(rows(1))
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=predict, daemon=True)
    thread.start()
    stop.set()
    thread.join(5.0)
    opened.set()
    assert [type(error) for error in ended] == [Stopped]
    silent.close()


def test_after_the_stop_nothing_is_asked(serve: Serve) -> None:
    stop = threading.Event()
    client = client_of([serve(Echoing()).address], stop=stop)
    client.predict(rows(1))
    stop.set()
    with pytest.raises(Stopped):
        client.predict(rows(1))
    client.close()


def test_a_refusal_raises_at_once(serve: Serve) -> None:
    with pytest.raises(Refused, match="wrong token"):
        client_of([serve(Echoing()).address], token="guess").predict(rows(1))


def test_an_error_answers_only_its_request(serve: Serve) -> None:
    actor = serve(Echoing())
    actor.agent.hook = lambda batch: 1 / 0 if batch.obs[0, 0] == 13 else None
    client = actor.client()
    client.predict(rows(1))
    client.send(rows(1, first=13))
    client.send(rows(1, first=14))
    assert client.version() == -1  # reads both answers on its way
    with pytest.raises(AgentError, match="ZeroDivisionError"):
        client.receive()
    assert client.receive()[0].action.tolist() == [14]


def test_misuse_is_told(serve: Serve) -> None:
    client = serve(Echoing()).client()
    with pytest.raises(MeshError, match="nothing was asked"):
        client.receive()
    client.send(rows(1))
    with pytest.raises(SampleError, match="while 1 predictions were under way"):
        client.send(Batch({"obs": np.zeros((1, 9), np.float32)}))
    assert client.receive()[0].action.tolist() == [0]


def test_large_observations_travel(serve: Serve) -> None:
    actor = serve(Echoing())
    actor.agent.predict = lambda batch: {"copy": batch.frame}
    frames = np.random.default_rng(0).integers(0, 256, (4, 2_500_000), np.uint8)
    client = actor.client()
    for _ in range(2):
        client.send(Batch({"frame": frames}))
    for _ in range(2):
        np.testing.assert_array_equal(client.receive()[0].copy, frames)


def spoken(kind: int, data: dict[str, Any]) -> bytes:
    payload = wire.to_json(data)
    return wire.encode(kind, len(payload)) + payload


ACTION = spoken(Kind.SPECS, {"specs": [["action", "<i8", []]]})


@pytest.mark.parametrize(
    "answer",
    [
        lambda tag: wire.encode(Kind.DATA, 8, rows=2, tag=tag) + bytes(8),  # before any SPECS
        lambda tag: spoken(Kind.SPECS, {"specs": [["action", "O", []]]}) + wire.encode(Kind.DATA, 0, rows=2, tag=tag),
        lambda tag: ACTION + wire.encode(Kind.DATA, 24, rows=3, tag=tag) + bytes(24),
        lambda tag: ACTION + wire.encode(Kind.DATA, 16, rows=2, tag=tag + 1) + bytes(16),
        lambda tag: wire.encode(Kind.ACK, 0, tag=tag),
        lambda tag: wire.encode(Kind.ERROR, 1, tag=tag) + b"[",
        lambda tag: b"GET / HTTP/1.1\r\n\r\n" + bytes(32),
        lambda tag: wire.encode(Kind.DATA, 2**32 - 1, tag=tag),
    ],
)  # fmt: skip
def test_an_actor_that_answers_nonsense_is_left_for_the_next(
    serve: Callable[..., Actor], answer: Callable[[int], bytes]
) -> None:
    good = serve(Echoing())
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve_evil() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(1 << 16)
                peer.sendall(spoken(Kind.WELCOME, {"version": 1}))
                peer.recv(1 << 16)
                peer.sendall(answer(1))
                peer.recv(1)

        thread = threading.Thread(target=serve_evil, daemon=True)
        thread.start()
        evil = f"127.0.0.1:{listener.getsockname()[1]}"
        client = ActorClient(
            [evil, good.address], token=TOKEN, name="c", meter=Meter("c"), stop=threading.Event(), spaces=None,
            timeout_s=DEADLINE_S, turn=0,
        )  # fmt: skip
        assert client.predict(rows(2, first=3))[0].action.tolist() == [3, 4]
        assert client.address == good.address
        client.close()
        thread.join(DEADLINE_S)
