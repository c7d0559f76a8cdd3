"""Recordings come back exactly, and a file that is wrong is refused with the field named."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from kaimesh.arena.recording import Recording
from kaimesh.contract.errors import ConfigError

ACTIONS = np.array([3, 0, 15, 8])
RECORDING = Recording("realm-mini", {"treasure_num": 5, "start": 2}, 300, 17, ACTIONS, 412.6, "ppo, model 1200")


def same(one: Recording, other: Recording) -> bool:
    assert one.actions.dtype == other.actions.dtype
    np.testing.assert_array_equal(one.actions, other.actions)
    return one._replace(actions=None) == other._replace(actions=None)


def test_it_comes_back(tmp_path):
    path = tmp_path / "a" / "folder" / "episode.json"
    RECORDING.save(path)
    assert same(Recording.load(path), RECORDING)
    assert Recording.load(path).actions.dtype == np.int64


@settings(max_examples=60)
@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 5), st.integers(1, 3)),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    ),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_every_float_comes_back_exactly(tmp_path_factory, actions, score):
    path = tmp_path_factory.mktemp("recordings") / "episode.json"
    recording = RECORDING._replace(actions=actions, score=score)
    recording.save(path)
    assert same(Recording.load(path), recording)


def test_the_unit_of_actions_stands_in_the_file_only_where_it_is_an_agents_own(tmp_path):
    path = tmp_path / "episode.json"
    RECORDING.save(path)
    assert not {"unit_actions", "seat"} & set(json.loads(path.read_text())), "earlier versions read it too"
    other = RECORDING._replace(actions=np.float32([[0.4]]), unit_actions=True)
    other.save(path)
    assert same(Recording.load(path), other)


def test_numpy_numbers_are_taken(tmp_path):
    """Scores are sums of float32 rewards, and actions of an agent need not be int64."""
    path = tmp_path / "episode.json"
    RECORDING._replace(score=np.float32(2.5), seed=np.int64(5), actions=ACTIONS.astype(np.int32)).save(path)
    assert same(Recording.load(path), RECORDING._replace(score=2.5, seed=5))


def test_two_thousand_steps_are_a_small_file(tmp_path):
    path = tmp_path / "episode.json"
    RECORDING._replace(actions=np.full(2000, 15)).save(path)
    assert path.stat().st_size < 10_000


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("format", "kaimesh map", "format = 'kaimesh map'"),
        ("version", 2, "version = 2"),
        ("app", "", "app = ''"),
        ("app", None, "app = None"),
        ("env_conf", [1], "env_conf = [1]"),
        ("max_episode_steps", -1, "max_episode_steps = -1"),
        ("max_episode_steps", True, "max_episode_steps = True"),
        ("seed", 1.5, "seed = 1.5"),
        ("seed", 2**63, "seed = 9223372036854775808"),
        ("actions", [], "actions = []"),
        ("actions", "0123", "actions = '0123'"),
        ("actions", [0, 1, 2.5], "actions[2] = 2.5"),
        ("actions", [0, True], "actions[1] = True"),
        ("actions", [0, [1.0]], "actions[1] = [1.0]"),
        ("actions", [[0.0, 1.0], [1.0]], "actions[1] = [1.0]"),
        ("actions", [[]], "actions[0] = []"),
        ("actions", [[1e39]], "actions[0] = [1e+39]"),
        ("actions", [[float("nan")]], "actions[0] = [nan]"),
        ("score", "412", "score = '412'"),
        ("score", float("nan"), "score = nan"),
        ("model", 12, "model = 12"),
        ("unit_actions", 1, "unit_actions = 1"),
        ("seat", -1, "seat = -1"),
        ("colour", "red", "colour = 'red'"),
    ],
)
def test_a_wrong_field_is_named(tmp_path, field, value, named):
    path = tmp_path / "episode.json"
    RECORDING.save(path)
    data = json.loads(path.read_text())
    assert Recording.load(path)  # it is right before it is wrong
    path.write_text(json.dumps(data | {field: value}))
    with pytest.raises(ConfigError) as refused:
        Recording.load(path)
    assert str(path) in str(refused.value)
    assert named in str(refused.value)


@pytest.mark.parametrize("field", [name for name in Recording._fields if name not in ("unit_actions", "seat")])
def test_a_missing_field_is_named(tmp_path, field):
    path = tmp_path / "episode.json"
    RECORDING.save(path)
    data = json.loads(path.read_text())
    del data[field]
    path.write_text(json.dumps(data))
    with pytest.raises(ConfigError, match=f"{field} is missing"):
        Recording.load(path)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "7", '{"rows": []}', "\x00\x01"])
def test_another_file_is_refused(tmp_path, text):
    path = tmp_path / "episode.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"episode\.json"):
        Recording.load(path)


def test_no_file_and_no_text(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        Recording.load(tmp_path / "none.json")
    with pytest.raises(ConfigError, match="cannot be read"):
        Recording.load(tmp_path)
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not JSON"):
        Recording.load(tmp_path / "bytes.json")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("score", float("inf")),
        ("seed", -1),
        ("actions", np.zeros((2, 2, 2), np.float32)),
        ("actions", np.zeros(2)),
        ("actions", np.array([[np.nan]], np.float32)),
        ("actions", np.zeros(0, np.int64)),
        ("env_conf", {"wind": object()}),
        ("env_conf", {"wind": float("nan")}),
    ],
)
def test_what_could_not_be_loaded_is_not_written(tmp_path, field, value):
    path = tmp_path / "episode.json"
    with pytest.raises(ConfigError, match=field):
        RECORDING._replace(**{field: value}).save(path)
    assert not path.exists()
