"""The vectorised rollout against a scripted environment: what lands in a sample, and when."""

from __future__ import annotations

import logging
import threading
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from kaimesh import envs
from kaimesh.aisrv import rollout
from kaimesh.aisrv.rollout import Group
from kaimesh.contract.arrays import Batch
from kaimesh.contract.columns import MODEL_VERSION, RUN_ID
from kaimesh.contract.errors import AgentError, EnvError, Stopped
from kaimesh.contract.spaces import Spaces
from kaimesh.contract.user_agent import UserAgent, read_agent
from kaimesh.process.meter import Meter


class Counter(gym.vector.VectorEnv):
    """Observation = steps since reset; environment i's episode ends after 3 + i steps, with reset on the next step."""

    def __init__(self, n: int) -> None:
        self.num_envs = n
        self.offers = envs.Offers("counter")
        self.spaces = Spaces((2,), "<f4", "discrete", 200)
        self.legal_actions = self.aborted = None
        self._age = np.zeros(n, np.int64)
        self._done = np.zeros(n, bool)
        self.actions: list[np.ndarray] = []

    def reset(self, **_: Any) -> Any:
        return self._observe(), {}

    def step(self, action: np.ndarray) -> Any:
        self.actions.append(np.array(action))
        self._age = np.where(self._done, 0, self._age + 1)
        reward = self.true_rewards = np.where(self._done, 0.0, 1.0)
        self._done = (self._age == 3 + np.arange(self.num_envs)) & ~self._done
        odd = np.arange(self.num_envs) % 2 == 1
        return self._observe(), reward, self._done & ~odd, self._done & odd, {}

    def _observe(self) -> np.ndarray:
        return np.stack([self._age, 100 + np.arange(self.num_envs)], 1).astype(np.float32)


class Echo:
    """Answers with the observation's age, and a version that grows with every request."""

    on_policy = False

    def __init__(self) -> None:
        self.sent: list[Batch] = []
        self.requests = 0

    @property
    def user(self) -> UserAgent:
        return read_agent(self)

    def send(self, batch: Batch) -> None:
        self._age = batch.obs[:, 0].copy()

    def receive(self) -> tuple[Batch, int]:
        self.requests += 1
        return Batch({"action": self._age.astype(np.int32), "value": self._age * 10}), self.requests

    def learn(self, batch: Batch) -> None:
        self.sent.append(Batch({name: column.copy() for name, column in batch.columns.items()}))


@pytest.fixture
def group() -> Group:
    return Group(Counter(2), Echo(), 4, Meter("aisrv_0"), run_id=7, seed=0)


def test_steps_that_were_handed_over_are_not_unfinished_where_the_stop_ends_that(group: Group) -> None:
    def stopped(_: Batch) -> None:
        raise Stopped

    group.agent.learn = stopped
    steps = [group.advance() for _ in range(4)]
    assert group.unfinished == sum(steps) == 7  # one of the two environments was reset
    with pytest.raises(Stopped):
        group.advance()
    assert group.unfinished == 0


def test_unrolls_overlap_by_their_bootstrap_and_mask_the_reset_step(group: Group) -> None:
    steps = sum(group.advance() for _ in range(13))
    first, second, third = group.agent.sent
    np.testing.assert_array_equal(first.obs[0, :, 0], [0, 1, 2, 3, 0])
    np.testing.assert_array_equal(first.terminated[0], [False, False, True, False])
    np.testing.assert_array_equal(first.mask[0], [True, True, True, False])
    np.testing.assert_array_equal(first.reward[0], [1, 1, 1, 0])
    np.testing.assert_array_equal(first.truncated[1], [False, False, False, True])
    np.testing.assert_array_equal(first.obs[1, :, 0], [0, 1, 2, 3, 4])  # the true final observation is the bootstrap's
    np.testing.assert_array_equal(first.value[1], [0, 10, 20, 30, 40])
    np.testing.assert_array_equal(second.mask[1], [False, True, True, True])
    for before, after in ((first, second), (second, third)):
        for name in ("obs", "action", "value"):
            np.testing.assert_array_equal(before.columns[name][:, -1], after.columns[name][:, 0])
    assert steps == 13 - 3 + 13 - 2


