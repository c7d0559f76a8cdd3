"""The one wrapper around every vector environment: the mesh's dtypes, bounds, legal actions, seeds and true scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space

from kaimesh.contract.agent import Featured, Features, user_code
from kaimesh.contract.errors import AgentError, ConfigError
from kaimesh.contract.spaces import Spaces
from kaimesh.envs.interface import LEGAL_ACTIONS, Infos, MeshEnv, Offers, Seed, Stepped
from kaimesh.envs.translation import Translation


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
        self.spaces = self.translation.spaces(self.offers.legal_actions)._replace(parts=self.offers.parts)
        self.legal_actions: np.ndarray | None = None  # [N, A]
        self.true_rewards = np.zeros(env.num_envs, np.float32)  # [N]
        self._declares_legal = self.offers.legal_actions
        self._seed, self._clip = seed, clip_rewards
        self._seeds_each = self.offers.slot_seeds or isinstance(env, SyncVectorEnv)
        self._step = env.step

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
        self.true_rewards = np.zeros(self.env.num_envs, np.float32)
        if self._declares_legal:
            self.legal_actions = self._legal(infos)
        return self.translation.observations(observations), infos

    def step(self, actions: np.ndarray) -> Stepped:
        """Observations `[N, ...]`, rewards float32 `[N]`, terminated and truncated bool `[N]`, infos."""
        observations, rewards, terminated, truncated, infos = self._step(self.translation.actions(actions))
        self.true_rewards = rewards = np.asarray(rewards, np.float32)
        if self._clip:
            rewards = np.clip(rewards, -1.0, 1.0)
        if self._declares_legal:
            self.legal_actions = self._legal(infos)
        return self.translation.observations(observations), rewards, terminated, truncated, infos

    def _legal(self, infos: Infos) -> np.ndarray:
        legal = infos.get("legal_act")
        if legal is None or not infos.get("_legal_act", np.ones(1, bool)).all():
            raise ConfigError(
                f"{self.app} declares {LEGAL_ACTIONS} in its metadata, but an info had no 'legal_act'; the agent would "
                "not know which actions are allowed. Return info['legal_act'], bool "
                f"[{self.translation.action_size}], from every reset and step."
            )
        return np.asarray(legal, bool).reshape(self.env.num_envs, self.translation.action_size)


class FeaturedVectorEnv(VectorWrapper):
    """`env` as an agent's `features` show it: observations are features, and rewards are shaped.

    `legal_actions` and `true_rewards` stay the environment's own.
    """

    def __init__(self, env: MeshVectorEnv, features: Features) -> None:
        super().__init__(env)
        self._mesh_env, self._features = env, features
        self.app, self.spaces = env.app, features.spaces
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
        observations, rewards, terminated, truncated, infos = self._mesh_env.step(actions)
        with user_code("Agent.features: step"):
            seen, shaped = self._features.step(observations, actions, rewards, terminated, truncated)
        return seen, shaped, terminated, truncated, infos


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
