"""Plays a few steps with an environment before anything is started, so that what is wrong with it is told at once.

What an environment raises in a later step is not told: a game server may fail now and then, and is made anew.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec

from kaimesh.contract.errors import ConfigError, EnvContractError, MeshError
from kaimesh.envs import alone, players, returned
from kaimesh.envs.interface import LEGAL_ACTIONS, PLAYERS

STEPS = 20  # a reset is one, too
BESIDE = 3  # steps of each of the two games that show whether environments share something
SECONDS = 0.5  # a game is cut after this time
# Objects of these kinds may well be the same in two environments: they never change, or nobody minds.
_HARMLESS = (
    *(type(None), bool, int, float, str, bytes, tuple, frozenset, type, np.generic, np.dtype),
    *(FunctionType, BuiltinFunctionType, ModuleType, gymnasium.Space, EnvSpec),
    *(np.random.Generator, np.random.RandomState, random.Random),
)


def try_out(env: gymnasium.Env, app: str, make: Callable[[], gymnasium.Env] | None = None) -> str:
    """Plays with `env`, and once more beside another environment. Returns a note for the user, or "".

    app: for messages. make: makes another such environment; None: there will be one only.
    Raises EnvContractError: it returned what no environment may. ConfigError: it is the same object as another one, or
    shares a state with it. What it raised in its first reset or step passes through.
    """
    alone.claim(env, app)
    began = time.monotonic()
    try:
        trace = _play(env, STEPS)
        if make is None or time.monotonic() - began > SECONDS:
            return ""
        return _beside(env, app, make, trace)
    except EnvContractError as error:
        raise returned.of(app, error) from error.__cause__
    finally:
        alone.release(env)


class _Player:
    """Plays with `env`, with legal actions that are always the same."""

    def __init__(self, env: gymnasium.Env, seed: int) -> None:
        self._env, self._seed, self._rng = env, seed, np.random.default_rng(seed)
        env.action_space.seed(seed)
        self._over, self._begun = True, False
        self._masked = bool(env.metadata.get(LEGAL_ACTIONS))
        self._allowed: np.ndarray | None = None
        self._players, self._mover = env.metadata.get(PLAYERS, 1), 0

    def step(self) -> bytes:
        """A step, or the reset before an episode; returns what was seen. Raises EnvContractError."""
        env, reward = self._env, 0.0
        if self._over:
            result = env.reset() if self._begun else env.reset(seed=self._seed)
            observation, info = returned.begun(result)
            self._begun, self._over = True, False
        else:
            observation, reward, terminated, truncated, info = returned.stepped(env.step(self._action()))
            returned.check_reward(reward)
            returned.check_ends(terminated, truncated)
            if self._players != 1:
                players.rewards_of(info, self._players, float(reward), self._mover)
            self._over = bool(terminated or truncated)
        returned.check_observation(observation, env.observation_space)
        if self._players != 1:
            self._mover = players.mover_of(info, self._players)
        if self._masked:
            self._allowed = returned.mask(returned.mask_of(info), int(env.action_space.n))  # type: ignore[attr-defined]
            if not (self._over or self._allowed.any()):
                raise EnvContractError(returned.NO_CHOICE)
        return np.asarray(observation).tobytes() + np.float64(reward).tobytes()

    def _action(self) -> Any:
        space = self._env.action_space
        if self._allowed is None:
            return space.sample()
        return int(self._rng.choice(np.flatnonzero(self._allowed))) + int(space.start)  # type: ignore[attr-defined]


def _play(env: gymnasium.Env, steps: int, between: Callable[[], object] = lambda: None) -> list[bytes]:
    """What was seen in so many steps; `between` is called before each."""
    player, until = _Player(env, seed=1), time.monotonic() + SECONDS
    seen: list[bytes] = []
    while len(seen) < steps and time.monotonic() < until:
        between()
        try:
            seen.append(player.step())
        except MeshError:
            raise
        except Exception:
            if len(seen) > 1:  # it may fail now and then
                break
            returned.check_interface(env)
            raise
    return seen


def _beside(env: gymnasium.Env, app: str, make: Callable[[], gymnasium.Env], alone_seen: list[bytes]) -> str:
    """Plays the same twice more, the second time while another environment plays. Where `env` repeats itself, a
    difference then says that the two share something.
    """
    other = make()
    try:
        alone.claim(other, app)
        disturber = _Player(other, seed=2)

        def disturb() -> None:
            shared = random.getstate(), np.random.get_state()  # who uses these need share nothing else
            disturber.step()
            random.setstate(shared[0])
            np.random.set_state(shared[1])

        if not _same(_play(env, BESIDE), alone_seen) or _same(_play(env, BESIDE, disturb), alone_seen):
            return ""
    except MeshError:
        raise
    except Exception:  # it fails now and then, so nothing is known
        return ""
    finally:
        alone.release(other)
        other.close()
    if shared := _shared(env, other):
        raise ConfigError(
            f"two environments of app = {app!r} share {shared}, and what one does changes what the other sees; "
            "training would learn from steps that another slot made. Make a new one for each environment."
        )
    return (
        f"what one environment of app = {app!r} does changes what another one sees; if they share more than a random "
        "generator, training learns from steps that another slot made. Make what has a state anew for each of them"
    )


def _same(one: list[bytes], other: list[bytes]) -> bool:
    return all(a == b for a, b in zip(one, other, strict=False))


def _shared(env: gymnasium.Env, other: gymnasium.Env) -> str:
    """An attribute that is one object in both environments, in words; "": none is."""
    for part, twin in zip(alone.parts(env), alone.parts(other), strict=False):
        for name, value in vars(part).items():
            if not isinstance(value, _HARMLESS) and vars(twin).get(name) is value:
                return f"the {type(value).__name__} `{name}`"
    return ""
