"""Play and reanalyse at one actor: neither starves the other, and what one leaves unused is the other's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kaimesh.actor.batcher import Batcher
from kaimesh.actor.client import REANALYSER
from kaimesh.actor.turns import MOST_WAITING, Turns
from kaimesh.contract.arrays import Batch
from kaimesh.contract.errors import AgentError, Refused
from kaimesh.wire.frame import Header
from kaimesh.wire.internal import INTERNAL_ERRORS
from tests.actor.conftest import DEADLINE_S, SPACES, Echoing, PreparedAgent, rows


class Searching(PreparedAgent):
    """Also answers reanalyse. Waits at a prediction until `go`; notes the method and the rows of each call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, int]] = []
        self.go = threading.Event()
        self.go.set()

    def predict(self, list_obs_data: Batch) -> Any:
        assert self.go.wait(DEADLINE_S)
        self.calls.append(("predict", len(list_obs_data)))
        return super().predict(list_obs_data)

    def questions(self, samples: Batch) -> Batch:
        return samples

    def reanalyse(self, list_obs_data: Batch) -> Any:
        self.calls.append(("reanalyse", len(list_obs_data)))
        return {"found": list_obs_data.columns["asked"] + 1}

    def copies(self, samples: Batch, answers: Batch, version: np.ndarray) -> Batch:
        return samples


def asked(count: int, first: int = 0) -> Batch:
    return Batch({"asked": np.arange(first, first + count)})


def sums(calls: list[tuple[str, int]]) -> dict[str, int]:
    return {method: sum(count for name, count in calls if name == method) for method in ("predict", "reanalyse")}


@pytest.mark.parametrize("share", [0.1, 0.25, 0.6])
def test_while_both_ask_each_gets_its_share_and_alone_all(serve: Callable[..., Any], share: float) -> None:
    agent, played, most = Searching(), 60, 200
    actor = serve(agent, max_rows=8, share=share)
    player, again = actor.client(), [actor.client(f"reanalyse_0/{k}", role=REANALYSER) for k in range(4)]
    player.predict(rows(1))
    for client in again:
        client.predict(asked(1))  # all are connected
    agent.go.clear()
    agent.calls.clear()
    for i in range(played):
        player.send(rows(8, first=8 * i))
    for i in range(most):
        again[i % 4].send(asked(4, first=4 * i))
    agent.go.set()
    for i in range(played):
        np.testing.assert_array_equal(player.receive()[0].action, range(8 * i, 8 * i + 8))
    for i in range(most):
        np.testing.assert_array_equal(again[i % 4].receive()[0].found, range(4 * i + 1, 4 * i + 5))
    first = next(i for i, (method, _) in enumerate(agent.calls) if method == "predict")
    last = max(i for i, (method, _) in enumerate(agent.calls) if method == "predict")
    together = sums(agent.calls[first : last + 1])
    assert together["predict"] == 8 * played
    assert together["reanalyse"] == pytest.approx(8 * played * share / (1 - share), abs=24)
    assert sums(agent.calls)["reanalyse"] == 4 * most, "the rest came when play asked no more"
    for end in range(first, last):
        so_far = sums(agent.calls[first:end])
        assert so_far["reanalyse"] <= so_far["predict"] * share / (1 - share) + 16, "play waits no longer than that"
    assert actor.meter.counters["reanalysed_rows"] == 4 * most + 4


def test_an_agent_that_cannot_search_again_refuses_it_in_words(serve: Callable[..., Any]) -> None:
    again = serve(Echoing()).client(role=REANALYSER)
    with pytest.raises(Refused, match=r"Echoing cannot search stored samples again.*Set reanalyse_count = 0"):
        again.send(asked(1))


@pytest.mark.parametrize("odd", ["other columns", "our own bug"])
def test_what_fails_in_its_turn_is_told_to_it_alone(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, internal_errors: list[str], odd: str
) -> None:
    actor = serve(agent := Searching())
    player, again = actor.client(), actor.client("reanalyse_0/0", role=REANALYSER)
    if odd == "other columns":
        monkeypatch.setattr(agent, "reanalyse", lambda asked: {f"found{asked.columns['asked'][0]}": asked.asked})
        with pytest.raises(AgentError, match=r"Searching.reanalyse returned columns .* in one call and .* in the next"):
            again.predict(asked(20))
    else:
        monkeypatch.setattr(Batcher, "predict", lambda *given: 1 / 0)
        with pytest.raises(Refused, match="this server failed at what came from here; its log has the traceback"):
            again.predict(asked(2))
        monkeypatch.undo()
        assert len(internal_errors) == actor.meter.counters[INTERNAL_ERRORS] == 1
        internal_errors.clear()
    assert len(player.predict(rows(3))[0].action) == 3
    assert actor.failure is None


def test_it_needs_the_spaces_of_the_players_and_not_their_fields(serve: Callable[..., Any]) -> None:
    actor = serve(Searching())
    actor.client().predict(rows(2))
    assert actor.client(role=REANALYSER).predict(asked(1))[0].found == [1]
    with pytest.raises(Refused, match="differ from"):
        actor.client(role=REANALYSER, spaces=SPACES._replace(action_size=7)).predict(asked(1))
    player = actor.client("aisrv_1/0")
    assert len(player.predict(rows(3))[0].action) == 3


def header(count: int) -> Header:
    return Header(**{**dict.fromkeys(Header._fields, 0), "rows": count})


class Peer:
    """Stands for a connection."""


def test_play_that_pauses_shortly_is_not_kept_waiting() -> None:
    now, searched = [0.0], []
    turns = Turns(0.5, 8, lambda: now[0])

    def search(connection: Any, header: Header, payload: bytes) -> None:
        searched.append(header.rows)
        now[0] += 1.0

    def step(playing: bool) -> int:
        before = len(searched)
        turns.serve(search, playing)
        return len(searched) - before

    peer: Any = Peer()
    assert all(turns.add(peer, header(4), b"") for _ in range(MOST_WAITING - 1))
    assert not turns.add(peer, header(4), b""), "nothing more is read from it"
    assert step(playing=True) == 0
    assert step(playing=False) == 1, "nobody has played yet, and nothing is known of how long it takes"
    turns.played(2)
    assert turns.idle_s == 1.0, "a search took a second, so play may pause as long"
    assert step(playing=False) == 0
    now[0] += 1.0
    assert turns.idle_s == 0.0
    assert step(playing=False) == 1
    turns.played(4)
    assert (step(playing=True), step(playing=True)) == (1, 0), "its share"
    turns.leave(peer)
    assert not turns
    turns.played(1000)
    assert not turns.owed
    turns.add(peer, header(4), b"")
    turns.add(peer, header(4), b"")
    turns.add(peer, header(4), b"")
    assert step(playing=True) == 2, "what it did not ask for is not saved up, but for 8 rows"
