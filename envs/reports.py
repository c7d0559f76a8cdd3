"""What an environment may tell an evaluation of models by methods of its own. All are optional.

- `episode_report()` of a gymnasium.Env, or `episode_report(slot)` of a VectorEnv: numbers about the episode that has
  just ended, asked for before its reset; `dict[str, float | bool]`, the same names every time. They are tabulated; of a
  bool the share of episodes in which it is True, which should be the good case. Two names mean more: by
  `share_of_optimum`, 0..1, episodes are compared, and `optimum_steps` is drawn beside the episodes' lengths.
- `for_evaluation(conf)`, a static method of the class: `env_conf` as an evaluation plays it, if a model should be
  judged by something else than what it was trained on.
- `position()` of a gymnasium.Env, or `position(slot)` of a VectorEnv: where the game stands, as a
  `kaimesh.contract.position.Position`, for opponents that search. They copy it before they play on.

What it declares in its metadata is in envs/interface.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import gymnasium
from gymnasium.vector import SyncVectorEnv, VectorEnv

from kaimesh.contract.errors import ConfigError
from kaimesh.contract.position import Position
from kaimesh.envs.atari_scores import REFERENCES
from kaimesh.envs.interface import MeshEnv
from kaimesh.envs.registry import maker, resolve
from kaimesh.envs.single import Single

Report = Mapping[str, float]


@runtime_checkable
class ReportsEpisode(Protocol):
    """A gymnasium.Env that reports."""

    def episode_report(self) -> Report:
        """On the episode that has just ended."""


@runtime_checkable
class ReportsSlots(Protocol):
    """A VectorEnv that reports."""

    def episode_report(self, slot: int) -> Report:
        """On the episode that has just ended in that slot."""


@runtime_checkable
class ChangesForEvaluation(Protocol):
    """A class of environments that an evaluation plays with other arguments."""

    @staticmethod
    def for_evaluation(conf: Mapping[str, Any]) -> Mapping[str, Any]:
        """Those, from the arguments of training."""


@runtime_checkable
class HasPosition(Protocol):
    """A gymnasium.Env that shows where its game stands."""

    def position(self) -> Position:
        """The current position, of which the caller changes copies alone."""


@runtime_checkable
class HasPositions(Protocol):
    """A VectorEnv that shows where its games stand."""

    def position(self, slot: int) -> Position:
        """The current position in that slot, of which the caller changes copies alone."""


def episode_report(env: gymnasium.Env | VectorEnv | MeshEnv, slot: int = 0) -> Report:
    """What `env`, under any wrappers, says of the episode that has just ended in `slot`; {} if it says nothing."""
    inner, slot = _innermost(env, slot)
    if isinstance(inner, VectorEnv):
        return inner.episode_report(slot) if isinstance(inner, ReportsSlots) else {}
    return inner.episode_report() if isinstance(inner, ReportsEpisode) else {}


def position(env: MeshEnv, slot: int = 0) -> Position:
    """Where the game in `slot` stands. Raises ConfigError: `env` does not show it."""
    inner, slot = _innermost(env, slot)
    if isinstance(inner, VectorEnv):
        if isinstance(inner, HasPositions):
            return inner.position(slot)
    elif isinstance(inner, HasPosition):
        return inner.position()
    raise ConfigError(
        f"{env.app} has no method `position`, so its positions cannot be copied, nobody can search in it, and nothing "
        "was played. Name another opponent, or give it that method (envs/reports.py)."
    )


def _innermost(env: gymnasium.Env | VectorEnv | MeshEnv, slot: int) -> tuple[gymnasium.Env | VectorEnv, int]:
    """The environment of `slot` under any wrappers, and its slot there."""
    inner = env.unwrapped
    if isinstance(inner, SyncVectorEnv):
        inner, slot = inner.envs[slot].unwrapped, 0
    if isinstance(inner, Single):
        inner = inner.vector.unwrapped
    return inner, slot


def notes(app: str) -> list[str]:
    """Notes to print with an evaluation of `app`, such as the meaning of its scores."""
    kind, name = resolve(app)
    reference = REFERENCES.get(name) if kind == "ale" else None
    if reference is None:
        return []
    return [
        f"human normalised: 0 is a random player's {reference.random:g}, 1 a human's {reference.human:g} "
        "(arXiv 1511.06581)"
    ]


def for_evaluation(app: str, env_conf: Mapping[str, Any]) -> dict[str, Any]:
    """`env_conf` as an evaluation of `app` plays it. Raises ConfigError: an unknown app."""
    made_by = maker(app)
    return dict(made_by.for_evaluation(env_conf) if isinstance(made_by, ChangesForEvaluation) else env_conf)
