"""A vector environment that is made anew as a whole where it fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper

from kaimesh.contract.errors import EnvContractError
from kaimesh.envs import alone, returned
from kaimesh.envs.interface import Infos, Stepped
from kaimesh.envs.renewal import Renew, close_failed, is_final, next_seed

_NOTHING: Any = object()  # what a call that raised returned


class Whole(VectorWrapper):
    """`env`, and in its place, where it fails, what `make` makes; envs/renewal has what happens then.

    app: for messages. One that fails in its first step because of what it returns is not made anew: EnvContractError.
    """

    def __init__(self, env: VectorEnv, make: Callable[[], VectorEnv], app: str, renew: Renew) -> None:
        super().__init__(env)
        self._make, self._app, self._renew = make, app, renew
        self.aborted: np.ndarray | None = None
        self._error: Exception | None = None  # of the newest step; the next one makes everything anew
        self._seed: Any = None
        self._times = self._steps = 0  # how often it was made anew; steps that were begun
        self._last: tuple[Any, Infos] = (None, {})

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, Infos]:
        """As the environment's."""
        self._seed, self.aborted, self._error = seed, None, None
        try:
            self._last = _begun(self.env, seed=seed, options=options)
        except Exception as error:  # the environment's, whatever it is
            named = returned.of(self._app, error)
            if is_final(named, self._steps):
                raise named from error
            self._last = self._anew("reset", named)
        return self._last

    def step(self, actions: np.ndarray) -> Stepped:
        """As the environment's."""
        self.aborted, result = None, _NOTHING
        self._steps += 1
        if self._error is not None:
            error, self._error = self._error, None
            self._last = self._anew("step", error)
            return self._standing(over=False)
        try:
            result = self.env.step(actions)
            observations, _, _, _, infos = result
        except Exception as error:  # the environment's, whatever it is
            self.abort({0: self._explained(error, result)})
            return self._standing(over=True)
        self._last = observations, infos
        return result

    def abort(self, errors: Mapping[int, Exception]) -> None:
        """See Renewing: every slot is aborted."""
        error = next(iter(errors.values()))
        if is_final(error, self._steps):
            raise error
        self._error = error
        self.aborted = np.ones(self.num_envs, np.bool_)

    def _explained(self, error: Exception, result: Any) -> Exception:
        """`error`, or what is wrong with `result`, which `step` returned, if it did."""
        try:
            if result is not _NOTHING:
                returned.stepped(result)
        except EnvContractError as wrong:
            return returned.of(self._app, wrong)
        return error

    def _standing(self, over: bool) -> Stepped:
        """A step that was none: the last observations, and nothing earned. over: whether all episodes end by it."""
        count = self.num_envs
        ends = np.full(count, over)
        return self._last[0], np.zeros(count, np.float32), np.zeros(count, np.bool_), ends, self._last[1]

    def _anew(self, verb: str, error: Exception) -> tuple[Any, Infos]:
        return self._renew(range(self.num_envs), self._steps, verb, error, self._begin_anew)

    def _begin_anew(self) -> tuple[Any, Infos]:
        close_failed(self.env, self._app)
        self.env = self._make()
        alone.claim(self.env, self._app)
        self._times += 1
        return _begun(self.env, seed=next_seed(self._seed, self._times))


def _begun(env: VectorEnv, **arguments: Any) -> tuple[Any, Infos]:
    observations, infos = returned.begun(env.reset(**arguments))
    return observations, dict(infos)
