"""One client's rows that fail: it gets the error, the others their answers, and the actor goes on."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kaimesh.actor.batcher import Batcher
from kaimesh.actor.peers import MOST_ROWS
from kaimesh.contract.arrays import Batch
from kaimesh.contract.errors import AgentError, Refused, SampleError
from kaimesh.contract.user_agent import read_agent
from kaimesh.process.meter import Meter
from kaimesh.training.checkpoint import ModelInfo
from kaimesh.wire import frame as wire
from kaimesh.wire.client import FrameClient
from kaimesh.wire.frame import Kind
from tests.actor.conftest import DEADLINE_S, TOKEN, Actor, Echoing, FakePool, PreparedAgent, rows
from tests.actor.test_server import Gate
from tests.harness import wait_until

Serve = Callable[..., Actor]
NAN, INF = float("nan"), float("inf")


class Wide(Echoing):
    """Takes a mask, a state and a number besides `obs`, and answers what its hook does not."""

    def predict(self, list_obs_data: Batch) -> Any:
        self.hook(list_obs_data)
        self.sizes.append(len(list_obs_data))
        return [
            type("Act", (), {"__init__": lambda self, **v: self.__dict__.update(v)})(action=int(row.obs[0]))
            for row in list_obs_data
        ]


def wide(count: int, first: int, **changes: Any) -> Batch:
    """`rows` with the other columns; a change is a value of the last row."""
    columns = {
        **rows(count, first).columns,
        "legal_act": np.ones((count, 2), bool),
        "state": np.zeros((count, 4), np.float32),
        "number": np.arange(count),
        "half": np.zeros((count, 1), np.float16),
        "wide": np.zeros(count, np.float64),
    }
    for name, value in changes.items():
        columns[name][-1] = value
    return Batch(columns)


def together(actor: Actor, asked: list[tuple[Any, Batch]]) -> None:
    """Sends the requests of the clients so that one call serves them all."""
    for client in dict.fromkeys(client for client, _ in asked):
        client.predict(wide(1, 0))
    gate = Gate(actor.agent)
    first = actor.client("gate")
    first.send(wide(1, 0))
    assert gate.entered.wait(DEADLINE_S)
    for client, batch in asked:
        client.send(batch)
    wait_until(lambda: all(not c._client or c._unanswered for c, _ in asked), DEADLINE_S, "they are sent")
    actor.agent.hook, opened = actor.agent.then, gate.opened  # type: ignore[attr-defined]
    opened.set()
    first.receive()


@pytest.mark.parametrize("changes", [{"obs": NAN}, {"obs": INF}, {"state": NAN}, {"half": -INF}, {"wide": NAN}])
def test_rows_that_are_not_finite_are_their_senders_alone(serve: Serve, changes: dict[str, float]) -> None:
    actor = serve(Wide())
    actor.agent.then = lambda batch: None
    good, bad, other = (actor.client(name) for name in ("good", "bad", "other"))
    together(actor, [(good, wide(2, 10)), (bad, wide(2, 20, **changes)), (other, wide(3, 30))])
    assert good.receive()[0].action.tolist() == [10, 11]
    with pytest.raises(AgentError, match=f"observation field '{next(iter(changes))}' of row 1 holds (nan|-?inf)"):
        bad.receive()
    assert other.receive()[0].action.tolist() == [30, 31, 32]
    assert actor.agent.sizes[-1] == 5  # in one call
    assert bad.predict(wide(1, 7))[0].action.tolist() == [7]


def _raises(batch: Batch) -> None:
    if (batch.obs[:, 0] == 21).any():
        raise IndexError("no such unit")


def _leaves(batch: Batch) -> None:
    if (batch.number == 99).any():
        raise SystemExit(3)


@pytest.mark.parametrize(
    ("then", "changes", "words"),
    [(_raises, {}, "IndexError: no such unit"), (_leaves, {"number": 99}, "SystemExit: 3")],
)
def test_an_exception_is_told_to_whose_row_caused_it(
    serve: Serve, then: Callable[[Batch], None], changes: dict[str, int], words: str
) -> None:
    actor = serve(Wide(), max_rows=32)
    actor.agent.then = then
    clients = [actor.client(f"c{i}") for i in range(5)]
    together(actor, [(client, wide(2, 10 * i, **(changes if i == 2 else {}))) for i, client in enumerate(clients)])
    for i, client in enumerate(clients):
        if i == 2:
            with pytest.raises(AgentError, match=words) as caught:
                client.receive()
            assert "test_neighbours.py" in caught.value.remote_traceback
        else:
            assert client.receive()[0].action.tolist() == [10 * i, 10 * i + 1]
    assert actor.failure is None


def test_a_nan_answer_is_its_rows_alone(serve: Serve) -> None:
    class Diverges(Wide):
        def predict(self, list_obs_data: Batch) -> Any:
            self.hook(list_obs_data)
            first = list_obs_data.obs[:, 0]
            return {"action": first.astype(int), "value": np.where(first == 21, np.nan, -np.inf)}

    actor = serve(Diverges())
    actor.agent.then = lambda batch: None
    good, bad = actor.client("good"), actor.client("bad")
    together(actor, [(bad, wide(2, 20)), (good, wide(2, 10))])
    with pytest.raises(AgentError, match="NaN in field 'value', in 1 of 2 rows"):
        bad.receive()
    assert good.receive()[0].action.tolist() == [10, 11]


def test_a_clients_answers_and_errors_keep_their_order(serve: Serve) -> None:
    actor = serve(Wide(), max_rows=64)
    actor.agent.then = _raises
    client, other = actor.client("mixed"), actor.client("other")
    batches = [wide(1, 1), wide(1, 2, obs=NAN), wide(1, 3), wide(2, 20), wide(1, 5), wide(1, 6, wide=INF)]
    together(actor, [(other, wide(1, 8)), *((client, batch) for batch in batches)])
    for action in (1, None, 3, None, 5, None):
        if action is None:
            with pytest.raises(AgentError):
                client.receive()
        else:
            assert client.receive()[0].action.tolist() == [action]
    assert other.receive()[0].action.tolist() == [8]


def test_a_request_over_the_limit_of_a_batch_is_checked_too(serve: Serve) -> None:
    client = serve(Echoing(), max_rows=4).client()
    batch = rows(11)
    batch.columns["obs"][9, 1] = NAN
    with pytest.raises(AgentError, match="holds nan"):
        client.predict(batch)
    assert client.predict(rows(11))[0].action.tolist() == list(range(11))


def test_without_a_port_rows_are_checked_as_well() -> None:
    batcher = Batcher(read_agent(Echoing()), max_rows=8, meter=Meter("a"))
    batch = rows(2)
    batch.columns["obs"][1, 2] = INF
    with pytest.raises(SampleError, match="field 'obs' of row 1 holds inf"):
        batcher.predict([batch])
    large = rows(3)
    large.columns["obs"] *= 1e30  # whose squares overflow
    batcher.predict([large])


class TestRequests:
    """What a client may ask, and what not."""

    def connect(self, actor: Actor, **hello: Any) -> FrameClient:
        return FrameClient(actor.address, token=TOKEN, role="player", name="stranger", hello=hello)

    @pytest.mark.parametrize(
        "id",
        [
            -1,
            2**63,
            10**400,
            True,
            1.5,
            NAN,
            "²",
            "٣",
            "-1",
            "1" * 30,
            "",
            " 1",
            "1\n",
            None,
            [],
            {},
            ["latest"],
            "newest",
        ],
        ids=repr,
    )
    def test_an_id_that_is_none_is_an_error(self, serve: Serve, tmp_path: Path, id: Any) -> None:
        actor = serve(PreparedAgent(), tmp_path)
        actor.pool.offer(1)
        client = actor.client()
        client.predict(rows(1))
        with pytest.raises(AgentError, match="is not a request"):
            client.load_model(id)
        assert client.load_model("1") == 1
        assert actor.failure is None

    @pytest.mark.parametrize("request_", [{}, {"do": "format"}, {"do": ["version"]}, {"do": None, "x": [[[]]]}])
    def test_a_request_that_is_none_is_an_error(self, serve: Serve, request_: dict[str, Any]) -> None:
        client = self.connect(serve(Echoing()))
        with pytest.raises(AgentError, match="is not a request"):
            client.call(request_)
        assert client.call({"do": "version"}) == {"version": -1}

    @pytest.mark.parametrize("payload", [b"[]", b"7", b"\xff", b"", b"[" * 100_000])
    def test_control_that_is_no_object_is_refused(self, serve: Serve, payload: bytes) -> None:
        client = self.connect(serve(Echoing()))
        client.send(Kind.CONTROL, [payload])
        assert client.receive()[0].kind == Kind.REFUSED

    def test_rows_without_bytes_and_too_many_rows_cost_nothing(self, serve: Serve) -> None:
        actor = serve(Echoing())
        with pytest.raises(Refused, match="no bytes"):
            self.connect(actor, specs=[["obs", "<f4", [0]]])
        client = self.connect(actor, specs=[["obs", "|u1", []]])
        for count in (2**32 - 1, MOST_ROWS + 1):
            client.send(Kind.DATA, [], rows=count)
            header, payload = client.receive()
            assert header.kind == Kind.ERROR
            assert f"at most {MOST_ROWS}" in wire.from_json(payload)["message"]

    def test_specs_alone_reserve_nothing_and_are_forgotten(self, serve: Serve) -> None:
        actor = serve(Echoing())
        for i in range(20):
            client = self.connect(actor, specs=[[f"f{i}", "|u1", [1 << 28]]])
            client.close()
        wait_until(lambda: not actor.batcher._lanes, DEADLINE_S, "they are gone")

    def test_what_waits_for_a_model_goes_with_its_sender(self, serve: Serve, tmp_path: Path) -> None:
        actor = serve(PreparedAgent(), tmp_path)
        client = actor.client("gone")
        client.send(rows(2))
        wait_until(lambda: len(actor.server._held) == 1, DEADLINE_S, "it is held")
        client.close()
        actor.pool.offer(0)
        assert actor.client("stays").predict(rows(1, first=3))[0].action.tolist() == [3]
        assert not actor.server._held

    def test_who_goes_while_several_of_its_models_are_ready_disturbs_nobody(self, serve: Serve, tmp_path: Path) -> None:
        class Slow(FakePool):
            asked = threading.Event()

            def pull(self, id: int | str, into: Path) -> ModelInfo:
                assert self.asked.wait(DEADLINE_S)
                return super().pull(id, into)

        actor = serve(Echoing(), tmp_path, pool=Slow())
        client, other = self.connect(actor), self.connect(actor)
        actor.stop.set()
        actor.join()  # from here on the test makes its turns
        server = actor.server
        request = wire.to_json({"do": "load_model", "id": 7})
        client._sock.sendall((wire.encode(Kind.CONTROL, len(request)) + request) * 8)  # the later ones hide the end
        while len(server._loads) < 3:
            server.step(DEADLINE_S)
        client._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        actor.pool.asked.set()
        wait_until(lambda: all(future.done() for _, _, future in server._loads), DEADLINE_S, "there is no such model")
        while len(server._frames.connections) > 1:
            server.step(DEADLINE_S)
        assert not server._loads
        actor.pool.offer(7)
        actor.pool.asked.clear()
        for _ in range(3):
            other.send(Kind.CONTROL, [request])
        while len(server._loads) < 3:
            server.step(DEADLINE_S)
        other.close()
        while server._frames.connections:
            server.step(DEADLINE_S)
        actor.pool.asked.set()
        wait_until(lambda: not [*tmp_path.glob("0*")], DEADLINE_S, "what was pulled for it is removed")
