"""The realm for gymnasium: the vector environments `Realm` and `RealmMini`, and `RealmEnv` for one hero."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from kaimesh.contract.errors import ConfigError
from kaimesh.contract.spaces import Part
from kaimesh.envs import interface
from kaimesh.envs.realm import core, views
from kaimesh.envs.realm.atlas import find
from kaimesh.envs.realm.core import ACTIONS, DIRECTIONS, FULL_MEMORY
from kaimesh.envs.realm.report import report
from kaimesh.envs.realm.task import MAX_STEP, task_of
from kaimesh.envs.realm.views import FEATURES, MAPS, VIEW
from kaimesh.envs.single import Single

if TYPE_CHECKING:
    from kaimesh.envs.realm.picture import Pictures

CELLS = VIEW * VIEW
FEATURE_BYTES = 4 * FEATURES
METADATA = {
    "render_modes": ["rgb_array"],
    "render_fps": 12,
    "autoreset_mode": AutoresetMode.NEXT_STEP,
    interface.LEGAL_ACTIONS: True,
    interface.FACADE: "kaimesh.envs.realm.facade:RealmFacade",
    interface.FEATURES: "kaimesh.envs.realm.features:FEATURES_BY_NAME",
    interface.EVALUATION_OPTIONS: "kaimesh.envs.realm.options:OPTIONS",
}
_SHOWN = {  # of a Realm itself, not of what is made of it
    interface.FACE: "kaimesh.envs.realm.face:RealmFace",
    interface.STORY: "kaimesh.envs.realm.story:Story",
}

PARTS = (Part("vector", "<f4", (FEATURES,)), Part("maps", "|u1", (VIEW, VIEW), bits=6))  # of the observation "bytes"

Observe = Callable[[core.World, core.State], np.ndarray]


class Realm(VectorEnv):
    """`num_envs` heroes on one map.

    preset: "realm" (128 cells, 9 of 13 treasures) or "realm-mini" (32 cells, 5 treasures). map_seed: which of its maps;
    map_file: a map of your own instead, as kaimesh.envs.realm.map describes. task: keys of kaimesh.envs.realm.task,
    such as treasure_num=[3, 9].
    max_episode_steps: max_step, if that is not named. render_mode: "rgb_array" for pictures, see
    kaimesh.envs.realm.picture. observation, see kaimesh.envs.realm.views for what it holds:

    | observation | | |
    |---|---|---|
    | "features" | float32 `[F]` | the features |
    | "bytes" | uint8 `[4 F + M]` | the features' bytes, then the packed maps; `split_bytes` is the inverse |
    | "floats" | float32 `[F + 4 M]` | the features, then the four maps, memory 0..1 |

    Rewards are the changes of the score: an episode's return is what the contest would score, 0 after a timeout. Every
    info has "legal_act", bool `[N, 16]`: flashes only when they are ready. Raises ConfigError: arguments that it does
    not take.
    """

    metadata = {**METADATA, **_SHOWN}  # noqa: RUF012 - gymnasium's own form

    def __init__(
        self,
        num_envs: int = 1,
        *,
        preset: str = "realm",
        map_seed: int = 0,
        map_file: str = "",
        observation: str = "features",
        max_episode_steps: int = 0,
        render_mode: str | None = None,
        **task: Any,
    ) -> None:
        if observation not in _OBSERVATIONS:
            raise ConfigError(
                f"realm: observation = {observation!r} must be one of {', '.join(_OBSERVATIONS)}; agents would see "
                "nothing. Correct env_conf."
            )
        if render_mode not in (None, "rgb_array"):
            raise ConfigError(
                f"realm: render_mode = {render_mode!r} must be 'rgb_array' or be left out; it draws in no other way. "
                "Correct env_conf."
            )
        self.num_envs, self.preset, self.render_mode = num_envs, preset, render_mode
        self.metadata = dict(type(self).metadata)
        self.conf = {"max_step": max_episode_steps or MAX_STEP, **task}
        self.task = task_of(preset, self.conf)
        self.map = find(preset, map_seed, map_file)
        self.world = core.world_of(self.map)
        self.state = core.new_state(num_envs, self.map.size)
        self.single_observation_space, self._observe = _OBSERVATIONS[observation]
        if observation == "bytes":
            self.metadata[interface.PARTS] = PARTS
        self.single_action_space = Discrete(ACTIONS)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._seeded = False
        self._pictures: Pictures | None = None
        if render_mode:
            from kaimesh.envs.realm.picture import (
                Pictures,  # the libraries that draw are loaded where something is drawn
            )

            self._pictures = Pictures(self.map, num_envs)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """New episodes everywhere. Without a seed, the streams of treasures go on."""
        super().reset(seed=seed, options=options)
        if seed is not None or not self._seeded:
            self.state.random[:] = self.np_random.integers(1, 2**63, self.num_envs, np.int64).astype(np.uint64)
            self._seeded = True
        core.reset_all(self.world, self.state, self.task)
        if self._pictures:
            self._pictures.restart(self.state)
        return self._observe(self.world, self.state), self._infos()

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One step of every hero; those whose episode was over start a new one, with reward 0."""
        rewards, terminated, truncated = self.advance(actions)
        return self._observe(self.world, self.state), rewards, terminated, truncated, self._infos()

    def advance(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A step without looking: rewards float32, terminated and truncated bool, each `[N]`."""
        count = self.num_envs
        results = np.empty(count, np.float32), np.empty(count, bool), np.empty(count, bool)
        core.step(self.world, self.state, self.task, np.asarray(actions, np.int64), *results)
        if self._pictures:
            self._pictures.follow(self.state)
        return results

    def render(self) -> tuple[np.ndarray, ...] | None:
        """A picture for each hero, uint8 `[H, W, 3]` (envs/realm/picture); None without render_mode "rgb_array"."""
        return self._pictures.draw(self.state) if self._pictures else None

    def episode_report(self, slot: int) -> dict[str, float]:
        """What kaimesh.envs.realm.report says of the episode that has just ended there."""
        return report(self.map, self.state, slot)

    @staticmethod
    def for_evaluation(conf: Mapping[str, Any]) -> dict[str, Any]:
        """`conf` with the sets of treasures that training with it leaves out."""
        return {**conf, "treasure_sets": "test"} if conf.get("treasure_sets") == "train" else dict(conf)

    def _infos(self) -> dict[str, Any]:
        legal = np.ones((self.num_envs, ACTIONS), bool)
        legal[:, DIRECTIONS:] = (self.state.flash_wait == 0)[:, None]
        return {"legal_act": legal}


class RealmMini(Realm):
    """`Realm` with the small map."""

    metadata = {**Realm.metadata, interface.FACADE: "kaimesh.envs.realm.facade:RealmMiniFacade"}  # noqa: RUF012

    def __init__(self, num_envs: int = 1, **conf: Any) -> None:
        super().__init__(num_envs, preset="realm-mini", **conf)


class RealmEnv(Single):
    """One hero; arguments as `Realm`."""

    metadata = METADATA

    def __init__(self, **conf: Any) -> None:
        super().__init__(Realm(1, **conf))
        self.metadata = {key: value for key, value in self.metadata.items() if key not in _SHOWN}


def split_bytes(observations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features float32 `[..., F]` and packed maps uint8 `[..., M]`, from observations of the kind "bytes"."""
    features = np.ascontiguousarray(observations[..., :FEATURE_BYTES]).view(np.float32)
    return features, observations[..., FEATURE_BYTES:]


def _features(world: core.World, state: core.State) -> np.ndarray:
    out = np.empty((len(state.x), FEATURES), np.float32)
    views.write_features(world, state, out)
    return out


def _bytes(world: core.World, state: core.State) -> np.ndarray:
    out = np.empty((len(state.x), FEATURE_BYTES + CELLS), np.uint8)
    out[:, :FEATURE_BYTES] = _features(world, state).view(np.uint8)
    views.write_packed(world, state, out[:, FEATURE_BYTES:])
    return out


def _floats(world: core.World, state: core.State) -> np.ndarray:
    out = np.empty((len(state.x), FEATURES + len(MAPS) * CELLS), np.float32)
    views.write_features(world, state, out[:, :FEATURES])
    maps = out[:, FEATURES:].reshape(len(out), len(MAPS), CELLS)
    views.write_maps(world, state, maps)
    maps[:, -1] *= np.float32(1 / FULL_MEMORY)
    return out


_OBSERVATIONS: dict[str, tuple[Box, Observe]] = {
    "features": (Box(-1, 1, (FEATURES,), np.float32), _features),
    "bytes": (Box(0, 255, (FEATURE_BYTES + CELLS,), np.uint8), _bytes),
    "floats": (Box(-1, 1, (FEATURES + len(MAPS) * CELLS,), np.float32), _floats),
}
