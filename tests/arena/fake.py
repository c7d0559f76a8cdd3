"""Agents that need no training: what tests of the evaluation name in their conf/algo_conf.toml."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np

from kaimesh.contract.agent import BaseAgent
from kaimesh.contract.arrays import Batch
from kaimesh.contract.spaces import Spaces
from kaimesh.contract.structs import attached, create_cls
from kaimesh.contract.workflow import vectorised


class VectorisedAgent(BaseAgent):
    """Catches the ball in catch; elsewhere always acts like the number in its model file. Checks what it is given."""

    def setup(self, spaces: Spaces) -> None:
        self.spaces = spaces

    def save_model(self, path: str | None = None, id: str | int = "1") -> None:
        Path(str(path), f"model.ckpt-{id}.txt").write_text(str(id))

    def load_model(self, path: str | None = None, id: str | int = "1") -> None:
        assert type(id) is int
        self.number = int(Path(str(path), f"model.ckpt-{id}.txt").read_text())

    def predict(self, list_obs_data: Batch) -> Batch:
        del list_obs_data
        raise AssertionError("an evaluation must not explore")

    def exploit(self, list_obs_data: Batch) -> Any:
        assert self.agent_type == "actor"
        obs = list_obs_data.columns["obs"]
        assert obs.shape[1:] == self.spaces.obs_shape
        if self.number == 13:
            raise ZeroDivisionError("thirteen")
        if self.spaces.action_kind == "continuous":
            return Batch({"action": np.zeros((len(obs), self.spaces.action_size), np.float32)})
        if self.spaces.obs_shape != (50,):
            return Batch({"action": np.full(len(obs), self.number, np.int64)})
        boards = obs.reshape(-1, 10, 5)
        ball, paddle = boards[:, :-1].sum(1).argmax(1), boards[:, -1].argmax(1)
        wanted = 1 + np.sign(ball - paddle)
        if self.number == 2:  # a model that misses
            wanted = 2 - 2 * wanted
        return Batch({"action": np.where(boards[:, :-1].any((1, 2)), np.clip(wanted, 0, 2), 1)})


class UnitAgent(VectorisedAgent):
    """Acts 0.4 in each dimension, where -1 and 1 are the bounds."""

    unit_actions = True

    def exploit(self, list_obs_data: Batch) -> Any:
        return Batch({"action": np.full((len(list_obs_data), self.spaces.action_size), 0.4, np.float32)})


class Kaiwu(BaseAgent):
    """Leans the cart against the pole: more than 100 steps of CartPole. Generation G1, or G2 with its tuple."""

    tuple_of_version = False

    def load_model(self, path: str | None = None, id: str | int = "1") -> None:
        assert Path(str(path), f"model.ckpt-{id}.txt").exists()

    def exploit(self, list_obs_data: Any) -> Any:
        assert list_obs_data.feature.shape == (len(list_obs_data), 4)
        acts = [ActData(action=int(row.feature[2] + row.feature[3] > 0)) for row in list_obs_data]
        return (acts, 5) if self.tuple_of_version else acts


class KaiwuG2(Kaiwu):
    tuple_of_version = True


class Fickle(gymnasium.Env):
    """One step, worth something else every time, whatever the seed."""

    metadata: ClassVar = {"render_modes": ["rgb_array"], "render_fps": 5}
    observation_space = gymnasium.spaces.Box(0, 1, (2,))
    action_space = gymnasium.spaces.Discrete(2)
    worth = itertools.count()

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        return np.zeros(2, np.float32), float(next(self.worth)), True, False, {}

    def render(self) -> np.ndarray:
        return np.zeros((40, 40, 3), np.uint8)


ObsData = create_cls("ObsData", feature=None)
ActData = create_cls("ActData", action=None)


@attached
def observation_process(raw_obs: Any) -> Any:
    return ObsData(feature=raw_obs.feature)


@attached
def action_process(act_data: Any) -> int:
    return int(act_data.action)


@vectorised
def vectorised_workflow(*_: Any) -> None:
    """Never called: it only says that the agent is vectorised."""


def workflow(*_: Any) -> None:
    """Never called."""
