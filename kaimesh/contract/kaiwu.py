"""One environment as Kaiwu's workflows of generation G1 use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from kaimesh.contract.spaces import Spaces


class Observation(Protocol):
    """The observation that `reset` and `step` return.

    feature: float32 `[F]`, the environment's observation made flat; or, in a game with a facade of its own, an object
    with fields that this game describes. legal_act: 0 or 1 for each action; empty if actions are continuous.
    """

    feature: Any
    legal_act: Sequence[int]


class KaiwuEnv(Protocol):
    """One environment. Workflows may set attributes of their own on it.

    score: the return of the episode so far, in the environment's true rewards. spaces: of the environment's own
    observations, before any feature is computed. env: the gymnasium environment, single or a vector of one slot.
    """

    app: str

    @property
    def score(self) -> float:
        """The episode's return so far."""
        ...

    @property
    def spaces(self) -> Spaces:
        """The spaces of the environment's own observations."""
        ...

    @property
    def env(self) -> Any:
        """A gymnasium.Env or VectorEnv."""
        ...

    def reset(self, usr_conf: Mapping[str, Any] | None = None) -> Any:
        """Starts an episode; returns its first Observation, or None: the environment refuses `usr_conf`.

        usr_conf: arguments of the environment for this episode, in place of those in the configuration.
        """
        ...

    def step(self, act: Any, stop_game: bool = False) -> tuple[Any, Any, Any, Any, Any, Any]:
        """One step. Returns `(frame_no, obs, score, terminated, truncated, env_info)`.

        obs is an Observation; terminated and truncated are 0 or 1.

        In the protocols of other generations: G2a `(..., env_info or state)` in six as well, or as G2b `(step_no, obs,
        terminated, truncated, extra_info)`; G3 `(reward, obs)`, with "terminated" and "truncated" in the dict obs.

        act: an action as int, list, numpy scalar or array. stop_game: truncates the episode here.
        """
        ...

    def render(self) -> Any:
        """The picture, uint8 `[H, W, 3]`, if the environment was made with a render mode."""
        ...

    def close(self) -> None:
        """Frees what the environment holds."""
        ...
