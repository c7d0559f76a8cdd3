"""Environments that fail, or return what they may not, where an argument says so."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from kaimesh.contract.workflow import env_factory

LENGTH = 6
ACTIONS = 3
ALLOWED = {"legal_act": [1, 0, 1]}

# What is told of a Faulty with such a fault, by a try-out.
WORDS = {
    "obs shape": r"an observation has the shape \[5\], but its observation_space \[2\]",
    "obs short": r"the shape \[1\]",
    "obs dtype": "an observation is of complex128, but its observation_space says float32",
    "obs text": "the shape",
    "obs nan": "an observation holds nan",
    "obs inf": "an observation holds inf",
    "reward nan": "a reward is nan",
    "reward none": "a reward is None, which is no number",
    "reward two": r"a reward is \[1.0, 2.0\], which is no number",
    "end none": "terminated is None, which is neither true nor false",
    "end word": "truncated is 'no', which is neither true nor false",
    "four values": r"step returned 4 values .*kaimesh\.envs\.OldGym",
    "nothing": "step returned a NoneType instead of",
    "no info": "step returned 5 values",
    "mask short": r"info\['legal_act'\] has the shape \[2\] for 3 actions",
    "mask long": r"the shape \[4\] for 3 actions",
    "mask two": r"info\['legal_act'\] is \[0, 1, 2\].*bool, or 0 or 1",
    "mask half": r"is \[0.0, 0.5, 1.0\]",
    "mask text": r"is \['yes', 'no', 'yes'\]",
    "mask ragged": "info",
    "mask none": "an info had no 'legal_act'",
    "mask nothing allowed": "forbids every action although the episode goes on",
}


class Faulty(gymnasium.Env):
    """Observes which environment of this process it is, and how many steps its episode has had; ends after LENGTH.

    fault: what happens in step `at` of the environment's life (reset number `at` for "reset", the first constructors
    for "constructor"), each time where `again`. Only every environment whose number is in `which` is concerned; all, if
    it is None.
    """

    metadata: ClassVar = {"render_modes": [], "legal_actions": True}
    made: ClassVar[list[Faulty]] = []
    RESULTS: ClassVar[dict[str, Any]] = {
        "obs shape": (np.zeros(5, np.float32), 1.0, False, False, ALLOWED),
        "obs short": (np.zeros(1, np.float32), 1.0, False, False, ALLOWED),
        "obs dtype": (np.array([1j, 0]), 1.0, False, False, ALLOWED),
        "obs text": ("north", 1.0, False, False, ALLOWED),
        "obs nan": (np.float32([np.nan, 0]), 1.0, False, False, ALLOWED),
        "obs inf": (np.float32([0, np.inf]), 1.0, False, False, ALLOWED),
        "reward nan": (np.zeros(2, np.float32), float("nan"), False, False, ALLOWED),
        "reward none": (np.zeros(2, np.float32), None, False, False, ALLOWED),
        "reward two": (np.zeros(2, np.float32), [1.0, 2.0], False, False, ALLOWED),
        "four values": (np.zeros(2, np.float32), 1.0, False, ALLOWED),
        "nothing": None,
        "no info": (np.zeros(2, np.float32), 1.0, False, False, None),
        "end none": (np.zeros(2, np.float32), 1.0, None, False, ALLOWED),
        "end word": (np.zeros(2, np.float32), 1.0, False, "no", ALLOWED),
    }
    MASKS: ClassVar[dict[str, Any]] = {
        "mask short": [True, True],
        "mask long": np.ones(4, bool),
        "mask two": [0, 1, 2],
        "mask half": [0.0, 0.5, 1.0],
        "mask text": ["yes", "no", "yes"],
        "mask ragged": [[1], [1, 0], 1],
        "mask none": None,
        "mask nothing allowed": [0, 0, 0],
    }

    def __init__(self, fault: str = "", at: int = 8, again: bool = False, which: list[int] | None = None) -> None:
        self.number = len(Faulty.made)
        if fault == "constructor" and self.number in (which or ()):
            Faulty.made.append(self)
            raise ConnectionError("no game server")
        Faulty.made.append(self)
        self.observation_space, self.action_space = Box(-1e6, 1e6, (2,), np.float32), Discrete(ACTIONS)
        concerned = which is None or self.number in which
        self.fault, self.at, self.again = fault if concerned else "", at, again
        self.steps = self.resets = self.age = 0
        self.seeds: list[int | None] = []
        self.closed = False

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.seeds.append(seed)
        self.age = 0
        self.resets += 1
        if self.fault == "reset" and self._now(self.resets):
            raise ConnectionError("the game server is gone")
        return self._seen(), self._info()

    def step(self, action: Any) -> Any:
        assert 0 <= action < ACTIONS
        assert not self.closed
        self.steps += 1
        self.age += 1
        if self._now(self.steps):
            if self.fault == "step":
                raise ConnectionError("the game server closed the connection")
            if self.fault in self.RESULTS:
                return self.RESULTS[self.fault]
        return self._seen(), 1.0, self.age == LENGTH, False, self._info()

    def close(self) -> None:
        self.closed = True
        if self.fault == "close" or (self.fault == "step" and self.again):
            raise OSError("nothing to close")

    def _now(self, count: int) -> bool:
        return count == self.at or (self.again and count > self.at)

    def _seen(self) -> np.ndarray:
        return np.float32([self.number, self.age])

    def _info(self) -> dict[str, Any]:
        info = {"contacts": np.zeros(self.age % 4)}  # nobody reads it
        if self.fault in self.MASKS and self._now(self.steps):
            return info if self.fault == "mask none" else {**info, "legal_act": self.MASKS[self.fault]}
        return {**info, "legal_act": [1, 0, 1] if self.age < LENGTH else [0, 0, 0]}


def fresh() -> None:
    """The next environment is number 0."""
    Faulty.made.clear()
    Together.vectors.clear()


def play(env: Any, steps: int) -> None:
    """Plays so many steps, always action 0; of a facade, if it is one."""
    for _ in range(steps):
        env.step(np.zeros(env.num_envs, np.int64) if hasattr(env, "num_envs") else 0)


class Together(SyncVectorEnv):
    """Two or more of them as one vector environment, which fails as a whole."""

    vectors: ClassVar[list[Together]] = []

    def __init__(self, num_envs: int, **conf: Any) -> None:
        super().__init__([lambda: Quiet(**conf)] * num_envs, autoreset_mode=AutoresetMode.NEXT_STEP)
        Together.vectors.append(self)


class Quiet(Faulty):
    """Without masks and infos, which gymnasium's own vector environment could not collect."""

    metadata: ClassVar = {"render_modes": []}

    def _info(self) -> dict[str, Any]:
        return {}


