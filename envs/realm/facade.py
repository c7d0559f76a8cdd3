"""The realm as Kaiwu's workflows of generation G1 see it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kaimesh.contract.errors import AgentError, ConfigError
from kaimesh.contract.spaces import Spaces
from kaimesh.envs.realm.records import EnvInfo, Moment, Observation, Score
from kaimesh.envs.realm.task import WHICH_TREASURES, task_of
from kaimesh.envs.realm.vector import Realm
from kaimesh.envs.translation import Translation

Step = tuple[int | None, Observation | None, Score | None, int | None, int, EnvInfo | None]

NO_GAME: Step = (None, None, None, None, True, None)  # what Kaiwu's step returns while no episode is running
RETRY_S = 1.0  # how long a refused reset waits: workflows call it again at once, and would use up a core
_log = logging.getLogger("kaimesh.envs.realm")


class RealmFacade:
    """One hero. Workflows may set attributes of their own on it.

    env_conf: arguments of kaimesh.envs.realm.vector.Realm; its task is what `reset` takes where usr_conf says nothing.
    seed: of the stream of treasures. sleep: takes seconds. Raises ConfigError: env_conf is wrong.

    `score` is what the contest would score of the episode so far; `spaces` what a network sees that reads `Realm`'s
    observations.
    """

    preset = "realm"

    def __init__(
        self,
        app: str,
        *,
        env_conf: Mapping[str, Any] | None = None,
        seed: int | None = None,
        max_episode_steps: int = 0,
        render_mode: str | None = None,
        generation: str = "",
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        del generation  # G1 alone
        conf = {"preset": self.preset, **(env_conf or {})}
        self.app = app
        self.env = Realm(1, max_episode_steps=max_episode_steps, render_mode=render_mode, **conf)
        self._seed, self._sleep = seed, sleep
        self._playing = False
        self._told: set[str] = set()

    @property
    def score(self) -> float:
        """The episode's return so far."""
        return float(self.env.state.score[0])

    @property
    def spaces(self) -> Spaces:
        """The Spaces of `Realm`, whose observations native agents read instead of the facade's."""
        return Translation(self.env.single_observation_space, self.env.single_action_space, self.app).spaces(True)

    def reset(self, usr_conf: Mapping[str, Any] | None = None) -> Observation | None:
        """Starts an episode. None, after a second, if usr_conf is wrong; the reason is logged once.

        usr_conf: keys of kaimesh.envs.realm.task, as they are or under Kaiwu's "diy" or "env_conf", for this episode;
        what it does not name is as configured.
        """
        self._playing = False
        try:
            self.env.task = task_of(self.env.preset, self._merged(usr_conf))
        except ConfigError as error:
            self._tell(f"reset(usr_conf={usr_conf!r}) returns None: {error}")
            self._sleep(RETRY_S)
            return None
        self.env.reset(seed=self._seed)
        self._seed = None  # later episodes go on in the same stream
        self._playing = True
        return Observation(Moment(self.env.world, self.env.state, False, False))

    def step(self, act: Any, stop_game: bool = False) -> Step:
        """One step: `(frame_no, obs, score, terminated, truncated, env_info)`, see kaimesh.envs.realm.records.

        act: `direction + 8 * flash`, 0..15, as int, list, numpy scalar or array. frame_no: 1 + 3 per step. terminated,
        truncated: 0 or 1; stop_game truncates. Without a running episode: (None, None, None, None, True, None).
        Raises AgentError: an action that there is not.
        """
        if not self._playing:
            self._tell("step without a running episode returns None: reset was refused, or was not called after an end")
            self._sleep(RETRY_S)
            return NO_GAME
        _, terminated, truncated = self.env.advance(self._action(act))
        arrived, late = bool(terminated[0]), bool(truncated[0])
        self._playing = not (arrived or late or stop_game)
        moment = Moment(self.env.world, self.env.state, arrived, late)
        truncates = int(late or (stop_game and not arrived))
        return moment.frame_no, Observation(moment), moment.score, int(arrived), truncates, EnvInfo(moment)

    def render(self) -> np.ndarray | None:
        """The picture, uint8 `[H, W, 3]`, if it was made with render_mode "rgb_array"."""
        pictures = self.env.render()
        return pictures[0] if pictures else None

    def close(self) -> None:
        """Closes the environment."""
        self.env.close()

    def _merged(self, usr_conf: Mapping[str, Any] | None) -> Mapping[str, Any]:
        base = self.env.conf
        if not usr_conf:
            return base
        if not isinstance(usr_conf, Mapping):
            raise ConfigError(
                f"realm: usr_conf = {usr_conf!r} must be a mapping of keys to values; no episode was begun. Pass a "
                "dict."
            )
        conf = usr_conf.get("diy", usr_conf.get("env_conf", usr_conf))
        if not isinstance(conf, Mapping):
            raise ConfigError(
                f"realm: usr_conf has {conf!r} where a mapping of keys to values must be; no episode was begun. Pass a "
                "dict."
            )
        if any(key in conf for key in WHICH_TREASURES):  # they only make sense together
            base = {key: value for key, value in base.items() if key not in WHICH_TREASURES}
        return {**base, **conf}

    def _action(self, act: Any) -> np.ndarray:
        actions = np.asarray(act).reshape(-1)[:1]
        if actions.dtype.kind not in "biuf" or actions.size != 1 or actions[0] not in range(16):
            raise AgentError(
                f"realm: act = {act!r} must be a whole number 0..15, or the hero knows no move; send direction + 8 * "
                "flash"
            )
        return actions.astype(np.int64)

    def _tell(self, reason: str) -> None:
        if reason not in self._told:
            self._told.add(reason)
            _log.error("%s: %s", self.app, reason)


class RealmMiniFacade(RealmFacade):
    """The same for the small map."""

    preset = "realm-mini"
