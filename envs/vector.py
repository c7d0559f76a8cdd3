"""The one wrapper around every vector environment: the mesh's dtypes, bounds, legal actions, seeds and true scores.

What an environment returned is checked here; see envs/renewal for what happens where it cannot be used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space

from kaimesh.contract.agent import Featured, Features, user_code
from kaimesh.contract.errors import AgentError, ConfigError, EnvContractError
from kaimesh.contract.spaces import Spaces
from kaimesh.envs import alone, returned
from kaimesh.envs.interface import Infos, MeshEnv, Offers, Seed, Stepped
from kaimesh.envs.one_by_one import OneByOne
from kaimesh.envs.players import Table
from kaimesh.envs.renewal import Renewing
from kaimesh.envs.returned import Wrong
from kaimesh.envs.translation import Translation
from kaimesh.envs.whole import Whole

_NOTHING: Wrong = {}


class MeshVectorEnv(VectorWrapper):
    """Any vector environment as a MeshEnv; see Translation for dtypes.

    seed: of the first `reset` that does not name one, see there. clip_rewards: returned rewards are clipped to [-1, 1].
    unit_actions: continuous actions are scaled to their bounds, see Translation.
    Raises ConfigError: it resets in another mode than NEXT_STEP, its metadata are wrong, or the mesh cannot carry its
    spaces.
    """

    def __init__(
        self,
        env: VectorEnv,
        app: str,
        *,
        seed: Seed = None,
        clip_rewards: bool = False,
        unit_actions: bool = False,
    ) -> None:
        super().__init__(env)
        mode = env.metadata.get("autoreset_mode")
        if mode != AutoresetMode.NEXT_STEP:
            raise ConfigError(
                f"{app} resets in mode {mode}; trajectories would lose each episode's last observation. Give it "
                "autoreset_mode NEXT_STEP (gymnasium.vector.AutoresetMode) and name that in its metadata."
            )
        self.app, self.offers = app, Offers.of(env.metadata, app)
        spaces = env.single_observation_space, env.single_action_space
        self.translation = Translation(*spaces, app, unit_actions=unit_actions)
        players = self.offers.players
        own = self.translation.spaces(self.offers.legal_actions)
        self.spaces = own._replace(parts=self.offers.parts, players=players, symmetry=self.offers.symmetry)
        self._table = Table(env.num_envs, players) if players > 1 else None
        self.legal_actions: np.ndarray | None = None  # [N, A]
        self.true_rewards = np.zeros(env.num_envs, np.float32)  # [N]
        self.aborted: np.ndarray | None = None  # [N]
        self._declares_legal = self.offers.legal_actions
        self._seed, self._clip = seed, clip_rewards
        self._seeds_each = self.offers.slot_seeds or isinstance(env.unwrapped, SyncVectorEnv)
        self._step = env.step
        self._shape = (env.num_envs, *self.translation.obs_shape)
        self._whole = self.translation.obs_dtype.kind != "f"  # so that no number can be NaN
        self._renewing: Renewing | None = env if isinstance(env, OneByOne | Whole) else None
        self._last = np.empty(0)  # the newest observations
        if not isinstance(env, OneByOne):  # which does it for each slot
            alone.claim(env, app)

    def reset(self, *, seed: Seed = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, Infos]:
        """Observations `[N, ...]` and infos.

        seed: one number, of which the environment makes its slots' as it likes; or N, one for each slot, of which an
        environment that has one generator for all slots takes the first.
        """
        if seed is None:
            seed, self._seed = self._seed, None
        if isinstance(seed, Sequence):
            seed = list(seed) if self._seeds_each else seed[0]
        observations, infos = self.env.reset(seed=seed, options=options)  # type: ignore[arg-type]  # of each slot
        self.true_rewards, self.aborted = np.zeros(self.env.num_envs, np.float32), None
        self._last = self._seen(observations)
        wrong = self._wrong(self._last)
        if self._table is not None:
            wrong = {**self._table.begin(infos), **wrong}
        if self._declares_legal and not wrong:
            wrong = self._read_legal(infos)
        for error in wrong.values():
            raise returned.of(self.app, error)
        returned.check_observation(observations[0], self.env.single_observation_space)
        return self._last, infos

    def step(self, actions: np.ndarray) -> Stepped:
        """Observations `[N, ...]`, rewards float32 `[N]`, terminated and truncated bool `[N]`, infos."""
        given, rewards, terminated, truncated, infos = self._step(self.translation.actions(actions))
        observations, rewards = self._seen(given), np.asarray(rewards, np.float32)
        wrong = self._read_legal(infos, terminated, truncated) if self._declares_legal else _NOTHING
        if self._table is not None and rewards.shape == self._shape[:1]:
            wrong = {**self._read_players(self._table, infos, rewards, np.logical_or(terminated, truncated)), **wrong}
        if (
            wrong
            or observations.shape != self._shape
            or rewards.shape != self._shape[:1]
            or not (self._whole or math.isfinite(_squares(observations)))
            or not math.isfinite(_squares(rewards))
        ):
            self._refuse({**wrong, **self._wrong(observations, rewards)})
        self.aborted = None if self._renewing is None else self._renewing.aborted
        if self.aborted is not None:
            gone = self.aborted
            observations = self._last if gone.all() else np.where(self._by_slot(gone), self._last, observations)
            rewards = np.zeros(len(gone), np.float32) if gone.all() else np.where(gone, np.float32(0), rewards)
            terminated, truncated = terminated & ~gone, truncated | gone
            if self._table is not None:
                self._table.stand(gone)
        self._last = observations
        self.true_rewards = rewards
        if self._clip:
            rewards = np.clip(rewards, -1.0, 1.0)
        return observations, rewards, terminated, truncated, infos

    @property
    def to_play(self) -> np.ndarray | None:
        """See MeshEnv."""
        return None if self._table is None else self._table.to_play

    @property
    def player_rewards(self) -> np.ndarray | None:
        """See MeshEnv."""
        return None if self._table is None else self._table.rewards

    @property
    def earned(self) -> np.ndarray | None:
        """See MeshEnv."""
        rewards = self.player_rewards
        return rewards if rewards is None or not self._clip else np.clip(rewards, -1.0, 1.0)

    def close(self, **kwargs: Any) -> None:
        """Closes the environment."""
        alone.release(self.env)
        super().close(**kwargs)

    def _by_slot(self, slots: np.ndarray) -> np.ndarray:
        """`slots` `[N]` as `[N, 1, ...]`, beside observations."""
        return slots.reshape(-1, *(1 for _ in self._shape[1:]))

    def _seen(self, given: Any) -> np.ndarray:
        """Observations `[N, ...]` of the mesh's dtype; others, where they cannot be made of `given`."""
        try:
            return self.translation.observations(given)
        except (ValueError, TypeError, IndexError):
            return np.asarray(given, object)

    def _read_legal(self, infos: Infos, *ends: np.ndarray) -> Wrong:
        """Sets `legal_actions`; returns what is wrong with them.

        ends: bool `[N]` each, the slots whose episode has just ended, where nothing needs to be allowed.
        """
        count, partly = self._shape[0], infos.get("_legal_act")
        try:
            if partly is not None and not np.all(partly):
                infos = {}
            self.legal_actions, wrong = returned.masks(returned.mask_of(infos), count, self.translation.action_size)
        except EnvContractError as error:
            self.legal_actions = np.ones((count, self.translation.action_size), bool)
            return dict.fromkeys(range(count), error)
        if np.count_nonzero(self.legal_actions[:, 0]) < count:  # else each slot has one action at least
            none = ~np.logical_or.reduce([self.legal_actions.any(axis=1), *ends])
            wrong |= dict.fromkeys(np.flatnonzero(none).tolist(), EnvContractError(returned.NO_CHOICE))
        return wrong

    def _read_players(self, table: Table, infos: Infos, rewards: np.ndarray, over: np.ndarray) -> Wrong:
        """Who moves next and what each player got; returns what is wrong with the slots that made this step."""
        wrong = table.step(infos, rewards, over)
        gone = None if self._renewing is None else self._renewing.aborted
        return wrong if gone is None else {i: error for i, error in wrong.items() if not gone[i]}

    def _wrong(self, observations: np.ndarray, rewards: np.ndarray | None = None) -> Wrong:
        """What is wrong with the slots that did not get numbers of the right shape, or got NaN or infinity."""
        for what, column, shape in (("observations", observations, self._shape), ("rewards", rewards, self._shape[:1])):
            if column is not None and (column.shape != shape or column.dtype == object):
                error = EnvContractError(
                    f"its {what} are {column.dtype} of shape {list(column.shape)}, and cannot be made {list(shape)} of "
                    f"{self.env.single_observation_space}; a network would be built for something else. Correct them."
                )
                return dict.fromkeys(range(shape[0]), error)
        return {**_not_finite("an observation holds", observations), **_not_finite("a reward is", rewards)}

    def _refuse(self, wrong: Wrong) -> None:
        """Aborts these slots. Raises the error where nobody makes environments anew."""
        named = {i: returned.of(self.app, error) for i, error in wrong.items()}
        if self._renewing is not None:
            self._renewing.abort(named)
        else:
            for error in named.values():
                raise error