class Ending(Quiet):
    """Ends the process in its third step, as a library may."""

    def step(self, action: Any) -> Any:
        if self.steps == 2:
            os._exit(0)
        return super().step(action)


class OldReset(Quiet):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return super().reset(seed=seed)[0]


class OldSeed(Quiet):
    """Also takes no seed, as long ago."""

    def reset(self) -> Any:  # type: ignore[override]
        return super().reset()[0]

    def seed(self, seed: int) -> None:
        self.seeds.append(seed)


class OldStep(Quiet):
    def step(self, action: Any) -> Any:
        observation, reward, terminated, _, info = super().step(action)
        return observation, reward, terminated, info


class Old(OldSeed, OldStep):
    """Both."""


@env_factory
def mended(kind: str) -> gymnasium.Env:
    from kaimesh.envs import OldGym

    return OldGym(globals()[kind]())


ONE = gymnasium.make("CartPole-v1")


@env_factory
def one_object() -> gymnasium.Env:
    return ONE


@env_factory
def wrapped() -> gymnasium.Env:
    return gymnasium.wrappers.TimeLimit(ONE, 100)


class Around(gymnasium.Env):
    """A class of its own around one environment."""

    def __init__(self) -> None:
        self.game = ONE.unwrapped
        self.observation_space, self.action_space = ONE.observation_space, ONE.action_space

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return self.game.reset(seed=seed)

    def step(self, action: Any) -> Any:
        return self.game.step(action)


class World:
    """A simulator."""

    x = 0.0


class Simulated(gymnasium.Env):
    """Its simulator is the same in all of them; `own`: each has its own."""

    world = World()

    def __init__(self, own: bool = False, named: bool = True) -> None:
        self.observation_space, self.action_space = Box(-100, 100, (1,), np.float32), Discrete(2)
        if named:
            self.simulator = World() if own else Simulated.world
        elif own:
            self.world = World()

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self._there.x = self.np_random.random()
        return np.float32([self._there.x]), {}

    def step(self, action: Any) -> Any:
        self._there.x += 2 * action - 1
        return np.float32([self._there.x]), 1.0, False, False, {}

    @property
    def _there(self) -> World:
        return vars(self).get("simulator", self.world)
