"""Between gymnasium's spaces and the mesh's arrays.

Shape legend: N environments; A actions or action dimensions; `...` the shape of one observation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Box, Discrete

from kaimesh.contract.errors import AgentError, ConfigError
from kaimesh.contract.scaling import Scaling
from kaimesh.contract.spaces import Spaces

_WIDEST = 2**20  # values of a Discrete: one-hot rows and output layers of more would take all memory
_LARGEST_BYTES = 2**28  # of one observation
_TABLE = 1024  # up to so many values, one-hot rows are looked up in a table


class Translation:
    """What the mesh makes of one environment's spaces.

    Observations: a Box as it is, float64 as float32; a Discrete as one-hot float32. Actions: a Discrete as int64 from
    0; a Box as float32 `[A]`, clipped to its bounds.
    unit_actions: the Box's actions are an agent's of unit actions, and are scaled first (contract/scaling).

    Raises ConfigError: any other space, with the wrapper that helps; one that holds nothing, or has bounds that are
    none.
    """

    def __init__(
        self, observation_space: Space[Any], action_space: Space[Any], app: str, *, unit_actions: bool = False
    ) -> None:
        self.app = app
        self._one_hot: np.ndarray | None = None
        self._obs_start = 0
        check_spaces(app, observation_space, action_space)
        self._width = 0  # of a one-hot observation
        if isinstance(observation_space, Discrete):
            self._width = int(observation_space.n)
            if self._width <= _TABLE:
                self._one_hot = np.eye(self._width, dtype=np.float32)  # [n, n]
            self._obs_start = int(observation_space.start)
            self.obs_shape: tuple[int, ...] = (self._width,)
            self.obs_dtype = np.dtype(np.float32)
        elif isinstance(observation_space, Box):
            self.obs_shape = observation_space.shape
            self.obs_dtype = np.dtype(np.float32 if observation_space.dtype == np.float64 else observation_space.dtype)
        else:
            raise ConfigError(_unsupported(app, "observation", observation_space))
        self.discrete = isinstance(action_space, Discrete)
        self._start = 0
        self._scaling: Scaling | None = None  # None: an agent's actions are the environment's
        self._low = self._high = np.empty(0, np.float32)
        if isinstance(action_space, Discrete):
            self.action_size = int(action_space.n)
            self._start = int(action_space.start)
        elif isinstance(action_space, Box) and np.issubdtype(action_space.dtype, np.floating):
            self.action_size = int(np.prod(action_space.shape))
            self._low, self._high = action_space.low, action_space.high
            scaling = Scaling.of(self._low, self._high)
            if unit_actions and not scaling.is_identity:
                self._scaling = scaling
        else:
            raise ConfigError(_unsupported(app, "action", action_space))

    def spaces(self, legal_actions: bool) -> Spaces:
        """The same as plain data, for handshakes and networks."""
        return Spaces(
            obs_shape=self.obs_shape,
            obs_dtype=self.obs_dtype.str,
            action_kind="discrete" if self.discrete else "continuous",
            action_size=self.action_size,
            action_low=tuple(float(value) for value in self._low.reshape(-1)),
            action_high=tuple(float(value) for value in self._high.reshape(-1)),
            legal_actions=legal_actions,
        )

    def observations(self, observations: Any) -> np.ndarray:
        """`[N, ...]` of `obs_dtype`, from what a vector environment returned; copied only where that is needed."""
        if self._width:
            places = np.asarray(observations) - self._obs_start  # [N]
            if places.min() < 0:  # which would count from the end
                raise IndexError(f"{places.min() + self._obs_start} is below {self._obs_start}")
            if self._one_hot is not None:
                one_hot: np.ndarray = self._one_hot[places]
                return one_hot
            wide = np.zeros((len(places), self._width), np.float32)
            wide[np.arange(len(places)), places] = 1.0
            return wide
        return np.asarray(observations, self.obs_dtype)

    def actions(self, actions: Any) -> np.ndarray:
        """What the vector environment's `step` takes, from an agent's actions `[N]` (discrete) or `[N, A]`.

        Raises AgentError: an action outside the space (an emulator may do anything with it), or NaN.
        """
        if self.discrete:
            chosen = np.ascontiguousarray(actions)
            if chosen.dtype != np.int64:
                chosen = chosen.astype(np.int64) if chosen.dtype.kind in "bi" else self._integers(chosen)
            if chosen.view(np.uint64).max() >= self.action_size:  # a negative one is a huge uint64
                raise AgentError(
                    f"{self.app}: action {chosen.tolist()} is outside 0..{self.action_size - 1}; the agent has more "
                    f"actions than the environment. Give it action_size = {self.action_size}."
                )
            return chosen + self._start if self._start else chosen
        values = np.asarray(actions, np.float32)
        if np.isnan(values).any():
            raise AgentError(
                f"{self.app}: an action is NaN ({values.tolist()}), so it was not done: the agent's network has "
                "diverged. Lower the learning rate, or load an earlier model."
            )
        if self._scaling is not None:
            values = self._scaling.actions(values)
            return values.reshape(-1, *self._low.shape).astype(self._low.dtype, copy=False)
        return np.clip(values.reshape(-1, *self._low.shape), self._low, self._high).astype(self._low.dtype, copy=False)

    def _integers(self, actions: np.ndarray) -> np.ndarray:
        whole = actions.astype(np.int64)
        if actions.dtype.kind not in "uf" or (whole != actions).any():
            raise AgentError(
                f"{self.app}: action {actions.tolist()} is not a whole number, but its action space is discrete; it "
                "was not done. Return integers from predict and exploit."
            )
        return whole


def check_spaces(app: str, observation_space: Space[Any], action_space: Space[Any]) -> None:
    """Raises ConfigError: one is a Box or Discrete that the mesh could carry, but that no network can be made for.

    For an environment that was just made: gymnasium's own wrappers fail at such spaces in words that name no
    environment.
    """
    _check_space(app, "observation", observation_space)
    _check_space(app, "action", action_space)


def _check_space(app: str, which: str, space: Space[Any]) -> None:
    problem = ""
    if isinstance(space, Discrete):
        if not 0 < int(space.n) <= _WIDEST:
            problem = f"has {int(space.n):,} values; 1 to {_WIDEST:,} can be told apart. Give it as a Box of numbers"
    elif isinstance(space, Box):
        bounds = np.asarray(space.low), np.asarray(space.high)
        if 0 in space.shape:
            problem = (
                f"holds no numbers: its shape is {list(space.shape)}, and a network would have nothing to "
                f"{'look at' if which == 'observation' else 'decide'}. Give it a number at least, such as a constant 0"
            )
        elif space.dtype is None or space.dtype.kind not in "biuf" or space.dtype.itemsize > 8:
            problem = (
                f"is of {space.dtype}; bool, integers and floats of up to 64 bits can travel. Give it another dtype"
            )
        elif int(np.prod(space.shape, dtype=np.float64)) * space.dtype.itemsize > _LARGEST_BYTES:
            problem = f"is larger than {_LARGEST_BYTES >> 20} MiB. Make it smaller"
        elif any(bound.shape != space.shape for bound in bounds):
            problem = f"has bounds of the shapes {bounds[0].shape} and {bounds[1].shape}. Give a bound for every number"
        elif any(np.isnan(bound).any() for bound in bounds) or (bounds[0] > bounds[1]).any():
            problem = f"has bounds that are NaN, or the lower above the upper: {space}. Correct them"
    if problem:
        raise ConfigError(f"{app}: the {which} space {problem}. Nothing can be trained on it as it is.")


def _unsupported(app: str, which: str, space: Space[Any]) -> str:
    remedy = {
        ("Dict", "observation"): "gymnasium.wrappers.FlattenObservation",
        ("Tuple", "observation"): "gymnasium.wrappers.FlattenObservation",
        ("MultiDiscrete", "observation"): "gymnasium.wrappers.FlattenObservation",
        ("MultiBinary", "observation"): "gymnasium.wrappers.FlattenObservation",
    }.get((type(space).__name__, which))
    if remedy is None:
        remedy = f"a gymnasium.{'ActionWrapper' if which == 'action' else 'ObservationWrapper'} of your own"
    allowed = "Discrete or float Box" if which == "action" else "Box or Discrete"
    return (
        f"{app} has the {which} space {space}; the algorithms take {allowed}. Wrap it with {remedy}, in a function "
        "that returns the wrapped environment and is marked with @env_factory (from kaimesh.agent import env_factory), "
        "and set "
        'app = "your_module:your_function".'
    )
