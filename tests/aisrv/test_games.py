"""Samples of any number of rows: whole games, collected over several unrolls, against a scripted environment."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaimesh.aisrv import rollout
from kaimesh.aisrv.proxy import OnPolicyGate, WorkflowAgent
from kaimesh.aisrv.rollout import Group
from kaimesh.contract.arrays import Batch
from kaimesh.contract.columns import ABORTED, ENDED, MODEL_VERSION, POSITIONS, RUN_ID
from kaimesh.contract.errors import AgentError, Stopped
from kaimesh.contract.user_agent import read_agent
from kaimesh.process.meter import Meter
from tests.aisrv.test_rollout import Counter, Echo

LONGEST = 12  # steps that a row has room for


class Collector(Echo):
    """A row per finished episode: the observations before its steps, padded. Nothing of aborted ones."""

    sees_ends = True

    def __init__(self) -> None:
        super().__init__()
        self.open: dict[int, list[float]] = defaultdict(list)
        self.ended: list[np.ndarray] = []

    def send(self, batch: Batch) -> None:
        super().send(batch)
        self.ended.append(batch.columns[ENDED].copy())

    def sample_of(self, unrolls: Batch) -> Batch | list[Any]:
        games = []
        for row, run in enumerate(unrolls.columns[RUN_ID].tolist()):
            for t in range(unrolls.mask.shape[1]):
                if unrolls.columns[ABORTED][row, t]:
                    self.open[run] = []
                if not unrolls.mask[row, t]:
                    continue
                self.open[run].append(unrolls.obs[row, t, 0])
                if unrolls.terminated[row, t] or (unrolls.truncated[row, t] and not self._aborts_next(unrolls, row, t)):
                    games.append((self.open.pop(run), run, unrolls.columns[MODEL_VERSION][row]))
        if not games:
            return []
        seen = np.full((len(games), LONGEST), -1, np.float32)
        for row, (game, *_) in enumerate(games):
            seen[row, : len(game)] = game
        lengths = np.array([len(game) for game, *_ in games], np.int32)
        runs, versions = (np.array(column, np.int64) for column in zip(*(rest for _, *rest in games), strict=True))
        return Batch({"seen": seen, POSITIONS: lengths, RUN_ID: runs, MODEL_VERSION: versions})

    @staticmethod
    def _aborts_next(unrolls: Batch, row: int, t: int) -> bool:
        return bool(unrolls.columns[ABORTED][row, t + 1 : t + 2].any())

    def open_steps(self) -> int:
        return sum(map(len, self.open.values()))


class Failing(Counter):
    """Environment 0 fails in the steps `fails` (1, 2, ...), and is made anew."""

    def __init__(self, n: int, fails: set[int]) -> None:
        super().__init__(n)
        self._fails, self._step = fails, 0

    def step(self, action: np.ndarray) -> Any:
        observation, reward, terminated, truncated, info = super().step(action)
        self._step += 1
        self.aborted = None
        if self._step in self._fails:
            self.aborted = np.arange(self.num_envs) == 0
            terminated, truncated = terminated & ~self.aborted, truncated | self.aborted
            self._done |= self.aborted
        return observation, reward, terminated, truncated, info


def played(env: Counter, unroll: int, steps: int) -> tuple[Collector, Group, int]:
    """The agent, the group, and how many steps it counted."""
    agent = Collector()
    group = Group(env, agent, unroll, Meter("aisrv_0"), run_id=50, seed=0)
    return agent, group, sum(group.advance() for _ in range(steps))


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 4),
    unroll=st.integers(1, 9),
    steps=st.integers(1, 60),
    fails=st.sets(st.integers(1, 60), max_size=4),
)
def test_each_game_is_whole_whatever_the_unroll_and_nothing_is_in_two(
    count: int, unroll: int, steps: int, fails: set[int]
) -> None:
    agent, group, counted = played(Failing(count, fails), unroll, steps)
    rows = [row for batch in agent.sent for row in batch]
    for row in rows:
        length = int(row._positions)
        assert length == 3 + row._run_id - 50, "an environment's episodes have one length; an aborted one is in no row"
        np.testing.assert_array_equal(row.seen[:length], np.arange(length))
        assert (row.seen[length:] == -1).all()
    if not fails:
        stored = sum(int(row._positions) for row in rows)
        assert counted == stored + agent.open_steps() + group.unfinished


def test_unrolls_in_which_no_game_ends_are_no_samples_and_versions_are_those_of_the_end() -> None:
    agent, _, _ = played(Counter(1), 1, 12)
    assert [len(batch) for batch in agent.sent if len(batch)] == [1, 1, 1]
    assert [len(batch) for batch in agent.sent].count(0) > 5
    ends = [int(batch.columns[MODEL_VERSION][0]) for batch in agent.sent if len(batch)]
    assert ends == [3, 7, 11]  # each request is answered by a newer model


def test_the_end_of_a_game_is_told_with_the_request_whose_answer_is_not_used() -> None:
    agent, _, _ = played(Counter(2), 4, 9)
    first, second = np.array(agent.ended).T
    assert np.flatnonzero(first).tolist() == [3, 7]  # terminated by steps 3 and 7, so after three, and three more
    assert not second.any()  # truncated: its last observation has a value


def test_who_asks_for_neither_gets_neither() -> None:
    echo = Echo()
    asked: list[Batch] = []
    echo.sample_of = lambda unrolls: asked.append(unrolls) or unrolls  # type: ignore[attr-defined, func-returns-value]
    echo.send = lambda batch: asked.append(batch) or Echo.send(echo, batch)  # type: ignore[method-assign, func-returns-value]
    group = Group(Counter(1), echo, 2, Meter("aisrv_0"), run_id=0, seed=0)
    for _ in range(4):
        group.advance()
    assert not [name for batch in asked for name in batch.columns if name in (ABORTED, ENDED)]


def test_at_a_stop_open_games_count_once_for_all_groups() -> None:
    agents, stop, meter = [Collector(), Collector()], threading.Event(), Meter("aisrv_0")
    agents[0].open = agents[1].open  # in a mesh, the groups' agents are faces of one
    for agent in agents:
        agent.unroll_length = 2  # type: ignore[attr-defined]

    def learn(batch: Batch) -> None:
        Echo.learn(agents[1], batch)
        if agents[1].requests > 21:
            stop.set()

    agents[1].learn = learn  # type: ignore[method-assign]
    monitor = SimpleNamespace(meter=meter, stop=stop, run_id=50, first_slot=0, total_slots=0)
    rollout.workflow([Counter(1), Counter(2)], agents, logging.getLogger("test"), monitor)
    counters = meter.snapshot()["counters"]
    stored = sum(int(batch.columns[POSITIONS].sum()) for agent in agents for batch in agent.sent if len(batch))
    assert agents[0].open_steps() > 0
    assert counters["env_steps"] == stored + counters["env_steps_unfinished"]


@pytest.mark.parametrize("steps", [-1, None, "3", 2.5])
def test_steps_that_cannot_be_counted_are_told(steps: Any) -> None:
    agent = Collector()
    agent.open_steps = lambda: steps  # type: ignore[method-assign]
    with pytest.raises(AgentError, match=r"Collector\.open_steps returned .*Return an int"):
        rollout._open_steps([agent])


class Sent(list[Batch]):
    """A sender that keeps what it gets."""

    def put(self, batch: Batch) -> None:
        self.append(batch)

    def flush(self, timeout_s: float) -> bool:
        del timeout_s
        return True


def workflow_agent(gate: OnPolicyGate | None, version: int) -> tuple[WorkflowAgent, Sent]:
    sent = Sent()
    links: Any = SimpleNamespace(sender=sent, samples_short=lambda _: 0)
    policy: Any = SimpleNamespace(version=lambda: version)
    user = read_agent(Collector())
    return WorkflowAgent(user, links, policy, save=lambda: None, run_id=9, send_size=100, gate=gate), sent


def row(version: int) -> Batch:
    return Batch({"x": np.zeros((1, 2)), MODEL_VERSION: np.array([version]), RUN_ID: np.array([3])})


def test_no_rows_are_not_sent_and_rows_without_an_origin_get_the_workflows() -> None:
    agent, sent = workflow_agent(None, 0)
    agent.learn(Batch({}))
    agent.learn(row(1)[:0])
    assert not sent
    agent.learn(Batch({"x": np.zeros((2, 2))}))
    np.testing.assert_array_equal(sent[0].columns[RUN_ID], [9, 9])


def test_on_policy_games_of_older_models_do_not_count_for_the_share() -> None:
    stop = threading.Event()
    gate = OnPolicyGate(2, stop, Meter("aisrv_0"))
    agent, sent = workflow_agent(gate, 7)
    agent.learn(Batch.concatenate([row(6), row(7)]))
    agent.learn(row(6))
    agent.learn(row(5))  # none of them waits: one row of model 7 is missing
    assert gate._sent == 1

    def learn() -> None:
        with contextlib.suppress(Stopped):
            agent.learn(row(7))

    held = threading.Thread(target=learn, daemon=True)
    held.start()
    held.join(0.1)
    assert held.is_alive()
    stop.set()
    held.join(5)
    assert len(sent) == 4
