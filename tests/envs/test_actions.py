"""Continuous actions: an agent of unit actions acts between -1 and 1 in any box, and any other in the box itself."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from kaimesh import envs
from kaimesh.contract.errors import AgentError, ConfigError
from tests.envs.own import Boxed

BOXED = "tests.envs.own:Boxed"
INF = float("inf")
# bounds, dtype, units, and the actions that the environment gets for them
BOXES: list[tuple[Any, Any, str, list[float], list[float]]] = [
    (0.0, 1000.0, "float32", [0.4], [700.0]),
    ([-2.0], [2.0], "float64", [-3.0], [-2.0]),
    ([0.0, -1.0, -INF, 3.0], [10.0, 1.0, INF, INF], "float32", [-0.5, 0.3, -8.0, 1.0], [2.5, np.float32(0.3), -8, 5]),
    ([[-1.0], [0.0]], [[1.0], [4.0]], "float32", [-1.0, 0.0], [-1.0, 2.0]),
    ([-1e308], [1e308], "float64", [0.5], [5e307]),
    ([-3e38], [3e38], "float32", [1.0], [np.float32(3e38)]),
    ([5.0], [5.0], "float32", [0.7], [5.0]),
    ([0.0], [5e-324], "float64", [1.0], [5e-324]),
    ([0.0], [6e4], "float16", [0.0], [np.float16(3e4)]),
    ([-INF], [-1.0], "float64", [-1.5], [-3.5]),
]


@pytest.fixture(autouse=True)
def taken() -> Iterator[list[np.ndarray]]:
    """What the environments got in this test."""
    Boxed.taken.clear()
    yield Boxed.taken
    Boxed.taken.clear()


@pytest.mark.parametrize("vectorised", [True, False], ids=["vector", "facade"])
@pytest.mark.parametrize(("low", "high", "dtype", "units", "actions"), BOXES)
def test_unit_actions_arrive_as_the_boxs_own(
    taken: list[np.ndarray],
    low: Any,
    high: Any,
    dtype: str,
    units: list[float],
    actions: list[float],
    vectorised: bool,
) -> None:
    conf = {"low": low, "high": high, "dtype": dtype, "far": 1e308}
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*(overflow|invalid|divide).*")
        if vectorised:
            env = envs.make_vector(BOXED, 2, env_conf=conf, unit_actions=True)
            env.reset(seed=1)
            env.step(np.array([units, units], np.float32))
        else:
            facade = envs.facade(BOXED, env_conf=conf, unit_actions=True)
            facade.reset()
            facade.step(units)
    for action in taken:
        assert action.shape == np.shape(np.atleast_1d(low))
        assert action.dtype == dtype
        assert action.reshape(-1).tolist() == [float(value) for value in actions]


@pytest.mark.parametrize("vectorised", [True, False], ids=["vector", "facade"])
def test_an_agent_that_does_not_ask_keeps_its_actions(taken: list[np.ndarray], vectorised: bool) -> None:
    if vectorised:
        env = envs.make_vector(BOXED, 1)
        env.reset(seed=1)
        for value in (0.4, 700.0, -3.0, 5000.0):
            env.step(np.array([[value]], np.float32))
    else:
        facade = envs.facade(BOXED)
        facade.reset()
        for value in (0.4, 700.0, -3.0, 5000.0):
            facade.step([value])
    assert np.ravel(taken).tolist() == [np.float32(0.4), 700.0, 0.0, 1000.0]


def test_what_a_box_cannot_be_is_refused_as_before() -> None:
    with pytest.raises(ConfigError, match="the algorithms take Discrete or float Box"):
        envs.make_vector(BOXED, 1, env_conf={"low": 0, "high": 10, "dtype": "int32"}, unit_actions=True)
    env = envs.make_vector(BOXED, 1, unit_actions=True)
    env.reset(seed=1)
    with pytest.raises(AgentError, match="an action is NaN"):
        env.step(np.full((1, 1), np.nan, np.float32))


def test_discrete_actions_know_no_unit() -> None:
    env = envs.make_vector("tests.envs.own:Counter", 2, env_conf={"first_action": 5}, unit_actions=True)
    env.reset()
    assert env.step(np.array([0, 2], np.int32))[1].tolist() == [15.0, 17.0]
