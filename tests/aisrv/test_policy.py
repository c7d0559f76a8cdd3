"""Predictions by an agent in this process, as links of local mode give them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kaimesh.aisrv.local import LocalLinks
from kaimesh.aisrv.policy import AgentPolicy, Policy
from kaimesh.aisrv.proxy import WorkflowAgent
from kaimesh.contract.agent import BaseAgent
from kaimesh.contract.arrays import Batch
from kaimesh.contract.columns import MESH_COLUMNS, POSITIONS, PROBABILITY, for_learn
from kaimesh.contract.errors import AgentError, MeshError, SampleError
from kaimesh.contract.user_agent import read_agent


class Doubling(BaseAgent):
    """Answers twice the observation, or what `answer` makes of it; keeps what it learned from."""

    answer: Any = None

    def __init__(self) -> None:
        super().__init__()
        self.learned: list[Batch] = []

    def predict(self, list_obs_data: Batch) -> Any:
        return self.answer(list_obs_data) if self.answer else {"action": 2 * list_obs_data.obs}

    def learn(self, list_sample_data: Batch) -> None:
        self.learned.append(list_sample_data)


ROWS = Batch({"obs": np.arange(3.0)})


def policy_of(agent: Doubling) -> Policy:
    return AgentPolicy(read_agent(agent), version=lambda: 4)


def test_an_answer_comes_with_the_version_that_made_it() -> None:
    policy = policy_of(Doubling())
    policy.send(ROWS)
    answer, version = policy.receive()
    np.testing.assert_array_equal(answer.action, [0, 2, 4])
    assert version == policy.version() == 4


def test_who_asked_nothing_receives_nothing() -> None:
    policy = policy_of(Doubling())
    policy.send(ROWS)
    policy.receive()
    with pytest.raises(MeshError, match="nothing was asked"):
        policy.receive()


def test_an_answer_that_waits_is_not_lost_to_the_next_request() -> None:
    policy = policy_of(Doubling())
    policy.send(ROWS)
    with pytest.raises(MeshError, match=r"Call receive\(\) first"):
        policy.send(Batch({"obs": np.ones(3)}))
    np.testing.assert_array_equal(policy.receive()[0].action, [0, 2, 4])


def test_one_of_several_models_is_not_here() -> None:
    with pytest.raises(MeshError, match="model 3 was asked for"):
        policy_of(Doubling()).send(ROWS, model=3)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda batch: None, "returned None"),
        (lambda batch: {"action": batch.obs[:1]}, "returned 1 rows for 3 observations"),
        (lambda batch: {"action": batch.obs * np.nan}, "NaN in field 'action'"),
        (lambda batch: {}, "returned rows without a field"),
        (lambda batch: {"action": np.array(1.0)}, "without a batch axis"),
    ],
)
def test_answers_are_checked_as_an_actor_checks_them(answer: Any, words: str) -> None:
    agent = Doubling()
    agent.answer = answer
    with pytest.raises(AgentError, match=words):
        policy_of(agent).send(ROWS)


def test_observations_too() -> None:
    with pytest.raises(SampleError, match="'obs' of row 2 holds inf"):
        policy_of(Doubling()).send(Batch({"obs": np.array([0.0, 1.0, np.inf])}))


def test_a_workflows_agent_learns_in_place_without_the_meshs_columns() -> None:
    agent = Doubling()
    user = read_agent(agent)
    links = LocalLinks(user, SimpleNamespace(train_count=4))  # type: ignore[arg-type]
    seen = WorkflowAgent(user, links, links.policy(0), save=links.save_model, run_id=1, send_size=100, gate=None)
    seen.send(ROWS)
    seen.receive()
    seen.learn(Batch({"obs": np.arange(3.0), PROBABILITY: np.ones(3)}))
    (learned,) = agent.learned
    assert set(learned.columns) == {"obs", PROBABILITY}


def test_learn_gets_none_of_the_meshs_columns_but_probability_and_positions() -> None:
    whole = Batch({name: np.zeros(2, column.specs[0].dtype) for name, column in MESH_COLUMNS.items()})
    assert set(for_learn(whole).columns) == {PROBABILITY, POSITIONS}
