"""What travels between the processes, and how it is made. All of it runs in aisrv, in the workflow's thread.

`create_cls` makes a struct with the named fields. `@attached` tells the mesh about a function of yours; those that
only your own workflow calls would work without it.

Every field must be a number or an array whose shape is the same in every instance: the first one fixes it.
Shape legend: T = Config.TRAJECTORY; F features; A actions.

Kaiwu's converters `SampleData2NumpyData` and `NumpyData2SampleData` are not needed here: a sample travels as its fields. If
you attach them, each sample travels as the one float32 row that they make, and `learn` gets what they make of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kaimesh.agent import attached, create_cls

from ..config import Config
from . import realm

# One observation, what `predict` gets a list of: feature float32 [F], legal_act bool [A].
ObsData = create_cls("ObsData", feature=None, legal_act=None)

# One decision, what `predict` returns a list of: action int, log_prob float (of that action when it was chosen: PPO needs
# it from the network that acted, not from today's), value float (the critic's estimate for this observation).
ActData = create_cls("ActData", action=None, log_prob=None, value=None)

# One piece of a trajectory, what `learn` gets a list of: feature [T, F], legal_act [T, A], action [T], log_prob [T],
# reward [T], value [T+1], mask [T]. With n real steps, mask is True for the first n, and value[n] is the bootstrap:
# what the critic expects after the last of them, 0 if the episode is over. The rest is padding.
SampleData = create_cls(
    "SampleData", feature=None, legal_act=None, action=None, log_prob=None, reward=None, value=None, mask=None
)


@attached
def observation_process(raw_obs: Any) -> Any:
    """The environment's observation as ObsData. Make features here, as many as you like; the network's width follows."""
    if realm.is_realm(raw_obs):
        return ObsData(feature=realm.features(raw_obs), legal_act=realm.legal_actions(raw_obs))
    return ObsData(
        feature=np.asarray(raw_obs.feature, np.float32),
        legal_act=np.asarray(raw_obs.legal_act, bool),
    )


@attached
def action_process(act_data: Any) -> int:
    """An ActData as the action that `env.step` takes."""
    return int(act_data.action)


class Rewards:
    """The environment's own rewards, as they are. One object per episode: what shaping must remember belongs here, not on the agent.

    totals: numbers of the episode so far, for TensorBoard.
    """

    def __init__(self) -> None:
        self.totals: dict[str, float] = {}

    def reward(self, raw_obs: Any, score: Any, terminated: int, truncated: int, env_info: Any) -> float:
        """The reward of a step, from what `env.step` returned."""
        del raw_obs, terminated, truncated, env_info
        return float(score)


@attached
def reward_process(raw_obs: Any) -> Any:
    """What makes the rewards of the episode that begins with this observation. Shape them there; the mesh reports the
    environment's own score in any case.
    """
    return realm.Shaping(raw_obs) if realm.is_realm(raw_obs) else Rewards()


@attached
def sample_process(list_game_data: list[Any]) -> list[Any]:
    """Successive Frames of one episode as SampleData, T frames in each, the last one padded."""
    return [
        _sample(list_game_data[start : start + Config.TRAJECTORY])
        for start in range(0, len(list_game_data), Config.TRAJECTORY)
    ]


def _sample(frames: list[Any]) -> Any:
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


def _padded(rows: list[Any], length: int, dtype: Any) -> np.ndarray:
    """`rows` as an array of `length` rows, the missing ones zero."""
    array = np.asarray(rows, dtype)
    out = np.zeros((length, *array.shape[1:]), dtype)
    out[: len(rows)] = array
    return out
