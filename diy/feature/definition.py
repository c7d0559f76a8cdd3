"""What travels between the processes, and how it is made. All of it runs in aisrv, in the workflow's thread.

`@attached` tells the mesh about a class or function of yours; functions that only your own workflow calls would work
without it. Kaiwu's form of the classes works as well: `ObsData = create_cls("ObsData", feature=None, legal_act=None)`.

Every field must be a number or an array whose shape is the same in every instance: the first one fixes it.
Shape legend: T = Config.TRAJECTORY; F features; A actions.

Kaiwu's converters `SampleData2NumpyData` and `NumpyData2SampleData` are not needed here: a sample travels as its
fields. If you attach them, each sample travels as the one float32 row that the first returns, and `learn` gets what the
second returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from kaimesh.agent import Frame, Observation, attached

from ..config import Config
from . import realm


@attached
@dataclass
class ObsData:
    """One observation; `predict` gets a list of these."""

    feature: np.ndarray  # float32 [F]
    legal_act: np.ndarray  # bool [A]


@attached
@dataclass
class ActData:
    """One decision; `predict` returns a list of these."""

    action: int
    log_prob: float  # of that action when it was chosen: PPO needs it from the network that acted, not from today's
    value: float  # the critic's estimate for this observation


@attached
@dataclass
class SampleData:
    """A piece of a trajectory, n <= T steps and padding after them; `learn` gets a list of these."""

    feature: np.ndarray  # float32 [T, F]
    legal_act: np.ndarray  # bool [T, A]
    action: np.ndarray  # int64 [T]
    log_prob: np.ndarray  # float32 [T]
    reward: np.ndarray  # float32 [T]
    value: np.ndarray  # float32 [T+1]; value[n]: what the critic expects after the last step, 0 if the episode is over
    mask: np.ndarray  # bool [T]: True for the n real steps


@attached
def observation_process(raw_obs: Observation) -> ObsData:
    """The environment's observation as ObsData. Make as many features here as you like; the network's width follows."""
    if realm.is_realm(raw_obs):
        return ObsData(feature=realm.features(raw_obs), legal_act=realm.legal_actions(raw_obs))
    return ObsData(
        feature=np.asarray(raw_obs.feature, np.float32),
        legal_act=np.asarray(raw_obs.legal_act, bool),
    )


@attached
def action_process(act_data: ActData) -> int:
    """An ActData as the action that `env.step` takes."""
    return int(act_data.action)


class Rewards:
    """The environment's own rewards, as they are. One object per episode, so what shaping must remember belongs here.

    totals: numbers of the episode so far, for TensorBoard.
    """

    def __init__(self) -> None:
        self.totals: dict[str, float] = {}

    def reward(self, raw_obs: Observation, score: Any, terminated: int, truncated: int, env_info: object) -> float:
        """The reward of a step, from what `env.step` returned."""
        del raw_obs, terminated, truncated, env_info
        return float(score)


@attached
def reward_process(raw_obs: Observation) -> Rewards | realm.Shaping:
    """The rewards of the episode that begins with this observation. Shape them there: whatever they are, the mesh
    reports the environment's own score.
    """
    return realm.Shaping(raw_obs) if realm.is_realm(raw_obs) else Rewards()


@attached
def sample_process(list_game_data: list[Frame]) -> list[SampleData]:
    """Successive Frames of one episode as SampleData, T frames in each, the last one padded."""
    return [
        _sample(list_game_data[start : start + Config.TRAJECTORY])
        for start in range(0, len(list_game_data), Config.TRAJECTORY)
    ]


def _sample(frames: list[Frame]) -> SampleData:
    length, n = Config.TRAJECTORY, len(frames)
    values = [frame.value for frame in frames] + [frames[-1].next_value]
    return SampleData(
        feature=_padded([frame.feature for frame in frames], length, np.float32),
        legal_act=_padded([frame.legal_act for frame in frames], length, bool),
        action=_padded([frame.action for frame in frames], length, np.int64),
        log_prob=_padded([frame.log_prob for frame in frames], length, np.float32),
        reward=_padded([frame.reward for frame in frames], length, np.float32),
        value=_padded(values, length + 1, np.float32),
        mask=np.arange(length) < n,
    )


def _padded(rows: Sequence[object], length: int, dtype: DTypeLike) -> np.ndarray:
    """`rows`, numbers or arrays of one shape, as an array of `length` rows; the missing ones are zero."""
    array = np.asarray(rows, dtype)
    out = np.zeros((length, *array.shape[1:]), dtype)
    out[: len(rows)] = array
    return out
