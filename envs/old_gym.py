"""OldGym: an environment with the interface of gym before 0.26, as gymnasium wants it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.utils.step_api_compatibility import convert_to_terminated_truncated_step_api

from kaimesh.contract.errors import ConfigError


class OldGym(gymnasium.Env[Any, Any]):
    """`env`, whose `reset` returns the observation alone, or whose `step` returns one `done` instead of two ends.

    It may be gymnasium's, gym's, or any object with these methods. An info's "TimeLimit.truncated" says which `done`
    was a time limit's; every other one is a terminal state. gym's own Box and Discrete spaces are converted.
    Raises ConfigError: another space of gym's.
    """

    def __init__(self, env: Any) -> None:
        self.env = env
        self.observation_space = _space(env.observation_space, "observation")
        self.action_space = _space(env.action_space, "action")
        self.metadata = dict(getattr(env, "metadata", None) or {})
        self.render_mode = getattr(env, "render_mode", None)
        self._takes_seed = _takes(env.reset, "seed")

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """The first observation and an info; options are not passed on."""
        super().reset(seed=seed, options=options)
        if self._takes_seed:
            result = self.env.reset(seed=seed)
        else:
            if seed is not None and hasattr(self.env, "seed"):
                self.env.seed(seed)
            result = self.env.reset()
        if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict):
            return result
        return result, {}

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, Any]:
        """Five values."""
        return convert_to_terminated_truncated_step_api(self.env.step(action))

    def render(self) -> Any:
        """As the environment's."""
        return self.env.render()

    def close(self) -> None:
        """Closes the environment."""
        self.env.close()


def _takes(method: Callable[..., Any], name: str) -> bool:
    parameters = inspect.signature(method).parameters.values()
    return any(one.name == name or one.kind is one.VAR_KEYWORD for one in parameters)


def _space(space: Any, which: str) -> gymnasium.Space[Any]:
    if isinstance(space, gymnasium.Space):
        return space
    if type(space).__name__ == "Box":
        return Box(np.asarray(space.low), np.asarray(space.high), dtype=space.dtype)
    if type(space).__name__ == "Discrete":
        return Discrete(int(space.n), start=int(getattr(space, "start", 0)))
    raise ConfigError(
        f"OldGym: the {which} space {space!r} is neither gymnasium's nor a Box or Discrete of gym's, so nothing can be "
        "trained on it as it is. Give it a Box or Discrete."
    )
