"""The contract's helpers: create_cls, attached, Frame, batches of the user's classes, samples, errors of user code."""

from __future__ import annotations

import pickle
import sys
import traceback

import numpy as np
import pytest

from kaimesh.contract import structs
from kaimesh.contract.agent import BaseAgent, user_code
from kaimesh.contract.arrays import Batch
from kaimesh.contract.errors import AgentError, ConfigError, EnvError, Refused, SampleError, Stopped
from kaimesh.contract.monitor import Monitor
from kaimesh.contract.spaces import Spaces
from kaimesh.contract.structs import Frame, attached, create_cls, protocol, sample_columns, sample_list
from kaimesh.process.meter import Meter
from kaimesh.wire.frame import from_json, to_json


@pytest.fixture(autouse=True)
def fresh_protocol(monkeypatch):
    monkeypatch.setattr(structs, "_protocol", {})


Point = create_cls("Point", x=None, y=None)


def test_create_cls_takes_its_fields_only_and_keeps_defaults():
    made = create_cls("ObsData", feature=None, legal_act=None, size=3)
    row = made(feature=[1.0])
    assert (row.feature, row.legal_act, row.size) == ([1.0], None, 3)
    assert made.__name__ == "ObsData"
    assert made.FIELD_DIMS == {"size": 3}
    assert protocol("ObsData") is made
    with pytest.raises(
        AttributeError, match=r"ObsData has no field 'colour'; it was created with feature, legal_act, size"
    ):
        made(colour=1)


def test_instances_pickle():
    point = pickle.loads(pickle.dumps(Point(x=1, y=np.arange(3))))
    assert point.x == 1
    assert point.y.tolist() == [0, 1, 2]


def test_one_instance_does_not_change_another():
    made = create_cls("ActData", action=None)
    one, two = made(action=1), made()
    one.action = 5
    assert (one.action, two.action, made.action) == (5, None, None)


def test_attached_registers_under_the_own_name_and_the_last_wins():
    @attached
    def observation_process(raw_obs):
        return raw_obs

    first = observation_process
    assert protocol("observation_process") is first
    assert first(3) == 3

    @attached
    def observation_process(raw_obs):
        return -raw_obs

    assert protocol("observation_process")(3) == -3
    assert protocol("sample_process") is None
    assert protocol("sample_process", "default") == "default"

    @attached
    class SampleData:
        pass

    assert protocol("SampleData") is SampleData


def test_frame_is_exactly_what_was_given():
    assert Frame(obs=1, act=2).__dict__ == {"obs": 1, "act": 2}
    frame = Frame()
    frame.reward = 3
    assert frame.__dict__ == {"reward": 3}


def test_rows_of_a_batch_are_the_users_class():
    made = create_cls("ObsData", feature=None, legal_act=None)
    batch = Batch(
        Batch.of([made(feature=[1.0, 2.0], legal_act=1), made(feature=[3.0, 4.0], legal_act=0)]).columns, made
    )
    assert batch.feature.dtype == np.float32
    assert batch.feature.shape == (2, 2)
    assert isinstance(batch[1], made)
    assert batch[1].feature.tolist() == [3.0, 4.0]
    assert [row.legal_act for row in batch] == [1, 0]
    assert isinstance(batch[:1][0], made)
    assert np.shares_memory(batch[0].feature, batch.feature)


def test_fields_that_stay_none_do_not_travel():
    made = create_cls("ActData", action=None, extra=None)
    assert tuple(Batch.of([made(action=1)]).columns) == ("action",)


def test_plain_classes_and_dicts_are_structs_too():
    class Own:
        def __init__(self, a):
            self.a = a

    assert Batch.of([Own(1), Own(2)]).a.tolist() == [1, 2]
    assert Batch.of([{"a": 1}, {"a": 2}]).a.tolist() == [1, 2]


def test_sample_columns_copies_what_the_caller_will_clear():
    made = create_cls("SampleData", obs=None, reward=None)
    kept = np.ones(3, np.float32)
    rows = [made(obs=kept, reward=0.5)]
    batch = sample_columns(rows)
    kept[:] = 9
    rows.clear()
    assert batch.obs.tolist() == [[1, 1, 1]]
    assert batch.reward.dtype == np.float32


def test_a_batchs_columns_are_passed_on_without_a_copy_and_without_a_change_to_the_batch():
    given = Batch({"obs": np.zeros((2, 3))})
    batch = sample_columns(given)
    assert batch.obs is given.obs
    batch.columns["more"] = np.zeros(2)
    assert "more" not in given.columns


def test_samples_go_through_the_users_converters_where_attached():
    made = create_cls("SampleData", obs=None, reward=None)

    @attached
    def SampleData2NumpyData(sample):
        return np.concatenate([sample.obs, [sample.reward]])

    @attached
    def NumpyData2SampleData(row):
        return made(obs=row[:-1], reward=row[-1])

    batch = sample_columns([made(obs=np.array([1.0, 2.0]), reward=3.0), made(obs=np.array([4.0, 5.0]), reward=6.0)])
    assert batch.row.dtype == np.float32
    assert batch.row.tolist() == [[1, 2, 3], [4, 5, 6]]
    restored = sample_list(batch)
    assert [type(row) for row in restored] == [made, made]
    assert [(row.obs.tolist(), float(row.reward)) for row in restored] == [([1, 2], 3), ([4, 5], 6)]


