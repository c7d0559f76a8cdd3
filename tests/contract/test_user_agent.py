"""What is read of an agent, once: every optional part of the contract, and every way in which one can be wrong."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kaimesh.algorithms.dqn.agent import Agent as DQN
from kaimesh.algorithms.ppo.agent import Agent as PPO
from kaimesh.contract import structs
from kaimesh.contract.agent import BaseAgent, TableSpec
from kaimesh.contract.arrays import Batch
from kaimesh.contract.errors import AgentError, MeshError, SampleError
from kaimesh.contract.predicting import Predictor, only_latest
from kaimesh.contract.user_agent import UserAgent, read_agent, table_of
from kaimesh.contract.workflow import read_workflow, vectorised

# Each optional Protocol, and the members that make an agent one.
PARTS = {
    "prepared": ("setup",),
    "recurrent": ("initial_state",),
    "featured": ("features",),
    "slotted": ("slot_columns",),
    "sampling": ("sample_of",),
    "resumable": ("save_training_state", "load_training_state"),
    "checking": ("check_model",),
    "collecting": ("open_steps",),
    "warming": ("warm_up",),
}
WRONG_NAMES: list[Any] = ["", "  ", None, 3, b"samples", "a\nb", "a\x00", "\ud800"]
WRONG_KINDS: list[Any] = ["stack", "", "Queue", None, 3, ["queue"]]
WRONG_ROWS: list[Any] = [-3, -1, 1.0, "1", None, True]
WRONG_FLAGS: list[Any] = [1, 0, "no", None]


def parts_of(user: UserAgent) -> set[str]:
    return {part for part in (*PARTS, "vectorised") if getattr(user, part) is not None}


def agent_with(**members: Any) -> BaseAgent:
    return type("Mine", (BaseAgent,), members)()


def test_an_agent_with_nothing_but_the_five_methods_has_no_optional_part() -> None:
    user = read_agent(BaseAgent())
    assert parts_of(user) == set()
    assert (user.table, user.pad_batches, user.sequential_predict, user.name) == (
        TableSpec(),
        False,
        False,
        "BaseAgent",
    )


@pytest.mark.parametrize("part", PARTS)
def test_each_part_is_there_with_its_members_and_only_then(part: str) -> None:
    members = {name: lambda self, *_: None for name in PARTS[part]}
    agent = agent_with(**members)
    assert parts_of(read_agent(agent)) == {part}
    assert getattr(read_agent(agent), part) is agent


def test_members_of_an_instance_count_as_those_of_its_class() -> None:
    agent = BaseAgent()
    agent.setup, agent.unroll_length = (lambda spaces: None), 5  # type: ignore[attr-defined]
    assert parts_of(read_agent(agent)) == {"prepared", "vectorised"}


def test_a_part_that_is_none_is_not_there() -> None:
    assert parts_of(read_agent(agent_with(features=None, setup=None))) == set()


@pytest.mark.parametrize("agent", [PPO(), DQN()], ids=["ppo", "dqn"])
def test_our_own_algorithms_are_all_of_it(agent: BaseAgent) -> None:
    """One class stands for them all, whose optional members answer for an algorithm that does not need them."""
    assert parts_of(read_agent(agent)) == {*PARTS, "vectorised"} - {"collecting", "warming"}


@pytest.mark.parametrize(("has", "lacks"), [PARTS["resumable"], PARTS["resumable"][::-1]])
def test_half_of_a_pair_is_refused(has: str, lacks: str) -> None:
    with pytest.raises(AgentError, match=f"Mine has {has} but no {lacks}.*Write both, or neither"):
        read_agent(agent_with(**{has: lambda self, path: None}))


@pytest.mark.parametrize("member", [name for names in PARTS.values() for name in names])
def test_a_member_that_cannot_be_called_is_refused_by_name(member: str) -> None:
    with pytest.raises(AgentError, match=rf"Mine\.{member} = 3 is int, but the mesh would call"):
        read_agent(agent_with(**{member: 3}))


@pytest.mark.parametrize("length", [0, -1, 2.5, "16", [16], True, 10**9])
def test_an_unroll_length_that_is_none_is_refused(length: Any) -> None:
    with pytest.raises(AgentError, match=r"Mine\.unroll_length = .*whole number of steps"):
        read_agent(agent_with(unroll_length=length))


def test_a_length_of_numpys_is_a_length() -> None:
    assert read_agent(agent_with(unroll_length=np.int64(16))).vectorised is not None


@pytest.mark.parametrize("member", ["unroll_length", "features", "setup", "pad_batches", "observation_process"])
@pytest.mark.parametrize("error", [ValueError("boom"), AttributeError("self.net is not made yet")])
def test_a_member_that_raises_when_it_is_read_is_named_and_never_taken_for_missing(member: str, error: Any) -> None:
    def broken(_self: Any) -> Any:
        raise error

    with pytest.raises(AgentError, match=rf"reading Mine\.{member} raised {type(error).__name__}: {error}"):
        read_agent(agent_with(**{member: property(broken)}))


@pytest.mark.parametrize("most", [-1, 2.5, "16", True, None])
def test_a_most_number_of_rows_that_is_none_is_refused(most: Any) -> None:
    with pytest.raises(AgentError, match=r"Mine\.predict_rows_at_most = .* is no number of rows"):
        read_agent(agent_with(predict_rows_at_most=most))


@pytest.mark.parametrize("flag", ["pad_batches", "sequential_predict", "sees_ends"])
@pytest.mark.parametrize("value", [1, "no", None])
def test_a_flag_is_true_or_false(flag: str, value: Any) -> None:
    with pytest.raises(AgentError, match=rf"Mine\.{flag} = .*write True or False"):
        read_agent(agent_with(**{flag: value}))


@pytest.mark.parametrize("table", ["queue", {"kind": "queue"}, ("samples", "queue", 1, False)])
def test_a_table_is_a_table_spec_of_classes_and_instances(table: Any) -> None:
    cls = type("Mine", (BaseAgent,), {"table": table})
    for agent in (cls, cls()):
        with pytest.raises(AgentError, match=r"Mine\.table = .*TableSpec"):
            table_of(agent)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        *((TableSpec(name=name), f"name = {name!r}; the buffer could not name its table so") for name in WRONG_NAMES),
        *((TableSpec(kind=kind), f"kind = {kind!r}; no other table than 'queue' or 'replay'") for kind in WRONG_KINDS),
        *(
            (TableSpec(rows_per_item=rows), f"rows_per_item = {rows!r}; so many samples cannot be stored together")
            for rows in WRONG_ROWS
        ),
        *(
            (TableSpec(prioritised=flag), f"prioritised = {flag!r}; it is unclear whether it means yes or no")
            for flag in WRONG_FLAGS
        ),
    ],
    ids=str,
)
def test_a_table_that_cannot_be_made_is_refused_of_classes_and_instances(spec: TableSpec, told: str) -> None:
    cls = type("Mine", (BaseAgent,), {"table": spec})
    for agent in (cls, cls()):
        with pytest.raises(AgentError) as caught:
            table_of(agent)
        assert str(caught.value).startswith(f"Mine.table has {told}")
        assert " Write " in str(caught.value)


def test_kaiwus_functions_are_the_agents_own_or_the_attached_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structs, "_protocol", {"observation_process": abs, "action_process": abs})
    user = read_agent(agent_with(observation_process=lambda self, raw: -raw))
    assert user.observe is not None
    assert user.observe(3) == -3
    assert user.act is abs


def test_workflows() -> None:
    assert not read_workflow(print, "m.f").vectorised
    assert read_workflow(vectorised(lambda envs, agents, logger, monitor: None), "m.f").vectorised
    with pytest.raises(AgentError, match=r"train_workflow = 'm\.f' is dict, which cannot be called"):
        read_workflow({}, "m.f")


class Summing(BaseAgent):
    """Answers with the sum of each row; keeps what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Batch] = []

    def predict(self, list_obs_data: Batch) -> Any:
        self.asked.append(list_obs_data)
        return {"action": list_obs_data.obs.sum(1)}

    def exploit(self, list_obs_data: Batch) -> Any:
        return {"action": -self.predict(list_obs_data)["action"]}


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_a_predictor_pads_for_who_wants_it_and_drops_the_surplus(count: int) -> None:
    agent = Summing()
    agent.pad_batches = True
    rows = Batch({"obs": np.arange(2.0 * count).reshape(count, 2), "legal_act": np.zeros((count, 3), bool)})
    answer = Predictor(read_agent(agent), "test").answer_all(rows, exploit=False)
    np.testing.assert_array_equal(answer.action, rows.obs.sum(1))
    (asked,) = agent.asked
    assert len(asked) == 1 << (count - 1).bit_length()
    assert (asked.obs[count:] == 0).all()
    assert asked.legal_act[count:].all(), "in padding every action is legal"


