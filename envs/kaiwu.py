"""The environment as Kaiwu's workflows of generation G1 see it: `reset(usr_conf) -> obs`, `step(act) -> six values`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np

from kaimesh.contract.errors import ConfigError, EnvContractError
from kaimesh.contract.spaces import Spaces
from kaimesh.envs import alone, returned
from kaimesh.envs.interface import Offers
from kaimesh.envs.translation import Translation

Build = Callable[[Mapping[str, Any], int], gymnasium.Env]


class Facade:
    """One environment slot. Workflows may set attributes of their own on it.

    build: makes the environment from its arguments and a limit of steps (0: its own). unit_actions: `step` scales
    continuous actions to their bounds first.

    `score` is the return of the episode so far, in the environment's true rewards; `spaces` what a network sees; `env`
    the gymnasium environment itself.
    """

    def __init__(
        self,
        app: str,
        build: Build,
        env_conf: dict[str, Any],
        *,
        seed: int | None = None,
        max_episode_steps: int = 0,
        unit_actions: bool = False,
    ) -> None:
        self.app, self.score, self.frame_no = app, 0.0, 0
        self._unit_actions = unit_actions
        self._build, self._seed = build, seed
        self._base = (env_conf, max_episode_steps)
        self._built = self._base
        self.env = build(*self._base)
        alone.claim(self.env, app)
        self._translation = self._translate()
        if (players := Offers.of(self.env.metadata, app).players) > 1:
            self.close()
            raise ConfigError(
                f"{app} has {players} players, and a Kaiwu-style workflow plays one side against the environment: it "
                "would learn from moves of both as if they were one's. Name a vectorised workflow and an algorithm for "
                "several players, or an environment that plays the other side itself."
            )

    @property
    def spaces(self) -> Spaces:
        """What a network sees; `feature` is the flat float32 form of `obs_shape`."""
        return self._translation.spaces(Offers.of(self.env.metadata, self.app).legal_actions)

    def reset(self, usr_conf: Mapping[str, Any] | None = None) -> SimpleNamespace:
        """Starts an episode; returns the observation, see `step`.

        usr_conf: arguments of the environment for this episode and those after it, on top of env_conf, as they are or
        under Kaiwu's "diy" or "env_conf"; `max_step` is the limit of steps. None: those of the configuration.
        Raises ConfigError: the environment does not take them.
        """
        wanted = self._merged(usr_conf)
        if wanted != self._built:
            env = self._build(*wanted)
            self.close()
            alone.claim(env, self.app)
            self.env, self._built = env, wanted
            self._translation = self._translate()
        try:
            observation, info = returned.begun(self.env.reset(seed=self._seed))
            first = self._observation(observation, info, over=False)
        except (EnvContractError, ValueError, TypeError) as error:
            raise self._explained(error) from error.__cause__
        self._seed = None  # later episodes go on in the same random stream
        self.score, self.frame_no = 0.0, 0
        return first

    def step(self, act: Any, stop_game: bool = False) -> tuple[int, SimpleNamespace, float, int, int, SimpleNamespace]:
        """One step: `(frame_no, obs, score, terminated, truncated, env_info)`.

        act: an action as int, list, numpy scalar or array. frame_no counts from 1. obs: `feature` flat float32,
        `legal_act` one 0 or 1 per action (empty where actions are continuous). score: this step's reward. terminated,
        truncated: 0 or 1.
        env_info: `game_info` with `score`, `total_score`, `step_no`, and gymnasium's `info`. stop_game truncates.
        """
        action = self._translation.actions(np.asarray(act).reshape(1, -1)[:, 0] if self._discrete else [np.ravel(act)])[
            0
        ]
        try:
            given, reward, terminated, truncated, info = returned.stepped(self.env.step(action))
            observation = self._observation(given, info, bool(terminated or truncated))
            returned.check_reward(reward)
            returned.check_ends(terminated, truncated)
            reward, ends = float(reward), (int(terminated), int(truncated or stop_game))
        except (EnvContractError, ValueError, TypeError) as error:
            raise self._explained(error) from error.__cause__
        self.frame_no += 1
        self.score += reward
        game_info = SimpleNamespace(score=reward, total_score=self.score, step_no=self.frame_no)
        return (
            self.frame_no,
            observation,
            reward,
            *ends,
            SimpleNamespace(game_info=game_info, info=info),
        )

    def render(self) -> Any:
        """A picture of the current state, uint8 `[H, W, 3]`; None if the environment was made without a render mode."""
        return self.env.render()

    def close(self) -> None:
        """Closes the environment."""
        alone.release(self.env)
        self.env.close()

    def _merged(self, usr_conf: Mapping[str, Any] | None) -> tuple[dict[str, Any], int]:
        if not usr_conf:
            return self._base
        conf = dict(usr_conf.get("diy", usr_conf.get("env_conf", usr_conf)))
        limit = conf.pop("max_step", self._base[1])
        if type(limit) is not int or limit < 0:
            raise ConfigError(
                f"usr_conf: max_step = {limit!r} must be a whole number of steps, 0 for the environment's own; no "
                "episode was begun. Correct it."
            )
        return {**self._base[0], **conf}, limit

    def _translate(self) -> Translation:
        self._discrete = isinstance(self.env.action_space, gymnasium.spaces.Discrete)
        self._shape = self.env.observation_space.shape
        spaces = self.env.observation_space, self.env.action_space
        return Translation(*spaces, self.app, unit_actions=self._unit_actions)

    def _observation(self, observation: Any, info: Mapping[str, Any], over: bool) -> SimpleNamespace:
        if getattr(observation, "shape", None) != self._shape:
            returned.check_observation(observation, self.env.observation_space)
        feature = self._translation.observations(np.asarray(observation)[None])[0]
        if feature.dtype.kind == "f" and not np.isfinite(feature).all():
            returned.check_observation(observation, self.env.observation_space)
        legal = info.get("legal_act")
        if legal is None:
            legal = np.ones(self._translation.action_size if self._discrete else 0, np.int64)
        elif self._discrete:
            legal = returned.mask(legal, self._translation.action_size)
            if not (over or legal.any()):
                raise EnvContractError(returned.NO_CHOICE)
        return SimpleNamespace(
            feature=feature.astype(np.float32).reshape(-1), legal_act=[int(allowed) for allowed in legal]
        )

    def _explained(self, error: Exception) -> Exception:
        """`error`, or where what the environment returned is its reason, an error that says so."""
        try:
            if isinstance(error, EnvContractError):
                return returned.of(self.app, error)
            if not self.frame_no:
                returned.check_interface(self.env)
        except EnvContractError as wrong:
            return returned.of(self.app, wrong).with_traceback(error.__traceback__)
        return returned.of(self.app, error)
