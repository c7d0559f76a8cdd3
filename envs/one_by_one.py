"""Environments of gymnasium.Env that are stepped one after the other, each made anew alone where it fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from kaimesh.contract.errors import ConfigError, EnvContractError, MeshError
from kaimesh.envs import alone, returned
from kaimesh.envs.interface import LEGAL_ACTIONS, PLAYERS, Infos, Seed, Stepped
from kaimesh.envs.players import REWARDS, TO_PLAY
from kaimesh.envs.renewal import Renew, close_failed, is_final, next_seed

Tell = Callable[[int], None]  # called before an environment is made, with its number, from 1
_TRUTHS = frozenset((bool, np.bool_))
_NOTHING: Any = object()  # what a call that raised returned


def tell_nobody(number: int) -> None:
    """For those who do not want to know which environment is being made."""


def _itself(env: gymnasium.Env) -> gymnasium.Env:
    return env


class OneByOne(SyncVectorEnv):
    """`count` environments that `make` makes, in NEXT_STEP mode; envs/renewal has what happens where one fails.

    app: for messages. first: the first environment, where it has been made already. renew: None: errors pass through.
    An environment that does not keep gymnasium's interface in its first step is not made anew: EnvContractError.

    Of infos only "legal_act", "to_play" and "rewards" are collected, where the environment declares legal actions or
    several players, as lists of what each slot gave.
    Raises ConfigError: an environment is in another slot already, or has other spaces than the first one.
    """

    def __init__(
        self,
        make: Callable[[], gymnasium.Env],
        count: int,
        app: str,
        tell: Tell = tell_nobody,
        first: gymnasium.Env | None = None,
        renew: Renew | None = None,
    ) -> None:
        self._app, self._make, self._renew = app, make, renew
        made: list[gymnasium.Env] = []
        try:
            for number in range(1, count + 1):
                tell(number)
                made.append(self._made(made[0] if made else None, first if number == 1 else None))
        except BaseException:
            for env in made:
                alone.release(env)
            raise
        super().__init__([partial(_itself, env) for env in made], autoreset_mode=AutoresetMode.NEXT_STEP)
        self.aborted: np.ndarray | None = None
        self._errors: dict[int, Exception] = {}  # by slot that the next step makes anew
        self._seeds: list[int | None] = [None] * count
        self._times = [0] * count  # how often each slot was made anew
        self._steps = 0  # that were begun
        self._masked = bool(self.metadata.get(LEGAL_ACTIONS))
        self._masks: list[Any] = [None] * count
        self._players = self.metadata.get(PLAYERS, 1)
        self._seats: list[tuple[Any, Any]] = [
            (None, None)
        ] * count  # who moves next; what each player got, None: nothing

    def reset(self, *, seed: Seed = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, Infos]:  # type: ignore[override]
        """First observations `[N, ...]`. seed: that of slot i is seed + i; or one for each."""
        if isinstance(seed, int | np.integer):
            seed = [int(seed) + i for i in range(self.num_envs)]
        self._seeds = list(seed) if seed is not None else [None] * self.num_envs
        self.aborted, self._errors = None, {}
        for i, one in enumerate(self._seeds):
            self._begin(i, seed=one, options=options)
        self._autoreset_envs = np.zeros(self.num_envs, np.bool_)
        self._observations = self._stacked()
        return self._observations, self._infos()

    def step(self, actions: np.ndarray) -> Stepped:
        """One step of each environment, or its reset."""
        observations, masks, masked, seated = self._env_obs, self._masks, self._masked, self._players != 1
        rewards = np.zeros(self.num_envs)
        ended: list[Any] = [False] * self.num_envs
        cut: list[Any] = [False] * self.num_envs
        self.aborted = None
        self._steps += 1
        for i, (env, action) in enumerate(zip(self.envs, actions, strict=True)):
            if self._autoreset_envs[i]:
                self._begin(i)
                continue
            result = _NOTHING
            try:
                result = env.step(action)
                observations[i], rewards[i], ended[i], cut[i], info = result
                if masked:
                    masks[i] = returned.mask_of(info)
                if seated:
                    self._seats[i] = info.get(TO_PLAY), info.get(REWARDS)
            except Exception as error:  # the environment's, whatever it is
                self.abort({i: self._explained(i, error, result)})
        terminated, truncated = self._truths(ended, cut)
        self._observations = self._stacked()
        if self.aborted is not None:
            rewards[self.aborted], terminated[self.aborted], truncated[self.aborted] = 0.0, False, True
        self._autoreset_envs = terminated | truncated
        return self._observations, rewards, terminated, truncated, self._infos()

    def abort(self, errors: Mapping[int, Exception]) -> None:
        """See Renewing."""
        for i, error in errors.items():
            if self._renew is None or is_final(error, self._steps):
                raise error
            if self.aborted is None:
                self.aborted = np.zeros(self.num_envs, np.bool_)
            self.aborted[i] = self._autoreset_envs[i] = True
            self._errors[i] = error
            self._masks[i] = np.ones(getattr(self.single_action_space, "n", 0), np.bool_)

    def close_extras(self, **kwargs: Any) -> None:
        """Closes the environments."""
        for env in self.envs:
            alone.release(env)
        super().close_extras(**kwargs)

    def _begin(self, i: int, **arguments: Any) -> None:
        """Begins the next episode of slot i; with an environment made anew, if this or its newest step failed."""
        error, verb = self._errors.pop(i, None), "step"
        if error is None:
            try:
                self._take_first(i, self.envs[i].reset(**arguments))
                return
            except Exception as failed:  # the environment's, whatever it is
                error, verb = self._explained(i, failed), "reset"
                if self._renew is None or is_final(error, self._steps):
                    raise error  # noqa: B904 - its cause is set
        assert self._renew is not None
        self._renew(range(i, i + 1), self._steps, verb, error, lambda: self._begin_anew(i))

    def _begin_anew(self, i: int) -> None:
        close_failed(self.envs[i], self._app)
        self.envs[i] = self._made(self.envs[0])
        self._times[i] += 1
        self._take_first(i, self.envs[i].reset(seed=next_seed(self._seeds[i], self._times[i])))

    def _made(self, like: gymnasium.Env | None, env: gymnasium.Env | None = None) -> gymnasium.Env:
        """A new environment, or `env`. like: one whose spaces it must have."""
        env = env if env is not None else self._make()
        alone.claim(env, self._app)
        for name in ("observation_space", "action_space") if like is not None else ():
            if getattr(env, name) != getattr(like, name):
                raise ConfigError(
                    f"{self._app}: an environment has the {name} {getattr(env, name)}, and the first one "
                    f"{getattr(like, name)}; one network cannot be built for both. Make all of them alike."
                )
        return env

    def _take_first(self, i: int, result: Any) -> None:
        observation, info = returned.begun(result)
        returned.check_observation(observation, self.single_observation_space)
        self._env_obs[i] = observation
        if self._masked:
            self._masks[i] = returned.mask_of(info)
        if self._players != 1:
            self._seats[i] = info.get(TO_PLAY), np.zeros(self._players)

    def _truths(self, ended: list[Any], cut: list[Any]) -> tuple[np.ndarray, np.ndarray]:
        """What the slots returned as terminated and as truncated, bool `[N]`; aborts those that returned no truths."""
        if not _TRUTHS.issuperset(map(type, ended + cut)):
            for i in range(self.num_envs):
                try:
                    if i not in self._errors:
                        returned.check_ends(ended[i], cut[i])
                except EnvContractError as error:
                    self.abort({i: returned.of(self._app, error)})
                if i in self._errors:
                    ended[i] = cut[i] = False
        return np.array(ended, np.bool_), np.array(cut, np.bool_)

    def _stacked(self) -> np.ndarray:
        """The slots' observations `[N, ...]`; aborts the slots whose observation does not fit the space."""
        space = self.single_observation_space
        stacked = np.empty((self.num_envs, *(space.shape or ())), space.dtype)
        if self.aborted is None:
            try:
                return np.stack(cast("list[Any]", self._env_obs), out=stacked)
            except (ValueError, TypeError):  # shapes, dtypes: found below
                pass
        for i, observation in enumerate(self._env_obs):
            try:
                if i not in self._errors:
                    returned.check_observation(observation, space)
                    stacked[i] = observation
            except EnvContractError as error:
                self.abort({i: returned.of(self._app, error)})
            if i in self._errors:
                stacked[i] = self._observations[i]
        return stacked

    def _infos(self) -> Infos:
        infos: Infos = {"legal_act": self._masks} if self._masked else {}
        if self._players != 1:
            infos[TO_PLAY], infos[REWARDS] = zip(*self._seats, strict=True)
        return infos

    def _explained(self, i: int, error: Exception, result: Any = _NOTHING) -> Exception:
        """`error`, or where what the environment returned is its reason, one that says so.

        result: what `step` returned, if it did.
        """
        try:
            if isinstance(error, MeshError):
                pass
            elif result is not _NOTHING:
                returned.check_reward(returned.stepped(result)[1])
            elif self._steps <= 1:
                returned.check_interface(self.envs[i])
        except EnvContractError as wrong:
            wrong.__cause__ = error
            return returned.of(self._app, wrong)
        return returned.of(self._app, error)
