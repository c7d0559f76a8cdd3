"""The loop over real sockets: batching across clients, the agent's errors, weights, waiting, strangers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kaimesh.contract.arrays import Batch
from kaimesh.contract.errors import AgentError, Refused
from kaimesh.contract.spaces import Spaces
from kaimesh.wire import frame as wire
from kaimesh.wire.client import FrameClient
from kaimesh.wire.frame import Kind
from tests.actor.conftest import DEADLINE_S, SPACES, TOKEN, Actor, Echoing, PreparedAgent, rows
from tests.harness import wait_until

Serve = Callable[..., Actor]


class Gate:
    """Stops an agent inside predict until it is opened."""

    def __init__(self, agent: Echoing) -> None:
        self.entered, self.opened = threading.Event(), threading.Event()
        agent.hook = self

    def __call__(self, _: Batch) -> None:
        self.entered.set()
        assert self.opened.wait(DEADLINE_S)


def test_predict_and_exploit(serve: Serve) -> None:
    client = serve(Echoing()).client()
    answer, version = client.predict(rows(3, first=4))
    assert answer.action.tolist() == [4, 5, 6]
    assert version == -1
    answer, _ = client.predict(rows(2, first=4), exploit=True)  # other act columns: SPECS come again
    assert answer.action.tolist() == [-4, -5]
    assert "value" not in answer.columns
    assert client.predict(rows(1, first=9))[0].value.tolist() == [27.0]


def test_what_waits_during_a_batch_is_the_next_batch(serve: Serve) -> None:
    actor = serve(Echoing())
    clients = [actor.client(f"aisrv_{i}") for i in range(5)]
    for client in clients:
        client.predict(rows(1))
    actor.agent.sizes.clear()
    gate = Gate(actor.agent)
    clients[0].send(rows(1))
    assert gate.entered.wait(DEADLINE_S)
    for i, client in enumerate(clients[1:], 1):
        client.send(rows(2, first=10 * i))
    gate.opened.set()
    for i, client in enumerate(clients):
        assert client.receive()[0].action.tolist() == [10 * i, 10 * i + 1][: 1 + (i > 0)]
    assert actor.agent.sizes == [1, 8]


def test_a_batch_never_exceeds_the_limit_and_a_larger_request_is_split(serve: Serve) -> None:
    actor = serve(Echoing(), max_rows=4)
    client = actor.client()
    assert client.predict(rows(11))[0].action.tolist() == list(range(11))
    assert actor.agent.sizes == [4, 4, 3]


def test_one_client_with_several_requests_under_way(serve: Serve) -> None:
    client = serve(Echoing()).client()
    for i in range(6):
        client.send(rows(3, first=10 * i), exploit=i % 2 == 1)
    for i in range(6):
        answer, _ = client.receive()
        assert abs(answer.action).tolist() == [10 * i, 10 * i + 1, 10 * i + 2]


def test_the_agents_exception_reaches_every_caller_with_its_traceback(serve: Serve) -> None:
    actor = serve(Echoing())

    def fails_in_a_function_of_this_name(_: Batch) -> None:
        raise ValueError("the feature is too short")

    actor.agent.hook = fails_in_a_function_of_this_name
    clients = [actor.client("a"), actor.client("b")]
    for client in clients:
        client.send(rows(1))
    for client in clients:
        with pytest.raises(AgentError, match=r"Echoing.predict raised ValueError: the feature is too short") as caught:
            client.receive()
        assert "fails_in_a_function_of_this_name" in caught.value.remote_traceback
        assert "ValueError" in str(caught.value)
    actor.agent.hook = lambda batch: None
    assert clients[0].predict(rows(2))[0].action.tolist() == [0, 1]


def test_an_impossible_answer_reaches_the_caller(serve: Serve) -> None:
    actor = serve(Echoing())
    actor.agent.predict = lambda batch: None
    with pytest.raises(AgentError, match="returned None"):
        actor.client().predict(rows(1))
    assert actor.failure is None


def test_observations_may_change_for_an_agent_without_a_network_of_ours(serve: Serve) -> None:
    client = serve(Echoing()).client()
    client.predict(rows(1))
    wide = Batch({"obs": np.ones((2, 9), np.float32)})
    assert client.predict(wide)[0].value.tolist() == [9.0, 9.0]


class TestNative:
    """An agent with `setup`."""

    def test_it_is_set_up_once_and_waits_for_its_first_model(self, serve: Serve, tmp_path: Path) -> None:
        actor = serve(PreparedAgent(), tmp_path)
        first, second = actor.client("a"), actor.client("b")
        first.send(rows(1))
        second.send(rows(2))
        wait_until(lambda: "2 requests are held" in actor.state()[1], DEADLINE_S, "both are held")
        assert actor.state()[0] == "waiting"
        assert actor.state()[1].startswith("model_pool: no model yet")
        assert actor.agent.sizes == []
        other = actor.client("c")
        assert other.version() == -1  # can be asked all the same
        actor.pool.offer(0)
        assert first.receive()[1] == 0
        assert second.receive()[0].action.tolist() == [0, 1]
        assert actor.agent.spaces == [SPACES]
        assert actor.agent.loaded == [("weights 0", "0")]

    def test_another_environment_is_refused(self, serve: Serve) -> None:
        actor = serve(PreparedAgent())
        actor.client().predict(rows(1))
        with pytest.raises(Refused, match="the same environment"):
            actor.client(spaces=SPACES._replace(action_size=3)).predict(rows(1))
        with pytest.raises(Refused, match="takes only one kind"):
            actor.client().predict(Batch({"obs": np.zeros((1, 4), np.float32)}))
        with pytest.raises(Refused, match="named none"):
            actor.client(spaces=None).predict(rows(1))
        assert actor.client().predict(rows(1))[0].action.tolist() == [0]

    def test_spaces_that_setup_raises_for_are_refused_and_others_are_served(self, serve: Serve) -> None:
        actor = serve(PreparedAgent())
        right = actor.agent.setup

        def setup(spaces: Spaces) -> None:
            assert spaces.action_size < 100, "no network has so many actions"
            right(spaces)

        actor.agent.setup = setup
        for _ in range(2):
            with pytest.raises(
                Refused,
                match=r"Agent.setup raised AssertionError: no network has so many actions.*log has the traceback",
            ):
                actor.client(spaces=SPACES._replace(action_size=100)).predict(rows(1))
        assert actor.client().predict(rows(1, first=3))[0].action.tolist() == [3]
        assert actor.agent.spaces == [SPACES]

    def test_what_the_first_client_declared_binds_nobody_once_it_has_gone(self, serve: Serve) -> None:
        actor = serve(PreparedAgent())
        wrong = actor.client(spaces=SPACES._replace(action_size=3))
        wrong.predict(Batch({"obs": np.zeros((1, 9), np.float32)}))
        with pytest.raises(Refused, match="the same environment"):
            actor.client().predict(rows(1))
        wrong.close()
        wait_until(lambda: not actor.server._frames.connections, DEADLINE_S, "it is gone")
        assert actor.client().predict(rows(1, first=3))[0].action.tolist() == [3]


class TestWeights:
    """Versions, swaps, and what a workflow may ask for."""

    def test_weights_are_swapped_between_two_batches(self, serve: Serve, tmp_path: Path) -> None:
        actor = serve(PreparedAgent(), tmp_path)
        actor.pool.offer(1)
        client, other = actor.client(), actor.client("other")
        assert client.predict(rows(1))[1] == 1
        assert other.predict(rows(1))[1] == 1
        gate = Gate(actor.agent)
        client.send(rows(1))
        assert gate.entered.wait(DEADLINE_S)
        actor.pool.offer(2)
        assert actor.models is not None
        wait_until(lambda: actor.models.newest is not None and actor.models.newest.id == 2, DEADLINE_S, "it is pulled")
        other.send(rows(1))
        assert actor.agent.loaded[-1][1] == "1"  # not in the middle of a batch
        gate.opened.set()
        assert client.receive()[1] == 1
        assert other.receive()[1] == 2
        assert actor.meter.info["model_version"] == 2

    def test_numbers_stay_until_latest(self, serve: Serve, tmp_path: Path) -> None:
        actor = serve(PreparedAgent(), tmp_path)
        for id in (1, 2, 3):
            actor.pool.offer(id)
        client = actor.client()
        assert client.load_model("latest") == 3
        assert client.load_model(2) == 2
        assert client.predict(rows(1))[1] == 2
        actor.pool.offer(4)
        assert actor.models is not None
        wait_until(lambda: actor.models.newest is not None and actor.models.newest.id == 4, DEADLINE_S, "it is pulled")
        assert client.predict(rows(1))[1] == 2
        assert client.load_model("random") == 1  # the fake's idea of random
        assert client.load_model("latest") == 4
        assert client.version() == 4
        assert actor.agent.loaded[-1] == ("weights 4", "4")

    def test_a_model_that_is_not_there(self, serve: Serve, tmp_path: Path) -> None:
        actor = serve(PreparedAgent(), tmp_path)
        actor.pool.offer(1)
        client = actor.client()
        with pytest.raises(AgentError, match="no model 77"):
            client.load_model(77)
        with pytest.raises(AgentError, match=r"latest.*random.*number"):
            client.load_model("newest")
        assert client.predict(rows(1))[1] == 1

    def test_a_load_that_raises_reaches_who_asked_for_it(self, serve: Serve, tmp_path: Path) -> None:
        actor = serve(PreparedAgent(), tmp_path)
        actor.pool.offer(1)
        client = actor.client()
        client.predict(rows(1))

        def fail(**_: Any) -> None:
            raise KeyError("layer 3")

        actor.agent.load_model = fail
        with pytest.raises(AgentError, match="layer 3") as caught:
            client.load_model(1)
        assert "KeyError" in caught.value.remote_traceback
        assert client.predict(rows(1))[1] == 1
        assert actor.failure is None

    def test_a_newer_model_that_cannot_be_loaded_ends_the_actor(self, serve: Serve, tmp_path: Path) -> None:
        actor = serve(PreparedAgent(), tmp_path)
        actor.agent.load_model = lambda path, id: 1 / 0
        actor.pool.offer(1)
        actor.client().send(rows(1))
        actor.join()
        assert isinstance(actor.failure, AgentError)

    def test_load_model_with_predictions_under_way(self, serve: Serve, tmp_path: Path) -> None:
        actor = serve(PreparedAgent(), tmp_path)
        actor.pool.offer(1)
        client = actor.client()
        client.send(rows(1, first=5))
        client.send(rows(1, first=6))
        assert client.load_model("latest") == 1
        assert client.receive()[0].action.tolist() == [5]
        assert client.predict(rows(1, first=7))[0].action.tolist() == [6]  # answers come in the order of the requests
        assert client.receive()[0].action.tolist() == [7]


class TestWaiting:
    """predict_max_wait_us > 0, here longer than any test runs: whatever is answered did not wait for the timer."""

    def test_it_waits_for_who_can_come_and_for_nobody_else(self, serve: Serve) -> None:
        actor = serve(Echoing(), max_wait_s=1000.0)
        first, second = actor.client("a"), actor.client("b")
        first.predict(rows(2))  # alone so far
        second.send(rows(3))
        wait_until(lambda: actor.server._waiting, DEADLINE_S, "it waits for the first")
        first.send(rows(2))
        first.receive(), second.receive()
        assert actor.agent.sizes == [2, 5]
        second.close()
        wait_until(lambda: len(actor.server._frames.connections) == 1, DEADLINE_S, "the second is gone")
        first.predict(rows(2))

    def test_it_does_not_wait_when_the_batch_is_full(self, serve: Serve) -> None:
        actor = serve(Echoing(), max_wait_s=1000.0, max_rows=4)
        first, second = actor.client("a"), actor.client("b")
        first.predict(rows(4))
        second.predict(rows(4))

    def test_it_stops_waiting_when_someone_leaves(self, serve: Serve) -> None:
        actor = serve(Echoing(), max_wait_s=1000.0)
        first, second = actor.client("a"), actor.client("b")
        first.predict(rows(1))
        second.send(rows(1))
        wait_until(lambda: actor.server._waiting, DEADLINE_S, "it waits for the first")
        first.close()
        second.receive()

    def test_it_waits_no_longer_than_it_may(self, serve: Serve) -> None:
        actor = serve(Echoing(), max_wait_s=0.0005)
        first, second = actor.client("a"), actor.client("b")
        first.predict(rows(1))
        for _ in range(20):
            second.predict(rows(1))

    def test_two_methods_do_not_wait_for_each_other(self, serve: Serve) -> None:
        actor = serve(Echoing(), max_wait_s=1000.0)
        first, second = actor.client("a"), actor.client("b")
        first.predict(rows(1))
        second.send(rows(1), exploit=True)
        second.send(rows(1, first=3))
        assert second.receive()[0].action.tolist() == [0]
        first.send(rows(1, first=4))
        assert second.receive()[0].action.tolist() == [3]


class TestStrangers:
    """What does not come from our client."""

    @settings(
        max_examples=25,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(data=st.binary(min_size=1, max_size=200))
    def test_random_bytes(self, serve: Serve, data: bytes) -> None:
        actor = serve(Echoing())
        with socket.create_connection(("127.0.0.1", actor.server.port), 5) as sock:
            sock.sendall(data)
        client = actor.client()
        assert client.predict(rows(1, first=3))[0].action.tolist() == [3]
        actor.close()

    def test_a_wrong_token(self, serve: Serve) -> None:
        with pytest.raises(Refused, match="wrong token"):
            serve(Echoing()).client(token="guess").predict(rows(1))

    @settings(
        max_examples=25,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(
        kind=st.integers(0, 255),
        method=st.integers(0, 255),
        count=st.integers(0, 2**32 - 1),
        payload=st.binary(max_size=64),
    )
    def test_well_framed_nonsense_after_the_handshake(
        self, serve: Serve, kind: int, method: int, count: int, payload: bytes
    ) -> None:
        actor = serve(Echoing())
        raw = self.connect(actor)
        header = wire.HEADER.pack(wire.MAGIC, kind, method, 0, len(payload), count, 1, 0)
        raw._sock.sendall(header + payload)
        assert raw.receive(DEADLINE_S)[0].kind in (Kind.REFUSED, Kind.ERROR, Kind.SPECS)
        assert actor.client().predict(rows(1, first=3))[0].action.tolist() == [3]
        raw.close()
        actor.close()

    def test_rows_of_another_size_are_an_error_and_the_connection_lives(self, serve: Serve) -> None:
        actor = serve(Echoing())
        raw = self.connect(actor)
        raw.send(Kind.DATA, [bytes(5)], rows=2, tag=9)
        header, payload = raw.receive()
        assert (header.kind, header.tag) == (Kind.ERROR, 9)
        assert "2 observations" in wire.from_json(payload)["message"]
        raw.send_rows(rows(1, first=2), rows(1).specs)
        assert raw.receive_rows()[1].action.tolist() == [2]

    def connect(self, actor: Actor) -> FrameClient:
        hello = {"specs": rows(1).specs.to_json()}
        return FrameClient(actor.address, token=TOKEN, role="player", name="stranger", hello=hello)