def test_versions_are_those_of_the_first_action(group: Group) -> None:
    for _ in range(9):
        group.advance()
    assert [int(batch.columns[MODEL_VERSION][0]) for batch in group.agent.sent] == [1, 5]
    np.testing.assert_array_equal(group.agent.sent[0].columns[RUN_ID], [7, 8])


def test_the_action_taken_is_the_one_predicted_for_that_observation(group: Group) -> None:
    for _ in range(9):
        group.advance()
    taken = np.stack(group.env.actions[:8], 1)
    np.testing.assert_array_equal(taken[:, :4], group.agent.sent[0].action[:, :4])
    np.testing.assert_array_equal(taken[:, 4:], group.agent.sent[1].action[:, :4])


def test_episodes_are_counted_without_their_reset_steps() -> None:
    meter = Meter("aisrv_0")
    group = Group(Counter(2), Echo(), 4, meter, run_id=0, seed=0)
    for _ in range(8):
        group.advance()
    assert meter.snapshot()["counters"]["episodes"] == 3
    assert [(ret, length) for _, ret, length in meter.snapshot()["recent_episodes"]] == [(3.0, 3), (4.0, 4), (3.0, 3)]


def test_an_environment_that_raises_says_where(group: Group) -> None:
    def broken(_: np.ndarray) -> Any:
        raise ZeroDivisionError("the game is broken")

    group.env.step = broken  # type: ignore[method-assign]
    with pytest.raises(EnvError, match="ZeroDivisionError in step: the game is broken") as error:
        group.advance()
    assert isinstance(error.value.__cause__, ZeroDivisionError)


def test_on_policy_asks_again_so_that_an_unroll_is_of_one_model() -> None:
    agent = Echo()
    agent.on_policy = True
    group = Group(Counter(1), agent, 4, Meter("aisrv_0"), run_id=0, seed=0)
    for _ in range(9):
        group.advance()
    assert [int(batch.columns[MODEL_VERSION][0]) for batch in agent.sent] == [1, 6]


class Remembering(Echo):
    """A recurrent agent: its state before an observation is the number of observations of the episode so far."""

    def initial_state(self, count: int) -> dict[str, np.ndarray]:
        return {"seen": np.zeros((count, 1), np.float32)}

    def send(self, batch: Batch) -> None:
        super().send(batch)
        np.testing.assert_array_equal(batch.columns["seen"][:, 0], batch.obs[:, 0])
        self._seen = batch.columns["seen"].copy()

    def receive(self) -> tuple[Batch, int]:
        acts, version = super().receive()
        reused = self._seen  # answers are valid until the next request only
        reused += 1
        return Batch({**acts.columns, "seen": reused}), version


@pytest.mark.parametrize("on_policy", [False, True])
@pytest.mark.parametrize("length", [3, 4, 5])
def test_a_recurrent_state_follows_its_slot_and_begins_anew_with_each_episode(on_policy: bool, length: int) -> None:
    agent = Remembering()
    agent.on_policy = on_policy
    group = Group(Counter(3), agent, length, Meter("aisrv_0"), run_id=0, seed=0)
    for _ in range(40):
        group.advance()
    assert len(agent.sent) > 6
    for batch in agent.sent:  # the state before the first step, and none of the later ones
        np.testing.assert_array_equal(batch.columns["seen"], batch.obs[:, 0, :1])
    assert any((batch.columns["seen"] > 0).any() for batch in agent.sent)


def test_a_group_that_begins_anew_inherits_no_state() -> None:
    agent = Remembering()
    for run_id in (0, 1):
        group = Group(Counter(2), agent, 4, Meter("aisrv_0"), run_id=run_id, seed=0)
        for _ in range(3):
            group.advance()


