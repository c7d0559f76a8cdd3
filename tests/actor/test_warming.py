"""Agents that warm up and measure themselves, that take few rows at a time, and that are busy for long."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kaimesh.actor.batcher import Batcher
from kaimesh.agent import beat
from kaimesh.contract.agent import user_code
from kaimesh.contract.errors import AgentError, ConfigError
from kaimesh.contract.predicting import Predictor
from kaimesh.contract.user_agent import read_agent
from kaimesh.process.meter import Meter
from kaimesh.process.watchdog import Limits, Watchdog
from tests.actor.conftest import DEADLINE_S, SPACES, Actor, Echoing, PreparedAgent, rows


class Measured(PreparedAgent):
    """Its warm_up returns `takes`."""

    def __init__(self, takes: Any) -> None:
        super().__init__()
        self.takes, self.asked = takes, list[int]()

    def warm_up(self, rows: int) -> Any:
        assert self.spaces, "it is set up before"
        assert not self.sizes, "and answers after it"
        self.asked.append(rows)
        return self.takes


def batcher_of(agent: Any, max_rows: int = 64, **named: Any) -> Batcher:
    return Batcher(read_agent(agent), max_rows=max_rows, meter=Meter("actor_0"), **named)


@pytest.mark.parametrize(
    ("takes", "asked_rows", "rows_of_a_call", "refused"),
    [
        (None, 32, 32, False),
        (4.9, 32, 32, False),
        (5.1, 32, 32, True),
        (2.4, 128, 64, False),  # two calls
        (2.6, 128, 64, True),
        (np.float32(1e9), 1, 1, True),
        (float("inf"), 1, 1, True),
    ],
)
def test_who_cannot_answer_all_in_half_of_the_timeout_is_refused_with_what_to_change(
    takes: Any, asked_rows: int, rows_of_a_call: int, refused: bool
) -> None:
    agent = Measured(takes)
    batcher = batcher_of(agent, timeout_s=10.0, asked_rows=asked_rows)
    if refused:
        with pytest.raises(ConfigError, match=r"Measured\.warm_up says .*fewer simulations.*predict_timeout_seconds\."):
            batcher.setup(SPACES)
    else:
        batcher.setup(SPACES)
    assert agent.asked == [rows_of_a_call]


def test_what_reanalyse_takes_beside_them_counts_too() -> None:
    """Play waits for its searches as well, so that with a large share of theirs no answer would come in time."""
    batcher_of(Measured(0.49), timeout_s=10.0, asked_rows=32, again=0.9).setup(SPACES)
    words = r"1 calls, 5\.1 s beside reanalyse \(reanalyse_actor_share = 0\.9\).*, or lower reanalyse_actor_share\."
    with pytest.raises(ConfigError, match=words):
        batcher_of(Measured(0.51), timeout_s=10.0, asked_rows=32, again=0.9).setup(SPACES)


@pytest.mark.parametrize("takes", [-1.0, float("nan"), "2", True, [1.0]])
def test_a_time_that_is_none_is_the_agents_error(takes: Any) -> None:
    with pytest.raises(AgentError, match=r"Measured\.warm_up returned .*which is no time"):
        batcher_of(Measured(takes)).setup(SPACES)


def test_the_actor_warms_up_before_its_first_answer_and_says_so(serve: Callable[..., Actor]) -> None:
    agent, said, go = Measured(None), list[str](), threading.Event()
    actor = serve(agent)

    def warm_up(rows: int) -> None:
        said.append(actor.meter.snapshot()["blocked_on"])
        go.wait(DEADLINE_S)

    agent.warm_up = warm_up  # type: ignore[method-assign]
    actor.batcher.user = read_agent(agent)
    client = actor.client()
    client.send(rows(2))
    go.set()
    answer, _ = client.receive()
    np.testing.assert_array_equal(answer.action, [0, 1])
    assert said == ["Measured.warm_up: the agent compiles and measures itself"]


def test_an_agent_that_is_too_slow_ends_the_actor(serve: Callable[..., Actor]) -> None:
    actor = serve(Measured(1e6))
    actor.batcher._timeout_s = 10.0
    actor.client().send(rows(1))
    actor.join()
    assert isinstance(actor.failure, ConfigError)


@pytest.mark.parametrize("padded", [False, True])
def test_no_call_gets_more_rows_than_the_agent_wants(serve: Callable[..., Actor], padded: bool) -> None:
    agent = Echoing()
    agent.predict_rows_at_most, agent.pad_batches = 3, padded
    actor = serve(agent, max_rows=8)
    client = actor.client()
    for count in (1, 3, 7, 20):
        client.send(rows(count))
        answer, _ = client.receive()
        np.testing.assert_array_equal(answer.action, np.arange(count))
    assert max(agent.sizes) == 3
    assert len(agent.sizes) == 1 + 1 + 3 + 7


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("count", [1, 4, 5, 13])
def test_nor_does_a_call_outside_an_actor(padded: bool, count: int) -> None:
    agent, arrays = Echoing(), np.zeros(4, np.int64)
    agent.predict_rows_at_most, agent.pad_batches = 4, padded

    def reused(batch: Any) -> dict[str, np.ndarray]:
        arrays[: len(batch)] = batch.obs[:, 0]
        return {"action": arrays[: len(batch)]}

    agent.hook = reused
    answer = Predictor(read_agent(agent)).answer_all(rows(count), exploit=False)
    np.testing.assert_array_equal(answer.action, np.arange(count))
    assert max(agent.sizes) <= 4


def test_a_long_call_that_beats_is_not_ended() -> None:
    meter = Meter("actor_0")
    meter.state("working")
    dog = Watchdog(meter, threading.Event(), logging.getLogger("a test"), Limits(5.0, 20.0))
    with user_code("actor: Agent.predict"):
        for _ in range(100):
            beat()
            assert not dog.tick()
        assert any(dog.tick() for _ in range(25)), "and one that beats no more is"
