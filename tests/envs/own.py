"""Environments of a user's own, as tests name them: `tests.envs.own:Counter` and so on."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete
from gymnasium.vector import AutoresetMode, VectorEnv

from kaimesh.contract.workflow import env_factory


class Counter(gymnasium.Env):
    """Observes how many steps the episode has had; ends after `length`; an action adds itself to the reward."""

    metadata: ClassVar = {"render_modes": [], "legal_actions": True}

    def __init__(self, length: int = 3, first_action: int = 0, crash_at: int = -1, legal: bool = True) -> None:
        self.observation_space = Box(-1e6, 1e6, (2,), np.float64)
        self.action_space = Discrete(3, start=first_action)
        self._length, self._crash_at, self._legal = length, crash_at, legal
        self._count = 0

    def _info(self) -> dict[str, Any]:
        return {"legal_act": np.array([True, self._count % 2 == 0, True])} if self._legal else {}

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed, options=options)
        self._count = 0
        return np.array([0.0, self.np_random.random()]), self._info()

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self._count += 1
        if self._count == self._crash_at:
            raise RuntimeError("the game crashed")
        return np.array([self._count, 0.0]), 10.0 + float(action), self._count == self._length, False, self._info()


class Unbounded(Counter):
    """Never ends by itself; float actions `[2, 1]`."""

    metadata: ClassVar = {"render_modes": []}

    def __init__(self) -> None:
        super().__init__(length=10**9)
        self.action_space = Box(np.float32([[-1], [0]]), np.float32([[1], [4]]))
        self.taken: list[np.ndarray] = []

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.taken.append(np.array(action))
        return super().step(0)


class Boxed(gymnasium.Env):
    """Continuous actions in a box of any dtype and shape; an episode of `length` steps.

    The reward of a step is 1 less the distance of the action's first number from `best`, in units of `far`.
    taken, seeds: what every environment of this class got, since the lists were cleared.
    """

    metadata: ClassVar = {"render_modes": []}
    taken: ClassVar[list[np.ndarray]] = []
    seeds: ClassVar[list[int]] = []

    def __init__(
        self,
        low: Any = 0.0,
        high: Any = 1000.0,
        dtype: str = "float32",
        best: float = 700.0,
        far: float = 700.0,
        length: int = 20,
    ) -> None:
        lows, highs = (np.atleast_1d(np.asarray(bound, dtype)) for bound in (low, high))
        self.observation_space = Box(-1, 1, (2,), np.float32)
        self.action_space = Box(lows, highs, dtype=np.dtype(dtype).type)
        self._best, self._far, self._length = best, far, length

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.seeds.append(seed)
        self._t = 0
        return np.ones(2, np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), (action, self.action_space)
        self.taken.append(action.copy())
        self._t += 1
        reward = 1 - abs(float(action.flat[0]) - self._best) / self._far
        return np.ones(2, np.float32), reward, self._t >= self._length, False, {}


class DictObservations(Counter):
    def __init__(self) -> None:
        super().__init__()
        self.observation_space = Dict({"a": Discrete(2)})


class ManyActions(Counter):
    def __init__(self) -> None:
        super().__init__()
        self.action_space = MultiDiscrete([2, 3])


@env_factory
def function(length: int = 2) -> gymnasium.Env:
    return Counter(length)


@env_factory
def not_an_environment() -> int:
    return 3


def unmarked() -> gymnasium.Env:
    raise AssertionError("it was called")


class SameStep(VectorEnv):
    """A vector environment in the wrong reset mode."""

    def __init__(self, num_envs: int) -> None:
        self.num_envs = num_envs
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.single_observation_space, self.single_action_space = Box(0, 1, (1,)), Discrete(2)


class NotAnEnvironment:
    def __init__(self) -> None:
        raise AssertionError("it was called")


a_number = 3


class Odd(Counter):
    """Spaces of which the mesh can make nothing, by name."""

    SPACES: ClassVar = {
        "empty": Box(0, 1, (0,)),
        "empty picture": Box(0, 255, (64, 0, 3), np.uint8),
        "complex": Box(0, 1, (2,)),
        "crossed": Box(0, 1, (2,)),
        "nan": Box(0, 1, (2,)),
        "short bounds": Box(0, 1, (2,)),
        "too many": Discrete(2**40),
    }

    def __init__(self, observed: str = "", acted: str = "") -> None:
        super().__init__()
        self.SPACES["complex"].dtype = np.dtype(np.complex128)
        self.SPACES["crossed"].low = np.full(2, 3, np.float32)
        self.SPACES["nan"].high = np.full(2, np.nan, np.float32)
        self.SPACES["short bounds"].low = np.zeros(1, np.float32)
        self.observation_space = self.SPACES.get(observed, self.observation_space)
        self.action_space = self.SPACES.get(acted, self.action_space)