def test_an_agent_that_loses_its_state_is_told_so() -> None:
    agent = Remembering()
    group = Group(Counter(2), agent, 4, Meter("aisrv_0"), run_id=0, seed=0)
    agent.receive = lambda: Echo.receive(agent)  # type: ignore[method-assign]
    with pytest.raises(AgentError, match="no column 'seen', although its initial_state has it"):
        group.advance()


def test_steps_that_are_in_no_sample_yet_are_known(group: Group) -> None:
    assert group.unfinished == 0
    valid = sum(group.advance() for _ in range(group.length - 1))
    assert group.unfinished == valid
    group.advance()
    assert not group.agent.sent
    group.advance()  # the unroll goes out before this step
    assert group.agent.sent
    assert group.unfinished <= group.env.num_envs


class Rambler(Echo):
    """Any legal action."""

    def __init__(self) -> None:
        super().__init__()
        self._rng = np.random.default_rng(1)

    def send(self, batch: Batch) -> None:
        self._legal = batch.legal_act.copy()

    def receive(self) -> tuple[Batch, int]:
        return Batch({"action": np.array([self._rng.choice(np.flatnonzero(row)) for row in self._legal])}), 0


def test_features_go_through_and_their_reset_step_is_masked() -> None:
    class Shapes:
        features = staticmethod(lambda count, spaces: "realm-mini")

    made = envs.make_vector("realm-mini", 3, env_conf={"observation": "bytes", "max_step": 20})
    meter, agent = Meter("aisrv_0"), Rambler()
    group = Group(envs.featured(made, Shapes()), agent, 16, meter, run_id=0, seed=2)
    for _ in range(16 * 8):
        group.advance()
    time_left, last_step = 5, slice(-9, None)  # of the features
    ends = 0
    for sample in agent.sent:
        over = sample.terminated | sample.truncated
        assert (sample.reward[~sample.mask] == 0).all(), "nothing is earned by a reset"
        assert (sample.reward[sample.mask] != 0).all(), "every step costs something"
        assert (sample.obs[:, 1:, time_left][sample.truncated] == 0).all(), "the true last observation"
        assert (sample.obs[:, 1:, time_left][~sample.mask] == 1).all(), "the next episode's first"
        assert (sample.obs[:, 1:, last_step].any(-1) == sample.mask).all(), "which follows no step"
        assert (sample.mask[:, 1:] == ~over[:, :-1]).all()
        ends += int(over.sum())
    assert ends > 10
    told = meter.snapshot()
    assert told["counters"]["episodes"] >= ends
    assert all(score == 0 or score > 100 for _, score, length in told["recent_episodes"]), "scores, not shaped rewards"


