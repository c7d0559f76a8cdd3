"""The core: gathering, padding, splitting, lanes, and everything an agent can return."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaimesh.actor.batcher import NO_MODEL, Batcher
from kaimesh.contract import columns, structs
from kaimesh.contract.arrays import Batch
from kaimesh.contract.errors import AgentError
from kaimesh.contract.structs import create_cls
from kaimesh.contract.user_agent import read_agent
from kaimesh.process.meter import Meter
from tests.actor.conftest import Echoing, PreparedAgent, rows


def batcher_of(agent: Any, max_rows: int = 8) -> Batcher:
    return Batcher(read_agent(agent), max_rows=max_rows, meter=Meter("actor_0"))


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.integers(1, 21), min_size=1, max_size=6), padded=st.booleans(), max_rows=st.integers(1, 20))
def test_everyone_gets_the_answers_to_his_own_rows(sizes: list[int], padded: bool, max_rows: int) -> None:
    agent = Echoing()
    agent.pad_batches = padded
    batcher = batcher_of(agent, max_rows)
    starts = np.cumsum([0, *sizes[:-1]])
    answers = batcher.predict([rows(n, first) for n, first in zip(sizes, starts, strict=True)])
    for answer, n, first in zip(answers, sizes, starts, strict=True):
        np.testing.assert_array_equal(answer.action, np.arange(first, first + n))
        np.testing.assert_array_equal(answer.value, 3.0 * np.arange(first, first + n))
    assert len(agent.sizes) == -(-sum(sizes) // max_rows)
    assert max(agent.sizes) <= max_rows
    if padded:
        assert set(agent.sizes) <= {2**i for i in range(8)} | {max_rows}
    assert batcher._meter.counters["predictions"] == sum(sizes)
    assert batcher._meter.counters["batches"] == len(agent.sizes)


def test_padding_is_zeros_with_every_action_legal_whatever_was_there_before() -> None:
    agent, seen = Echoing(), []
    agent.pad_batches = True
    agent.hook = lambda batch: seen.append({name: column.copy() for name, column in batch.columns.items()})
    batcher = batcher_of(agent)

    def observations(n: int) -> Batch:
        return Batch({"obs": np.full((n, 3), 7, np.float32), "legal_act": np.zeros((n, 2), bool)})

    for n in (8, 5):
        batcher.predict([observations(n)])
    assert agent.sizes == [8, 8]
    np.testing.assert_array_equal(seen[1]["obs"][:5], 7)
    np.testing.assert_array_equal(seen[1]["obs"][5:], 0)
    assert not seen[1]["legal_act"][:5].any()
    assert seen[1]["legal_act"][5:].all()


def test_padding_may_answer_nan_and_is_cut_off() -> None:
    agent = Echoing()
    agent.pad_batches = True
    agent.hook = lambda batch: {"value": np.where(batch.obs[:, 0] == 0, np.nan, 1.0).astype(np.float32)}
    (answer,) = batcher_of(agent).predict([rows(5, first=1)])
    assert agent.sizes == [8]
    np.testing.assert_array_equal(answer.value, np.ones(5))


def test_methods_and_specs_have_lanes_of_their_own() -> None:
    batcher = batcher_of(Echoing())
    assert batcher.predict([rows(2, 5)], exploit=True)[0].action.tolist() == [-5, -6]
    wide = Batch({"obs": np.ones((1, 7), np.float32)})
    assert batcher.predict([wide])[0].value.tolist() == [7.0]
    assert batcher.predict([rows(1, 1)])[0].value.tolist() == [3.0]


def test_the_rows_that_wait_survive_growth() -> None:
    batcher = batcher_of(Echoing(), max_rows=100)
    lane = batcher.lane(rows(1).specs, False)
    for i in range(100):
        lane.add_batch(rows(1, i))
    assert batcher.run(lane).action.tolist() == list(range(100))
    assert lane.rows == 0


def test_run_id_reaches_the_agent_as_a_column() -> None:
    agent, seen = Echoing(), []
    agent.hook = lambda batch: seen.append(batch.columns[columns.RUN_ID].tolist())
    batch = rows(3)
    batcher_of(agent).predict([Batch({**batch.columns, columns.RUN_ID: np.array([4, 5, 6])})])
    assert seen == [[4, 5, 6]]


class TestKaiwuStyle:
    """predict(list of ObsData) -> list of ActData."""

    @pytest.fixture(autouse=True)
    def _protocol(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(structs, "_protocol", {})
        self.obs_data = create_cls("ObsData", feature=None)
        self.act_data = create_cls("ActData", action=None, prob=None)

    def agent(self, **attributes: Any) -> Any:
        obs_data, act_data = self.obs_data, self.act_data

        class Agent:
            def predict(self, list_obs_data: Any) -> list[Any]:
                assert all(isinstance(row, obs_data) for row in list_obs_data)
                return [
                    act_data(action=int(row.feature[0]), prob=[0.5, float(row.feature[1])]) for row in list_obs_data
                ]

        for name, value in attributes.items():
            setattr(Agent, name, value)
        return Agent()

    def observations(self, n: int) -> Batch:
        return Batch({"feature": np.arange(2 * n, dtype=np.float32).reshape(n, 2)})

    def test_rows_are_of_the_users_classes(self) -> None:
        (answer,) = batcher_of(self.agent()).predict([self.observations(3)])
        assert answer.action.dtype == np.int64
        assert answer.action.tolist() == [0, 2, 4]
        np.testing.assert_array_equal(answer.prob, np.array([[0.5, 1], [0.5, 3], [0.5, 5]], np.float32))

    def test_zero_dimensional_values_are_scalars(self) -> None:
        agent = self.agent()
        agent.predict = lambda rows: [SimpleNamespace(action=np.array(3), prob=np.float32(0.5)) for _ in rows]
        (answer,) = batcher_of(agent).predict([self.observations(2)])
        assert answer.action.shape == (2,)

    def test_an_agent_that_takes_one_at_a_time(self) -> None:
        act_data = self.act_data
        only_first = lambda self, rows: [act_data(action=int(rows[0].feature[0]), prob=0.0)]  # noqa: E731
        with pytest.raises(AgentError, match=r"returned 1 rows for 3 observations.*sequential_predict"):
            batcher_of(self.agent(predict=only_first)).predict([self.observations(3)])
        (answer,) = batcher_of(self.agent(predict=only_first, sequential_predict=True)).predict([self.observations(3)])
        assert answer.action.tolist() == [0, 2, 4]


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (None, r"Echoing.predict returned None \(is there a return"),
        (5, "a value of type int"),
        ("text", "a value of type str"),
        ([], "returned 0 rows for 2 observations"),
        ([SimpleNamespace(a=1)], "returned 1 rows for 2 observations"),
        ([SimpleNamespace(a=1)] * 3, "returned 3 rows for 2 observations"),
        ({"a": np.zeros(3)}, "returned 3 rows for 2 observations"),
        ({}, "rows without a field"),
        ({"a": np.zeros(2), "b": np.zeros(3)}, "differ in length"),
        ({"a": np.float32(1)}, "without a batch axis"),
        ([SimpleNamespace(a=[1, 2]), SimpleNamespace(a=[1])], r"row 1: field 'a' has shape \(1,\)"),
        ([SimpleNamespace(a=1), SimpleNamespace(b=1)], "row 1 has no 'a'"),
        ([SimpleNamespace(a="x"), SimpleNamespace(a="y")], "cannot travel"),
        ([SimpleNamespace(a=[[1], [1, 2]])] * 2, "not a rectangular array"),
        ([7, 8], "int has no fields"),
        ({"a": np.array([0.0, np.nan])}, r"NaN in field 'a', in 1 of 2 rows \(the first is row 1\)"),
        ({"a": np.full((2, 3), np.nan, np.float32)}, "NaN in field 'a', in 2 of 2 rows"),
    ],
)
def test_an_answer_that_cannot_be_is_named(result: Any, words: str) -> None:
    agent = Echoing()
    special = [result]
    agent.predict = lambda batch: special[0]  # type: ignore[method-assign]
    batcher = batcher_of(agent)
    with pytest.raises(AgentError, match=words):
        batcher.predict([rows(2)])
    special[0] = {"a": np.array([-np.inf, np.inf])}
    assert np.isinf(batcher.predict([rows(2)])[0].a).all()  # it serves on, and infinities are legal


@pytest.mark.parametrize("error", [ValueError("no such thing"), SystemExit(1), ZeroDivisionError()])
def test_what_the_agent_raises_keeps_its_traceback(error: BaseException) -> None:
    def fail(_: Batch) -> None:
        raise error

    agent = Echoing()
    agent.hook = fail
    with pytest.raises(AgentError, match=r"actor: Echoing.predict (raised|called exit)") as caught:
        batcher_of(agent).predict([rows(1)])
    assert caught.value.__cause__ is error


def test_a_load_that_fails_leaves_the_version(tmp_path: Any) -> None:
    batcher = batcher_of(PreparedAgent())
    assert batcher.version == NO_MODEL
    (tmp_path / "model.ckpt-3.txt").write_text("weights 3")
    batcher.load(tmp_path, 3)
    with pytest.raises(AgentError, match=r"load_model.*id=4"):
        batcher.load(tmp_path, 4)
    assert batcher.version == 3
