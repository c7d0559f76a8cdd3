"""Columns that an agent adds, and its actions: every way to be wrong is an AgentError that names the method."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kaimesh.contract.answers import added_columns, check_acts, columns_of
from kaimesh.contract.arrays import Batch
from kaimesh.contract.columns import MESH_COLUMNS
from kaimesh.contract.errors import AgentError
from kaimesh.contract.spaces import Spaces

DISCRETE = Spaces((2,), "<f4", "discrete", 3)
CONTINUOUS = Spaces((2,), "<f4", "continuous", 2, (-1.0, -1.0), (1.0, 1.0))
B = 4


def test_what_an_agent_may_add() -> None:
    assert added_columns({}, B, "A.initial_state") == {}
    for result in ({"epsilon": np.zeros(B)}, Batch({"epsilon": np.zeros(B)})):
        assert set(added_columns(result, B, "A.slot_columns")) == {"epsilon"}


@pytest.mark.parametrize(
    "result",
    [
        None,
        3,
        np.zeros((B, 2)),
        [np.zeros(2)] * B,
        {"h": 0.0},
        {"h": np.zeros(B - 1)},
        {"h": np.zeros(B + 1)},
        {"h": np.zeros(B), "g": np.zeros(1)},
        {"h": [None] * B},
        {"h": np.array(["a"] * B)},
        {3: np.zeros(B)},
        {"obs": np.zeros(B)},
        {"reward": np.zeros(B)},
        {"mask": np.zeros(B)},
        {"_frames": np.zeros(B)},
        *({name: np.zeros(B)} for name in MESH_COLUMNS),
    ],
    ids=lambda result: str(type(result).__name__),
)
def test_what_it_may_not_is_told_with_the_methods_name(result: Any) -> None:
    with pytest.raises(AgentError, match=r"^A\.initial_state returned"):
        added_columns(result, B, "A.initial_state")


def test_a_batch_of_lists_is_one_of_arrays() -> None:
    found = columns_of(Batch({"action": [1] * B, "value": (0.5,) * B}), B, "A.predict")  # type: ignore[dict-item]
    assert {name: column.dtype.str for name, column in found.columns.items()} == {"action": "<i8", "value": "<f4"}
    with pytest.raises(AgentError, match=r"A\.predict returned what cannot be sent"):
        columns_of(Batch({"action": ["a"] * B}), B, "A.predict")  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("spaces", "action"),
    [
        (DISCRETE, np.zeros(B, np.int32)),
        (DISCRETE, np.zeros(B, np.uint8)),
        (CONTINUOUS, np.zeros((B, 2), np.float32)),
        (CONTINUOUS, np.zeros((B, 2), np.int64)),
    ],
)
def test_actions_of_the_spaces_pass(spaces: Spaces, action: np.ndarray) -> None:
    check_acts({"action": action, "value": np.zeros(B)}, spaces, "A.predict")


@pytest.mark.parametrize(
    ("spaces", "acts", "words"),
    [
        (DISCRETE, {"act": np.zeros(B)}, "no column 'action', but act"),
        (DISCRETE, {"action": np.zeros((B, 2), np.int64)}, r"\['B', 2\], but the environment takes discrete ones"),
        (DISCRETE, {"action": np.zeros((B, 1), np.int64)}, r"of shape \['B'\]"),
        (DISCRETE, {"action": np.zeros(B)}, "dtype float64"),
        (DISCRETE, {"action": np.zeros(B, bool)}, "dtype bool"),
        (CONTINUOUS, {"action": np.zeros(B)}, r"continuous ones of shape \['B', 2\]"),
        (DISCRETE, {"action": np.zeros(B, np.int64), "reward": np.zeros(B)}, "a column 'reward'"),
        (DISCRETE, {"action": np.zeros(B, np.int64), "_model_version": np.zeros(B)}, "a column '_model_version'"),
    ],
)
def test_what_no_environment_could_do_is_the_agents_error(spaces: Spaces, acts: Any, words: str) -> None:
    with pytest.raises(AgentError, match=rf"^A\.predict returned.*{words}"):
        check_acts(acts, spaces, "A.predict")
