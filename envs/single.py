"""One slot of a vector environment as a gymnasium.Env, so that a vector environment is written once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import VectorEnv

from kaimesh.envs import returned


class Single(gymnasium.Env[np.ndarray, Any]):
    """A `gymnasium.Env` over `vector`, which has one slot."""

    def __init__(self, vector: VectorEnv) -> None:
        assert vector.num_envs == 1, vector
        self.vector = vector
        self.observation_space = vector.single_observation_space
        self.action_space = vector.single_action_space
        self.metadata = vector.metadata
        self.render_mode = vector.render_mode

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """The first observation of a new episode."""
        super().reset(seed=seed)
        observations, infos = returned.begun(self.vector.reset(seed=seed, options=options))
        return observations[0], _first(infos)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One step; after the last one of an episode, call `reset`."""
        observations, rewards, terminated, truncated, infos = returned.stepped(self.vector.step(np.asarray([action])))
        return observations[0], float(rewards[0]), bool(terminated[0]), bool(truncated[0]), _first(infos)

    def render(self) -> Any:
        """The picture of the slot, uint8 `[H, W, 3]`."""
        frames = self.vector.render()
        return None if frames is None else frames[0]

    def close(self) -> None:
        """Closes the vector environment."""
        self.vector.close()


def _first(infos: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values[0] for name, values in infos.items() if not name.startswith("_")}