class Laddered(Echo):
    """Each slot has a constant of its own, and a sample is what the agent makes of an unroll."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[np.ndarray] = []

    def slot_columns(self, slots: np.ndarray, total: int) -> dict[str, np.ndarray]:
        return {"epsilon": (slots / total).astype(np.float32)}

    def sample_of(self, unrolls: Batch) -> Batch:
        kept = {name: column for name, column in unrolls.columns.items() if name != "value"}
        return Batch({**kept, "best": unrolls.value.max(1)})

    def send(self, batch: Batch) -> None:
        super().send(batch)
        self.asked.append(batch.columns["epsilon"].copy())


def test_slots_of_all_groups_are_numbered_and_their_constants_travel_with_every_request() -> None:
    agents = [Laddered(), Laddered()]
    stop = threading.Event()
    meter = Meter("aisrv_1")
    monitor = SimpleNamespace(meter=meter, stop=stop, seed=0, run_id=0, first_slot=5, total_slots=10)

    def learn(batch: Batch) -> None:
        agents[1].sent.append(batch)
        if len(agents[1].sent) == 2:
            stop.set()

    agents[1].learn = learn  # type: ignore[method-assign]
    for agent in agents:
        agent.unroll_length = 4  # type: ignore[attr-defined]
    rollout.workflow([Counter(3), Counter(2)], agents, logging.getLogger("test"), monitor)
    assert len(agents[0].asked) >= 9
    for agent, slots in ((agents[0], [5, 6, 7]), (agents[1], [8, 9])):
        for epsilon in agent.asked:
            np.testing.assert_allclose(epsilon, np.array(slots) / 10, rtol=1e-6)


def test_no_two_environments_of_an_aisrv_have_one_number_however_many_there_are() -> None:
    """By it, a game's steps are put together: two environments with one would make one game."""
    agents, stop = [Echo(), Echo()], threading.Event()
    monitor = SimpleNamespace(meter=Meter("aisrv_1"), stop=stop, run_id=7 << 20, first_slot=4100, total_slots=8200)
    for agent in agents:
        agent.unroll_length = 2  # type: ignore[attr-defined]
    agents[1].learn = lambda batch: agents[1].sent.append(batch) or stop.set()  # type: ignore[method-assign, func-returns-value]
    rollout.workflow([Counter(2050), Counter(2050)], agents, logging.getLogger("test"), monitor)
    numbers = np.concatenate([agent.sent[0].columns[RUN_ID] for agent in agents])
    np.testing.assert_array_equal(numbers, (7 << 20) + np.arange(4100))


def test_what_is_sent_is_what_the_agent_makes_of_an_unroll() -> None:
    group = Group(Counter(2), Laddered(), 4, Meter("aisrv_0"), run_id=0, seed=0)
    for _ in range(5):
        group.advance()
    (sample,) = group.agent.sent
    assert "value" not in sample.columns
    np.testing.assert_array_equal(sample.columns["best"], [30, 40])
    assert MODEL_VERSION in sample.columns


@pytest.mark.parametrize(
    "width", [2, 9]
)  # of 2, every episode ends by its fourth step; of 9, the last one lasts for eleven
def test_an_episode_without_an_end_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, width: int
) -> None:
    monkeypatch.setattr(rollout, "ENDLESS_STEPS", 8)
    agent, stop = Echo(), threading.Event()
    agent.unroll_length = 4  # type: ignore[attr-defined]
    agent.learn = lambda batch: stop.set() if agent.requests > 16 else None  # type: ignore[method-assign]
    monitor = SimpleNamespace(meter=Meter("aisrv_0"), stop=stop, seed=0, run_id=0, first_slot=0, total_slots=0)
    rollout.workflow([Counter(width)], [agent], logging.getLogger("test"), monitor)
    assert caplog.text.count("an episode has had 8 steps and no end") == (width == 9)


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (lambda unrolls: None, "returned None"),
        (lambda unrolls: [unrolls, {"best": 1.0}], "what cannot be sent"),
        (lambda unrolls: 7, "a value of type int"),
        (lambda unrolls: {"best": 1.0}, "without a batch axis"),
    ],
)
def test_what_cannot_be_stored_of_an_unroll_is_told_with_the_methods_name(samples: Any, words: str) -> None:
    class Wrong(Echo):
        def sample_of(self, unrolls: Batch) -> Any:
            return samples(unrolls)

    group = Group(Counter(2), Wrong(), 4, Meter("aisrv_0"), run_id=0, seed=0)
    for _ in range(4):
        group.advance()
    with pytest.raises(AgentError, match=rf"^Wrong\.sample_of .*{words}"):
        group.advance()  # the unroll is full


def test_an_answer_without_an_action_is_the_agents_error_not_the_environments() -> None:
    agent = Echo()
    agent.receive = lambda: (Batch({"act": np.zeros(2)}), 0)  # type: ignore[method-assign]
    group = Group(Counter(2), agent, 4, Meter("aisrv_0"), run_id=0, seed=0)
    with pytest.raises(AgentError, match=r"Echo\.predict returned no column 'action'"):
        group.advance()
