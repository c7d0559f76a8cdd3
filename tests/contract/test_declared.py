"""What may be declared of rows and environments: tables of what is refused,
and that nothing else than a refusal comes out.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaimesh.contract.arrays import Batch, Specs
from kaimesh.contract.declared import MAX_ACTIONS, MAX_ROW_BYTES, TAKEN_NAMES
from kaimesh.contract.errors import SampleError
from kaimesh.contract.spaces import Part, Spaces

INF, NAN = float("inf"), float("nan")
BOX = Spaces((4,), "<f4", "continuous", 2, (-1.0, -INF), (1.0, INF))
DISCRETE = Spaces((4,), "<f4", "discrete", 2, legal_actions=True)
PARTS = Spaces((12,), "|u1", "discrete", 2, parts=(Part("view", "|u1", (2, 2), 8), Part("own", "<f4", (2,))))


def json_of(spaces: Spaces) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(json.dumps(spaces._asdict()))
    return data


def test_the_taken_names_are_what_a_batch_is_made_of() -> None:
    assert {name for name in vars(Batch) if not name.startswith("__")} == TAKEN_NAMES


@pytest.mark.parametrize("spaces", [BOX, DISCRETE, PARTS, BOX._replace(obs_shape=())])
def test_spaces_come_back_as_they_were(spaces: Spaces) -> None:
    assert Spaces.from_json(json_of(spaces)) == spaces


@pytest.mark.parametrize(
    "dtype",
    [
        "O", "|O", "f4", "float32", "float", "f4,f4", "(3,)f4", "M8[s]", "<M8[ns]", "<m8", "S3", "|S1", "<U4", "V4",
        "c8", "<c8",
        "V999999999999999999999", "f4," * 20_000, "{'names':['a'],'formats':['f4']}", "\ud800", "", "|f4", "=f4", "<b1",
        None, 4, ["<f4"],
    ],
    ids=lambda dtype: repr(dtype)[:30],
)  # fmt: skip
def test_a_dtype_that_numpy_would_have_to_parse_is_refused(dtype: Any) -> None:
    with pytest.raises(SampleError):
        Specs.from_json([["x", dtype, [1]]])
    with pytest.raises(SampleError):
        Spaces.from_json({**json_of(DISCRETE), "obs_dtype": dtype})


@pytest.mark.parametrize(
    "shape",
    [
        [-1], [1.0], [INF], [NAN], ["4"], [True], [None], [[4]], "44", None, {}, 4, [1] * 17, [2**31], [2**64],
        [2**31 - 1] * 16,
        [0, 2**31 - 1, 2**31 - 1, 2**31 - 1], [MAX_ROW_BYTES // 4 + 1],
    ],
    ids=repr,
)  # fmt: skip
def test_a_shape_that_no_row_has_is_refused(shape: Any) -> None:
    with pytest.raises(SampleError):
        Specs.from_json([["x", "<f4", shape]])
    with pytest.raises(SampleError):
        Spaces.from_json({**json_of(DISCRETE), "obs_shape": shape})


@pytest.mark.parametrize(
    "name", [*sorted(TAKEN_NAMES), "__class__", "__dict__", "", None, 1, ["a"], "a\nb", "\x1b[31m", "\ud800", "n" * 129]
)
def test_a_name_that_a_batch_cannot_have_is_refused(name: Any) -> None:
    with pytest.raises(SampleError):
        Specs.from_json([[name, "<f4", [1]]])


@pytest.mark.parametrize("name", ["count", "index", "_model_version", "_", "__", "观测", "my field"])
def test_users_keep_their_names(name: str) -> None:
    assert Specs.from_json([[name, "<f4", [1]]]).names == (name,)


@pytest.mark.parametrize(
    "data",
    [
        [[f"f{i}", "<f4", [1]] for i in range(129)],
        [["x", "<f4", [1]], ["x", "<f4", [1]]],
        [["x", "<f4", [1], 1]],
        [["x", "|u1", [MAX_ROW_BYTES]], ["y", "|u1", [1]]],
        {"x": ["<f4", [1]]},
        True,
    ],
    ids=lambda data: repr(data)[:40],
)
def test_specs_that_are_none_are_refused(data: Any) -> None:
    with pytest.raises(SampleError):
        Specs.from_json(data)


@pytest.mark.parametrize(
    ("spaces", "changes"),
    [(DISCRETE, {"action_size": size}) for size in (-1, 0, MAX_ACTIONS + 1, 10**9, 2**70, 1.0, NAN, True, "2", None)]
    + [
        (DISCRETE, {"action_kind": "x"}),
        (DISCRETE, {"action_kind": {"a": 1}}),
        (DISCRETE, {"action_low": [-1.0, -1.0], "action_high": [1.0, 1.0]}),
        (DISCRETE, {"legal_actions": 1}),
        (DISCRETE, {"x": 1}),
        (DISCRETE, {"obs_shape": [0]}),
        (DISCRETE, {"parts": 5}),
        (DISCRETE, {"parts": [[1, 2, 3]]}),
        (DISCRETE, {"parts": [["view", "|u1", [4], 0]]}),
        (BOX, {"action_low": [NAN, 0.0]}),
        (BOX, {"action_low": [2.0, 0.0]}),
        (BOX, {"action_low": [0.0]}),
        (BOX, {"action_low": [], "action_high": []}),
        (BOX, {"action_high": [1.0, "1"]}),
        (BOX, {"action_size": 3}),
        (PARTS, {"obs_shape": [13]}),
        (PARTS, {"obs_shape": [3, 4]}),
        (PARTS, {"parts": [["view", "|u1", [2, 2], 9], ["own", "<f4", [2], 0]]}),
        (PARTS, {"parts": [["view", "|u1", [2, 2], -1], ["own", "<f4", [2], 0]]}),
        (PARTS, {"parts": [["view", "|u1", [2, 2], 0], ["view", "<f4", [2], 0]]}),
        (PARTS, {"parts": [["view", "|u1", [4], 0], ["own", "<f4", [2], 1]]}),
        (PARTS, {"parts": [["a", "b", [], 0, 5]]}),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_spaces_that_no_environment_has_are_refused(spaces: Spaces, changes: dict[str, Any]) -> None:
    with pytest.raises(SampleError, match="spaces are not those"):
        Spaces.from_json({**json_of(spaces), **changes})


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["<f4", "|u1", "discrete"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=50, deadline=None)
@given(
    base=st.sampled_from([BOX, DISCRETE, PARTS]),
    changes=st.dictionaries(st.sampled_from(Spaces._fields), ANYTHING, max_size=3),
)
def test_a_strangers_spaces_are_refused_or_sound(base: Spaces, changes: dict[str, Any]) -> None:
    try:
        spaces = Spaces.from_json({**json_of(base), **changes})
    except SampleError:
        return
    assert 0 < np.empty(spaces.obs_shape, spaces.obs_dtype).nbytes <= MAX_ROW_BYTES
    assert 1 <= spaces.action_size <= MAX_ACTIONS
    assert hash(spaces) == hash(Spaces.from_json(json_of(spaces)))
