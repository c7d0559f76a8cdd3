"""What the methods of a folder's agent do in a workflow: the actor, the buffer, this instance, and its weights."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kaimesh.actor.models import Model
from kaimesh.aisrv.hosted import MARK, HostedAgent, remembers
from kaimesh.aisrv.stub import Stub, StubPolicy
from kaimesh.contract.arrays import Batch
from kaimesh.contract.columns import MODEL_VERSION, RUN_ID
from kaimesh.contract.errors import AgentError
from kaimesh.contract.structs import create_cls
from kaimesh.contract.user_agent import read_foreign
from kaimesh.process.meter import Meter

Obs = create_cls("Obs", feature=None, extra=None)


class Agent:
    """It answers what its weight is, and never called a base class's constructor."""

    def __init__(self) -> None:
        self.weight, self.loaded = 0, list[Any]()

    def predict(self, list_obs_data: Any) -> Any:
        return None if list_obs_data == [None] else [SimpleNamespace(action=self.weight)]

    def exploit(self, observation: Any) -> Any:
        return ("exploited", observation, self.weight)

    def learn(self, list_sample_data: Any) -> Any:
        raise AssertionError("the learner's own")

    save_model = learn

    def load_model(self, path: Any = None, id: Any = "1") -> None:
        self.weight = id
        self.loaded.append((path, id))

    def value(self) -> int:
        return self.weight

    def act(self, obs: Any) -> Any:
        return self.predict([obs])


class Policy:
    """An actor that answers each row's first feature; its version counts requests."""

    def __init__(self) -> None:
        self.seen: list[Batch] = []
        self.asked: list[Any] = []

    def send(self, batch: Batch, exploit: bool = False) -> None:
        self.seen.append(batch)
        self.asked.append(exploit)

    def receive(self) -> tuple[Batch, int]:
        feature = self.seen[-1].columns["feature"].reshape(len(self.seen[-1]), -1)
        return Batch({"action": feature[:, 0]}), len(self.seen)

    def load_model(self, id: Any) -> int:
        self.asked.append(id)
        return 9

    def version(self) -> int:
        return len(self.seen)


class Links:
    def __init__(self) -> None:
        self.sent: list[Batch] = []
        self.sender = SimpleNamespace(put=lambda batch: self.sent.append(batch))


class Models:
    newest: Model | None = None

    def take(self) -> Model | None:
        return self.newest


@pytest.fixture
def made() -> Callable[..., Any]:
    def make(agent: Any = None, **named: Any) -> Any:
        models, policy, links = Models(), Policy(), Links()
        saves: list[int] = []
        stub = Stub(read_foreign(agent or Agent()), models, Meter("aisrv_0"), threading.Lock())
        chosen: Any = StubPolicy(stub) if named.get("here") else policy
        hosted = HostedAgent(
            stub, links, chosen, save=lambda: saves.append(1), run_id=5, send_size=100, gate=None,
            **{"here": False, "pairs": False, **named},
        )  # fmt: skip
        return SimpleNamespace(agent=hosted, models=models, policy=policy, links=links, saves=saves)

    return make


def obs(*feature: Any) -> Any:
    return Obs(feature=list(feature))


def test_an_actor_predicts_as_a_list_or_a_pair(made: Any) -> None:
    it = made()
    assert [act.action for act in it.agent.predict([obs(3.0, 1.0)])] == [3.0]
    assert it.policy.seen[0].columns[RUN_ID].tolist() == [5]
    acts, version = made(pairs=True).agent.predict(list_obs_data=[obs(4.0)], framework=True)
    assert (acts[0].action, version) == (4.0, 1)


def test_calls_by_the_agents_own_methods_go_the_same_way(made: Any) -> None:
    it = made()
    assert it.agent.act(obs(7.0))[0].action == 7.0
    assert len(it.policy.seen) == 1


def test_fields_may_change_and_fractions_follow_whole_numbers(made: Any) -> None:
    it = made()
    for feature, extra in ((1, None), (1.5, None), (2, None), (2, 3)):
        it.agent.predict([Obs(feature=[feature], extra=extra)])
    dtypes = [batch.columns["feature"].dtype.kind for batch in it.policy.seen]
    assert dtypes == ["i", "f", "f", "f"]
    assert ["extra" in batch.columns for batch in it.policy.seen] == [False, False, False, True]


def test_observations_that_cannot_travel_are_predicted_here(made: Any) -> None:
    it = made()
    it.models.newest = Model(Path("m"), 3)
    assert it.agent.predict([Obs(feature={"text": "a"})])[0].action == 3
    assert not it.policy.seen


def test_samples_are_copied_and_none_is_no_sample(made: Any) -> None:
    it = made()
    rows = [Obs(feature=np.array([1.0, 2.0]))]
    assert it.agent.learn(rows) is None
    it.agent.send_sample_data(rows)
    for nothing in (None, []):
        it.agent.learn(nothing)
    rows[0].feature[:] = 0
    rows.clear()
    assert [batch.columns["feature"].tolist() for batch in it.links.sent] == [[[1.0, 2.0]]] * 2
    assert it.links.sent[0].columns[MODEL_VERSION].tolist() == [-1]


def test_saves_and_loads_take_any_arguments(made: Any) -> None:
    it = made()
    it.agent.save_model(path="/anywhere", id="77")
    it.agent.load_model(id="random")
    it.agent.load_model()
    assert (it.saves, it.policy.asked) == ([1], ["random", "latest"])
    assert it.agent._local.loaded == []


def test_helpers_see_the_predictors_weights_and_each_model_is_loaded_once(made: Any) -> None:
    it = made()
    assert it.agent.value() == 0
    it.models.newest = Model(Path("m"), 4)
    assert (it.agent.value(), it.agent.value()) == (4, 4)
    assert it.agent._local.loaded == [("m", 4)]


def test_exploit_of_an_observation_of_the_environment_is_this_instances(made: Any) -> None:
    it = made(pairs=True)
    it.models.newest = Model(Path("m"), 4)
    assert it.agent.exploit({"obs": 1}) == ("exploited", {"obs": 1}, 4)
    assert it.agent.exploit([obs(2.0)])[0][0].action == 2.0
    assert it.policy.asked == [True]


def test_what_remembers_predicts_here_with_the_newest_weights(made: Any) -> None:
    it = made(here=True, pairs=True)
    it.models.newest = Model(Path("m"), 6)
    acts, version = it.agent.predict([obs(1.0)])
    assert (acts[0].action, version) == (6, 6)
    it.agent.learn([obs(1.0)])
    assert it.links.sent[0].columns[MODEL_VERSION].tolist() == [6]
    with pytest.raises(AgentError, match=r"Agent.predict returned None \(is there a return statement"):
        it.agent.predict([None])


def test_a_workflow_sees_the_users_class_and_sets_what_it_likes(made: Any) -> None:
    it = made()
    assert isinstance(it.agent, Agent)
    it.agent.preprocessor = "mine"
    assert it.agent._local.preprocessor == "mine"


def test_who_remembers() -> None:
    class Resets(Agent):
        def reset(self) -> None:
            """For the workflow."""

    class Decorated(Agent):
        def reset(self) -> None:
            """For the predictor."""

    setattr(Decorated.reset, MARK, "reset")
    found = [remembers(read_foreign(kind())) for kind in (Agent, Resets, Decorated)]
    assert found == [False, False, True]
