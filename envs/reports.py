"""What an environment may tell an evaluation. Both are optional.

- `episode_report()` of a gymnasium.Env, or `episode_report(slot)` of a VectorEnv: numbers about the episode that has just ended, before
  its reset; `dict[str, float | bool]`, the same names every time. They are tabulated; a bool counts as a share of episodes, True being
  good. Two names mean more: `share_of_optimum`, 0..1, by which episodes are compared, and `optimum_steps`, which lengths are drawn against.
- `for_evaluation(conf)`, a static method of the class: `env_conf` as an evaluation plays it, if training's is not what a
  model should be judged by.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gymnasium.envs.registration import load_env_creator
from gymnasium.vector import SyncVectorEnv, VectorEnv

from kaimesh.envs import gym
from kaimesh.envs.atari_scores import REFERENCES
from kaimesh.envs.procgen import Procgen
from kaimesh.envs.registry import resolve
from kaimesh.envs.single import Single

Report = Mapping[str, float]


def episode_report(env: Any, slot: int = 0) -> Report:
    """What `env`, a gymnasium.Env or VectorEnv under any wrappers, says of the episode that has just ended in `slot`; {} if nothing."""
    env = env.unwrapped
    if isinstance(env, SyncVectorEnv):
        env, slot = env.envs[slot].unwrapped, 0
    if isinstance(env, Single):
        env = env.vector
    report = getattr(env, "episode_report", None)
    if report is None:
        return {}
    told: Report = report(slot) if isinstance(env, VectorEnv) else report()
    return told


def notes(app: str) -> list[str]:
    """What a reader should know beside an evaluation of `app`."""
    kind, name = resolve(app)
    reference = REFERENCES.get(name) if kind == "ale" else None
    if reference is None:
        return []
    return [
        f"human normalised: 0 is a random player's {reference.random:g}, 1 a human's {reference.human:g} (arXiv 1511.06581)"
    ]


def for_evaluation(app: str, env_conf: Mapping[str, Any]) -> dict[str, Any]:
    """`env_conf` as an evaluation of `app` plays it. Raises ConfigError: an unknown app."""
    kind, name = resolve(app)
    if kind == "ale":
        return {**env_conf, "episodic_life": False}  # a whole game
    if kind == "gym":
        spec = gym.find(name)
        target: Any = spec.vector_entry_point or spec.entry_point
        target = load_env_creator(target) if isinstance(target, str) else target
    elif kind == "procgen":
        target = Procgen
    elif kind == "minigrid":
        return dict(env_conf)
    else:
        target = gym.load(name)
    change = getattr(target, "for_evaluation", None)
    return dict(env_conf) if change is None else dict(change(env_conf))