def _squares(column: np.ndarray) -> float:
    """The sum of the squares, which is finite only if each number is; large numbers may make it infinite, too."""
    flat = column.ravel("K")
    return float(flat.dot(flat))


def _not_finite(what: str, column: np.ndarray | None) -> Wrong:
    """What is wrong with the slots whose `column` has NaN or infinity. what: the words before the number."""
    if column is None or column.dtype.kind != "f":
        return {}
    bad = np.flatnonzero(~np.isfinite(column).reshape(len(column), -1).all(axis=1))
    values = ((int(i), float(column[i][~np.isfinite(column[i])].reshape(-1)[0])) for i in bad)
    return {i: EnvContractError(f"{what} {value}; {returned.NOT_FINITE}") for i, value in values}


class FeaturedVectorEnv(VectorWrapper):
    """`env` as an agent's `features` show it: observations are features, and rewards are shaped.

    `legal_actions` and `true_rewards` stay the environment's own.
    """

    def __init__(self, env: MeshVectorEnv, features: Features) -> None:
        super().__init__(env)
        self._mesh_env, self._features = env, features
        self.app = env.app
        self.spaces = features.spaces._replace(players=env.spaces.players, symmetry="")  # features are no board
        self.earned: np.ndarray | None = None
        self.offers = replace(env.offers, frame_stack=0, parts=features.spaces.parts)  # features are no frames
        shape, dtype = features.spaces.obs_shape, np.dtype(features.spaces.obs_dtype)
        if any(length < 1 for length in shape):
            raise AgentError(
                f"Agent.features: its spaces have obs_shape = {list(shape)}, which holds no numbers; a network would "
                "have nothing to look at. Return one feature at least."
            )
        whole = np.issubdtype(dtype, np.integer)
        low, high = (np.iinfo(dtype).min, np.iinfo(dtype).max) if whole else (-np.inf, np.inf)
        self.single_observation_space = Box(low, high, shape, dtype.type)
        self.observation_space = batch_space(self.single_observation_space, env.num_envs)

    @property
    def legal_actions(self) -> np.ndarray | None:
        """As MeshVectorEnv's."""
        return self._mesh_env.legal_actions

    @property
    def true_rewards(self) -> np.ndarray:
        """As MeshVectorEnv's."""
        return self._mesh_env.true_rewards

    @property
    def aborted(self) -> np.ndarray | None:
        """As MeshVectorEnv's."""
        return self._mesh_env.aborted

    @property
    def to_play(self) -> np.ndarray | None:
        """As MeshVectorEnv's."""
        return self._mesh_env.to_play

    @property
    def player_rewards(self) -> np.ndarray | None:
        """As MeshVectorEnv's."""
        return self._mesh_env.player_rewards

    def reset(self, *, seed: Seed = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, Infos]:
        """Features `[N, F]` and infos. seed: as MeshVectorEnv's."""
        observations, infos = self._mesh_env.reset(seed=seed, options=options)
        with user_code("Agent.features: reset"):
            seen = self._features.reset(observations)
        shape, dtype = self.observation_space.shape, self.observation_space.dtype
        if (seen.shape, seen.dtype) != (shape, dtype):
            raise AgentError(
                f"Agent.features: reset returned {seen.dtype} {list(seen.shape)}, but its spaces say {dtype} "
                f"{list(shape or ())}; the network would be built for something else. Correct obs_shape and obs_dtype, "
                "or what reset and step return."
            )
        return seen, infos

    def step(self, actions: np.ndarray) -> Stepped:
        """Features `[N, F]`, shaped rewards float32 `[N]`, the rest as MeshVectorEnv's."""
        movers = None if self.to_play is None else self.to_play.copy()
        observations, rewards, terminated, truncated, infos = self._mesh_env.step(actions)
        given = rewards if movers is None else self._mesh_env.earned
        assert given is not None, "it has several players"
        with user_code("Agent.features: step"):
            seen, shaped = self._features.step(observations, actions, given, terminated, truncated)
        if movers is not None:
            self.earned = self._of_all(shaped, given.shape)
            shaped = self.earned[np.arange(len(movers)), movers]
        return seen, shaped, terminated, truncated, infos

    def _of_all(self, shaped: Any, shape: tuple[int, ...]) -> np.ndarray:
        """`shaped`, float32 `[N, P]`. Raises AgentError: it is not of that shape."""
        if np.shape(shaped) != shape:
            raise AgentError(
                f"Agent.features: step returned rewards of shape {list(np.shape(shaped))}, but {self.app} has "
                f"{shape[1]} players, and what each of them got, {list(shape)}, is learned from. Return as many as "
                "step was given."
            )
        return np.asarray(shaped, np.float32)


def featured(env: MeshVectorEnv, agent: Featured | None) -> MeshEnv:
    """`env` as `agent` wants to see it: through its `features`, or as it is, if it has none.

    Raises AgentError: the features do not fit `env`. ConfigError: the agent wants some by a name that `env` does not
    offer.
    """
    if agent is None:
        return env
    with user_code("Agent.features"):
        features = agent.features(env.num_envs, env.spaces)
        if isinstance(features, str):
            features = env.offers.features(features)(env.num_envs, env.spaces)
    if features is None:
        return env
    if not isinstance(features, Features) or not isinstance(features.spaces, Spaces):
        raise AgentError(
            f"{type(agent).__name__}.features returned {features!r}, which is no Features (spaces, reset, step); the "
            "network would see nothing. Return such an object, the name of features that the environment offers, or "
            "None."
        )
    return FeaturedVectorEnv(env, features)