def test_a_predictor_asks_row_by_row_who_wants_that() -> None:
    agent = Summing()
    agent.sequential_predict = agent.pad_batches = True
    rows = Batch({"obs": np.arange(6.0).reshape(3, 2)})
    answer = Predictor(read_agent(agent), "test").answer_all(rows, exploit=True)
    np.testing.assert_array_equal(answer.action, [-1, -5, -9])
    assert [len(batch) for batch in agent.asked] == [1, 1, 1]


def test_a_predictor_never_asks_about_nan_and_never_hands_it_on() -> None:
    agent = Summing()
    predictor = Predictor(read_agent(agent), "test")
    with pytest.raises(SampleError, match="'obs' of row 1 holds nan"):
        predictor.answer_all(Batch({"obs": np.array([[1.0], [np.nan]])}), exploit=False)
    assert not agent.asked
    agent.predict = lambda batch: {"action": np.full(len(batch), np.nan)}  # type: ignore[method-assign]
    with pytest.raises(AgentError, match=r"Summing\.predict returned NaN in field 'action'"):
        Predictor(read_agent(agent), "test").answer_all(Batch({"obs": np.ones((2, 1))}), exploit=False)


def test_an_agent_without_predict_is_told_so() -> None:
    with pytest.raises(AgentError, match=r"test: SimpleNamespace\.predict raised AttributeError"):
        Predictor(read_agent(SimpleNamespace()), "test").answer_all(Batch({"obs": np.ones((2, 1))}), exploit=False)


def test_another_model_than_the_one_that_predicts_is_refused() -> None:
    only_latest("latest", "x")
    for model in (7, "random"):
        with pytest.raises(MeshError, match=rf"model {model!r} was asked for, but x predicts with one model"):
            only_latest(model, "x")