def test_without_converters_learn_gets_a_batch_of_the_users_class():
    made = create_cls("SampleData", obs=None)
    batch = sample_list(sample_columns([made(obs=np.zeros(2)), made(obs=np.ones(2))]))
    assert isinstance(batch, Batch)
    assert [type(row) for row in batch] == [made, made]
    assert batch.obs.shape == (2, 2)


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ({"obs": np.zeros(4)}, r"row 1: field 'obs' has shape \(4,\); the declared shape is \(3,\)"),
        ({"obs": None}, "row 1 has no 'obs'"),
        ({"obs": np.array(["a", "b", "c"])}, "cannot travel"),
        ({"obs": np.zeros(3, np.complex64)}, "cannot travel"),
    ],
)
def test_a_sample_unlike_the_first_is_named(second, words):
    made = create_cls("SampleData", obs=None)
    with pytest.raises(SampleError, match=words):
        sample_columns([made(obs=np.zeros(3)), made(**second)])


def broken():
    raise ZeroDivisionError("a bug")


def test_user_code_keeps_the_original_traceback():
    with (
        pytest.raises(AgentError, match=r"learner: Agent.learn raised ZeroDivisionError: a bug") as caught,
        user_code("learner: Agent.learn"),
    ):
        broken()
    cause = caught.value.__cause__
    assert isinstance(cause, ZeroDivisionError)
    assert traceback.extract_tb(cause.__traceback__)[-1].name == "broken"


def test_exit_in_user_code_is_an_error_with_words():
    with pytest.raises(AgentError, match=r"called exit \(1, SystemExit\)"), user_code("actor: Agent.load_model"):
        raise SystemExit(1)


@pytest.mark.parametrize("error", [Stopped(), ConfigError("x"), KeyboardInterrupt()])
def test_what_is_not_the_users_fault_passes_through(error):
    with pytest.raises(type(error)) as caught, user_code("anything"):
        raise error
    assert caught.value is error


def _handled(error):
    try:
        raise error
    except BaseException as caught:
        raise RuntimeError("workflow failed") from caught


def _handled_quietly(error):
    try:
        raise error
    except BaseException:
        raise RuntimeError("workflow failed") from None


def _handled_twice(error):
    try:
        _handled(error)
    except Exception:
        sys.exit(1)


def _handled_in_finally(error):
    try:
        raise error
    finally:
        {}["score"]


@pytest.mark.parametrize("handler", [_handled, _handled_quietly, _handled_twice, _handled_in_finally])
@pytest.mark.parametrize("error", [Stopped(), EnvError("the game server is gone"), Refused("no"), ConfigError("x")])
def test_an_error_of_the_mesh_that_user_code_replaced_is_raised_again(handler, error):
    error.__cause__ = original = ValueError("what the environment raised")
    with pytest.raises(type(error)) as caught, user_code("aisrv: workflow in slot 0"):
        handler(error)
    assert caught.value is error
    assert caught.value.__cause__ is original, "its traceback is the one that explains"
    assert "aisrv: workflow in slot 0 caught this and raised" in "".join(traceback.format_exception(error))


def test_an_error_that_was_handled_before_is_not_the_reason():
    def workflow():
        try:
            raise EnvError("the game server is gone")
        except EnvError:
            pass
        raise RuntimeError("a bug of its own")

    with pytest.raises(AgentError, match="a bug of its own"), user_code("aisrv: workflow"):
        workflow()


def test_monitor_sets_gauges_of_any_process_id():
    seen = {}
    Monitor(seen.__setitem__).put_data({1: {"reward": np.float32(2)}, "x": {"loss": 1}})
    assert seen == {"user/reward": 2.0, "user/loss": 1.0}


def test_monitor_counts_and_measures():
    meter = Meter("actor_0", clock=iter(range(100)).__next__)
    monitor = Monitor(count=meter.count, phase=meter.phase)
    monitor.count("searches")
    monitor.count("searches", 3)
    with monitor.phase("search"):
        pass
    shown = meter.snapshot()
    assert shown["counters"] == {"user/searches": 4}
    assert shown["phase_seconds"] == {"user/search": 1}
    with Monitor().phase("search"):  # which nobody shows
        Monitor().count("searches")


@pytest.mark.parametrize("name", ["size", "capacity", "policy_lag", "learn/loss", "mesh/env_steps", "user/x", "", 7])
def test_no_metric_of_a_user_has_the_name_of_one_of_ours(name):
    seen = {}
    Monitor(seen.__setitem__).put_data({1: {name: 1e6}})
    assert list(seen) == [f"user/{name}"]


def test_a_metrics_name_cannot_forge_a_line_of_the_log_nor_fill_the_memory():
    seen = {}
    Monitor(seen.__setitem__).put_data({1: {"x\n12:00:00 ERROR learner_0 | fake": 1, "\x1b[2J" + "y" * 1000: 2}})
    assert all(name.isprintable() and len(name) <= 128 for name in seen)
    assert len(seen) == 2


def test_spaces_with_open_ends_survive_the_wire_which_has_no_infinity():
    spaces = Spaces((4,), "<f4", "continuous", 2, (-1.0, float("-inf")), (float("inf"), 2.0))
    sent = to_json(spaces._asdict())
    assert b"Infinity" not in sent
    assert Spaces.from_json(from_json(sent)) == spaces


def test_spaces_survive_json():
    spaces = Spaces((4, 84, 84), "|u1", "continuous", 2, (-1.0, float("-inf")), (1.0, 2.0), True)
    assert (
        Spaces.from_json({key: list(v) if isinstance(v, tuple) else v for key, v in spaces._asdict().items()}) == spaces
    )


def test_a_method_that_was_not_written_is_named():
    with pytest.raises(NotImplementedError, match=r"Agent\.predict"):
        BaseAgent().predict(Batch({}))
