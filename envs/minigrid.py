"""`minigrid:<id>`: MiniGrid's grid worlds (arXiv 2306.13831), such as `minigrid:Empty-5x5` for `MiniGrid-Empty-5x5-v0`.

The newest version is taken where none is named; `gym:MiniGrid-Empty-5x5-v0` is the same.

What MiniGrid gives as a dictionary is here bytes `[L]` in parts. The agent sees H x W cells (7 x 7, unless
env_conf.agent_view_size says otherwise), with the numbers of their kind, colour and state; each number is a bit, so
that a network sees zeros and ones:

| part | bytes | bits |
|---|---|---|
| `kinds` | `[H, W]` | unseen, empty, wall, floor, door, key, ball, box |
| `goals` | `[H, W]` | goal, lava, agent |
| `colours` | `[H, W]` | red, green, blue, purple, yellow, grey |
| `states` | `[H, W]` | open, closed, locked; of an agent, where it looks |
| `direction` | `[4]` | where the agent looks: one of four is 1 |
| `mission` | `[M]` | only where missions differ: for each word that does, one of its choices is 1 |

`env_conf` holds the environment's own arguments. Slots are stepped one after the other: MiniGrid is written in Python.
"""

from __future__ import annotations

import difflib
import itertools
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import VectorEnv

from kaimesh.contract.errors import ConfigError
from kaimesh.contract.spaces import Part
from kaimesh.envs import gym
from kaimesh.envs.one_by_one import OneByOne, Tell, tell_nobody
from kaimesh.envs.renewal import Renew

PREFIX = "MiniGrid-"
_SUCCESS_RETURN = 0.05  # below any solved episode's return, which is 1 - 0.9 x the share of its steps that were used
_BYTE = "|u1"


_PLANES = (("kinds", 8), ("goals", 3), ("colours", 6), ("states", 4))
_NO_WORDS = np.zeros(0, np.uint8)


class Flat(gymnasium.ObservationWrapper[np.ndarray, Any, dict[str, Any]]):
    """A MiniGrid environment whose observations are bytes, as above."""

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        spaces: Any = env.observation_space
        height, width, _ = spaces["image"].shape
        self._missions = _missions(spaces["mission"])
        words = len(next(iter(self._missions.values()), _NO_WORDS))
        directions: Discrete = spaces["direction"]
        self._directions = np.eye(int(directions.n), dtype=np.uint8)
        parts = [
            *(Part(name, _BYTE, (height, width), bits) for name, bits in _PLANES),
            Part("direction", _BYTE, (int(directions.n),)),
            *([Part("mission", _BYTE, (words,))] if words else []),
        ]
        self.metadata = {**env.metadata, "parts": tuple(parts), "success_return": _SUCCESS_RETURN}
        self.observation_space = Box(0, 255, (sum(part.nbytes for part in parts),), np.uint8)

    def observation(self, observation: dict[str, Any]) -> np.ndarray:
        """Bytes `[L]`."""
        kind, colour, state = np.moveaxis(observation["image"].astype(np.uint16), -1, 0)
        kinds = np.uint16(1) << kind  # [H, W]
        planes = [kinds & 255, kinds >> 8, np.uint16(1) << colour, np.uint16(1) << state]
        return np.concatenate(
            [
                np.stack(planes).astype(np.uint8).reshape(-1),
                self._directions[observation["direction"]],
                self._missions[observation["mission"]] if self._missions else _NO_WORDS,
            ]
        )


def make_minigrid(
    name: str, env_conf: dict[str, Any], max_episode_steps: int, render_mode: str | None
) -> gymnasium.Env:
    """One environment. Raises ConfigError: no such id, what it needs is missing, or arguments that it does not take."""
    return Flat(gym.make_registered(_find(name), env_conf, max_episode_steps, render_mode))


def vector_minigrid(
    name: str,
    count: int,
    env_conf: dict[str, Any],
    max_episode_steps: int,
    render_mode: str | None,
    tell: Tell = tell_nobody,
    renew: Renew | None = None,
) -> VectorEnv:
    """`count` slots of it."""
    make = partial(make_minigrid, name, env_conf, max_episode_steps, render_mode)
    return OneByOne(make, count, f"minigrid:{name}", tell, renew=renew)


def _find(name: str) -> str:
    import minigrid  # noqa: F401  registers its environments

    ids = {env_id.removeprefix(PREFIX): env_id for env_id in gymnasium.registry if env_id.startswith(PREFIX)}
    wanted = name.removeprefix(PREFIX)
    versions = sorted(short for short in ids if short.rpartition("-v")[0] == wanted)
    found = wanted if wanted in ids else versions[-1] if versions else None
    if found is None:
        near = difflib.get_close_matches(wanted, {short.rpartition("-v")[0] for short in ids}, 3, 0.5)
        hint = f"; did you mean {' or '.join(f'minigrid:{n}' for n in near)}?" if near else "."
        raise ConfigError(
            f"app = 'minigrid:{name}' names no environment of MiniGrid{hint} None was made. Correct the name."
        )
    return ids[found]


def _missions(space: Any) -> dict[str, np.ndarray]:
    """Each mission's words as ones, uint8 `[M]`; none, where there is one mission only."""
    choices = [list(choice) for choice in space.ordered_placeholders or []]
    missions = {}
    for places in itertools.product(*(range(len(choice)) for choice in choices)):
        text = space.mission_func(*(choice[i] for choice, i in zip(choices, places, strict=True)))
        ones = [np.eye(len(choice), dtype=np.uint8)[i] for choice, i in zip(choices, places, strict=True)]
        missions[text] = np.concatenate([*ones, _NO_WORDS])
    return missions if len(missions) > 1 else {}
