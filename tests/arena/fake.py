"""Agents that need no training: what tests of the evaluation name in their conf/algo_conf.toml."""

from __future__ import annotations

import itertools
import subprocess
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
    """Catches the ball in catch; elsewhere always acts like the number in its model file. Checks what it is given.

    It explores by the action after that one; model 14 cannot.
    """

    def setup(self, spaces: Spaces) -> None:
        self.spaces = spaces

    def save_model(self, path: str | None = None, id: str | int = "1") -> None:
        Path(str(path), f"model.ckpt-{id}.txt").write_text(str(id))

    def load_model(self, path: str | None = None, id: str | int = "1") -> None:
        assert type(id) is int
        self.number = int(Path(str(path), f"model.ckpt-{id}.txt").read_text())

    def predict(self, list_obs_data: Batch) -> Any:
        if self.number == 14:
            raise ZeroDivisionError("fourteen")
        acts = self.exploit(list_obs_data).columns["action"]
        return {"action": acts if acts.ndim > 1 else (acts + 1) % self.spaces.action_size}

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
        acts: Any = [ActData(action=int(row.feature[2] + row.feature[3] > 0)) for row in list_obs_data]
        return (acts, 5) if self.tuple_of_version else acts

    def predict(self, list_obs_data: Any) -> Any:
        """Leans the other way."""
        return [ActData(action=1 - act.action) for act in Kaiwu.exploit(self, list_obs_data)]


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


class Endless(Fickle):
    """No episode ever ends. It has a process of its own, whose pid it writes into the file `pid`."""

    worth = itertools.repeat(0.5)

    def __init__(self, pid: str = "", render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self._child, self._pid = None, pid

    def step(self, action: Any) -> Any:
        if self._pid and self._child is None:
            self._child = subprocess.Popen(["sleep", "600"], start_new_session=True)
            Path(self._pid).with_suffix(".new").write_text(str(self._child.pid))
            Path(self._pid).with_suffix(".new").rename(self._pid)
        return np.zeros(2, np.float32), 0.5, False, False, {}


class Blind(Fickle):
    """Draws nothing, and each kind of `how` otherwise: it raises, returns nothing, text, numbers that are no bytes;
    or it fails in the middle of an episode: with pictures that grow, or an error.
    """

    def __init__(self, how: str = "raises", render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self._how = how
        if how == "constructor" and render_mode:
            raise OSError("no display")

    def render(self) -> Any:
        if self._how == "raises":
            raise RuntimeError("no display")
        drawn = self._drawn = getattr(self, "_drawn", 0) + 1
        if self._how == "late" and drawn > 1:
            raise ValueError("the window was closed")
        return {
            "nothing": None,
            "text": "a picture of words",
            "shares": np.full((2, 2, 3), 0.5),
            "grows": np.zeros((drawn, 2, 3), np.uint8),
            "late": np.zeros((2, 2, 3), np.uint8),
        }[self._how]


class Breaks(Fickle):
    """Fails in a step of an episode that it draws."""

    def step(self, action: Any) -> Any:
        if self.render_mode:
            raise ConnectionError("the game server closed the connection")
        return super().step(action)


class Unrendered(Fickle):
    """Knows no render_mode."""

    metadata: ClassVar = {"render_modes": []}

    def __init__(self) -> None:
        super().__init__()


class Strict(Fickle):
    """Of three actions one is legal at a time, and the others raise. Ten steps, each worth the action."""

    metadata: ClassVar = {"render_modes": [], "legal_actions": True}
    action_space = gymnasium.spaces.Discrete(3, start=1)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super(Fickle, self).reset(seed=seed)
        self._steps = 0
        return np.zeros(2, np.float32), self._info()

    def _info(self) -> dict[str, Any]:
        self._legal = int(self.np_random.integers(3))
        return {"legal_act": np.arange(3) == self._legal}

    def step(self, action: Any) -> Any:
        assert action == 1 + self._legal
        self._steps += 1
        return np.zeros(2, np.float32), float(action), self._steps == 10, False, self._info()


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
