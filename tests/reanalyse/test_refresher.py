"""Samples become questions in pieces, and the answers fresh copies of the same samples."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import pytest

from kaimesh.contract.agent import TableSpec
from kaimesh.contract.arrays import Batch
from kaimesh.contract.columns import KEY, MODEL_VERSION, PROBABILITY, SERVER
from kaimesh.contract.errors import AgentError, ConfigError
from kaimesh.contract.user_agent import check_reanalysing, read_agent
from kaimesh.process.meter import Meter
from kaimesh.reanalyse.refresher import PIECES, Refresher

L = 3  # questions about each sample
ODD: dict[str, Any] = {"None": None, "a number": 3, "text": "abc", "an array": np.zeros(3), "a generator": iter(())}
ODD |= {"a column of one number": {"asked": 3}, "texts": {"asked": ["a", "b"]}, "objects": [object()]}
NAN = {"asked": np.array([1.0, np.nan])}


class Agent:
    """Asks about each sample's number, three times."""

    table = TableSpec(kind="replay", rows_per_item=1)
    unroll_length = 1

    def __init__(self) -> None:
        self.fault = ""

    def predict(self, list_obs_data: Batch) -> Any:
        raise AssertionError

    exploit = learn = save_model = load_model = reanalyse = predict

    def questions(self, samples: Batch) -> Batch:
        assert set(samples.columns) == {"number", "found", MODEL_VERSION}, "and not what was added by the draw"
        if self.fault == "raises":
            raise ValueError("no questions today")
        if self.fault.startswith("questions: "):
            return {**ODD, "NaN": NAN}[self.fault.removeprefix("questions: ")]
        count = 0 if self.fault == "asks nothing" else L
        return Batch({"asked": np.repeat(samples.number, count) * 10 + np.tile(np.arange(count), len(samples))})

    def copies(self, samples: Batch, answers: Batch, version: np.ndarray) -> Batch:
        if self.fault == "takes a column away":
            del samples.columns["found"]
            return samples
        if self.fault.startswith("copies: "):
            return ODD[self.fault.removeprefix("copies: ")]
        if self.fault == "another number":
            return samples[:1]
        found = answers.columns["found"].reshape(-1, L)
        dtype = np.float32 if self.fault == "changes a dtype" else np.int64
        return Batch({**samples.columns, "found": found.astype(dtype), MODEL_VERSION: version.reshape(-1, L).min(1)})


class Actor:
    """Answers one question at a time, with a newer model each time; its answers are overwritten by the next one."""

    def __init__(self, log: list[int]) -> None:
        self._open: deque[np.ndarray] = deque()
        self._memory = np.zeros(64, np.int64)
        self.log, self.differ = log, False

    def send(self, batch: Batch) -> None:
        assert len(self._open) < PIECES
        self._open.append(batch.columns["asked"])

    def receive(self) -> tuple[Batch, int]:
        asked = self._open.popleft()
        self.log.append(len(asked))
        self._memory[: len(asked)] = asked + 5
        name = "lost" if self.differ and len(self.log) > 1 else "found"
        return Batch({name: self._memory[: len(asked)]}), 100 + len(self.log)


def drawn(count: int) -> Batch:
    columns = {"number": np.arange(count), "found": np.zeros((count, L), np.int64)}
    added = {KEY: np.zeros(count, np.uint64), SERVER: np.zeros(count, int), PROBABILITY: np.ones(count)}
    return Batch({**columns, MODEL_VERSION: np.full(count, 7), **added})


def refresher(agent: Agent, log: list[int], rows: int = 4) -> tuple[Refresher, Meter]:
    meter, user = Meter("reanalyse_0"), read_agent(agent)
    assert user.reanalysing is not None
    return Refresher(user, user.reanalysing, [Actor(log), Actor(log)], rows=rows, meter=meter), meter


def test_answers_come_back_to_their_samples() -> None:
    log: list[int] = []
    refresh, meter = refresher(Agent(), log)
    copies = refresh(drawn(7))
    assert log == [4, 4, 4, 4, 4, 1]
    np.testing.assert_array_equal(copies.number, range(7))
    np.testing.assert_array_equal(copies.found, np.arange(7)[:, None] * 10 + np.arange(L) + 5)
    np.testing.assert_array_equal(copies.columns[MODEL_VERSION], [101, 101, 102, 103, 104, 104, 105])
    assert meter.counters == {"reanalysed_samples": 7}
    assert meter.gauges["reanalysed_age"] == pytest.approx(np.mean([101, 101, 102, 103, 104, 104, 105]) - 7)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("raises", r"reanalyse: Agent.questions raised ValueError: no questions today"),
        ("asks nothing", r"Agent.questions asks nothing about 2 samples.*Return a row for each position"),
        ("questions: NaN", r"Agent.questions returned NaN in field 'asked', in 1 of 2 rows \(the first is row 1\)"),
        (
            "answers differ",
            r"Agent.reanalyse returned columns of shapes {'found': \[\]} in one call and {'lost': \[\]}",
        ),
        ("takes a column away", r"Agent.copies returned .* for samples of .*found.*Return the same fields"),
        ("another number", r"Agent.copies returned 1 copies of 2 samples.*Return one for each, in order"),
        *((f"questions: {odd}", r"Agent.questions returned.*(so |cannot).*") for odd in ODD),
        *((f"copies: {odd}", r"Agent.copies returned.*(so |cannot).*") for odd in ODD),
        ("changes a dtype", r"Agent.copies returned .*<f4.* for samples of .*Return the same fields"),
    ],
)
def test_what_an_agent_does_wrong_is_told(fault: str, words: str) -> None:
    agent = Agent()
    refresh, _ = refresher(agent, [])
    agent.fault = fault
    for actor in refresh._actors:
        actor.differ = fault == "answers differ"  # type: ignore[attr-defined]
    with pytest.raises(AgentError, match=words):
        refresh(drawn(2))


def test_questions_and_copies_may_be_what_a_sample_of_may_be() -> None:
    agent = Agent()
    questions, copies = agent.questions, agent.copies
    agent.questions = lambda samples: {"asked": questions(samples).asked.tolist()}  # type: ignore[assignment, method-assign, return-value]
    agent.copies = lambda *given: dict(reversed(copies(*given).columns.items()))  # type: ignore[assignment, method-assign, return-value]
    refresh, _ = refresher(agent, [])
    np.testing.assert_array_equal(refresh(drawn(2)).found, np.arange(2)[:, None] * 10 + np.arange(L) + 5)


def test_agents_that_cannot_be_searched_again_are_refused() -> None:
    from kaimesh.algorithms.dqn.agent import Agent as Dqn
    from kaimesh.algorithms.impala.agent import Agent as Impala
    from kaimesh.algorithms.muzero.agent import Agent as Muzero
    from kaimesh.algorithms.ppo.agent import Agent as Ppo

    for other in (Dqn, Impala, Ppo):
        with pytest.raises(ConfigError, match=r"has no questions, reanalyse, copies.*Set reanalyse_count = 0"):
            check_reanalysing(other, other.__module__)
    for fine in (Muzero, Muzero("aisrv"), Agent, Agent()):
        check_reanalysing(fine, "fine")
    queue = type("Queue", (Agent,), {"table": TableSpec(kind="queue", rows_per_item=1)})
    with pytest.raises(ConfigError, match=r"Queue.table is no replay table with rows_per_item = 1"):
        check_reanalysing(queue, "queue")
