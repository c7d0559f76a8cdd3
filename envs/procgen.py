"""`procgen:<game>`: the sixteen games of Procgen (arXiv 1912.01588), by the package procgen2. Its C++ steps all slots.

Observations are pictures, uint8 `[N, 64, 64, 3]`; there are 15 actions. `env_conf`, beside Procgen's own options for
how a game looks:

| option | default | meaning |
|---|---|---|
| `distribution_mode` | "easy" | how hard: "easy", "hard"; some games "extreme", "memory", "exploration" too |
| `num_levels` | 0 | the number of levels, 200 (500 of "hard") to train on; 0: without end, on which evaluation judges |
| `start_level` | 0 | the first one's number |
| `num_threads` | 0 | threads that step a group of environments; 0: the caller's own |

Procgen resets within the step that ends an episode, and draws only the next level's first picture. So an episode ends
here like this:

- The agent wins or dies: the last observation is never drawn, so the one before stands in its place. It does not
  matter for learning: what follows a terminated step counts nothing.
- Time is over: Procgen would reset, and the observation to bootstrap from would be lost. So the episode is truncated
  one step before; its last observation is the true one, and the reset step that follows makes Procgen reset.

Levels are drawn at random, each independent of those before; the reset step draws one.

Procgen draws with Qt, which wants libGL.so.1 (Debian: libgl1), as desktops have it and small containers do not.
"""

from __future__ import annotations

import contextlib
import difflib
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from kaimesh.contract.errors import ConfigError

# Steps after which Procgen ends an episode.
TIMEOUTS = {
    **dict.fromkeys(
        ["caveflyer", "chaser", "climber", "coinrun", "dodgeball", "fruitbot", "heist", "jumper", "miner", "ninja"],
        1000,
    ),
    **{"bigfish": 6000, "bossfight": 4000, "leaper": 500, "maze": 500, "plunder": 4000, "starpilot": 1000},
}
# Any other request ends the process inside Procgen.
_ONLY = {
    "extreme": ("chaser", "dodgeball", "leaper", "starpilot"),
    "memory": ("caveflyer", "dodgeball", "heist", "jumper", "maze", "miner"),
    "exploration": ("caveflyer", "climber", "coinrun", "heist", "jumper", "leaper", "maze", "ninja"),
}
_MODES = ("easy", "hard", *_ONLY)
_ACTIONS, _PIXELS = 15, 64
_RESET = -1  # the action that makes Procgen reset


class Procgen(VectorEnv):
    """`num_envs` slots of `game`. max_episode_steps: truncates there, if that is before Procgen's own end.

    render_mode: "rgb_array" for pictures of 512 x 512. Raises ConfigError: an unknown game or mode, or a library that
    is missing.
    """

    def __init__(
        self,
        game: str,
        num_envs: int = 1,
        *,
        max_episode_steps: int = 0,
        render_mode: str | None = None,
        distribution_mode: str = "easy",
        num_levels: int = 0,
        start_level: int = 0,
        num_threads: int = 0,
        **looks: bool,
    ) -> None:
        self.num_envs, self.render_mode = num_envs, render_mode
        self.metadata = {
            "render_modes": ["rgb_array"],
            "render_fps": 15,
            "autoreset_mode": AutoresetMode.NEXT_STEP,
        }
        self.single_observation_space = Box(0, 255, (_PIXELS, _PIXELS, 3), np.uint8)
        self.single_action_space = Discrete(_ACTIONS)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        _check(game, distribution_mode, num_levels, start_level, looks)
        self._make = _library()
        self._options = {
            "num": num_envs,
            "env_name": game,
            "distribution_mode": distribution_mode,
            "num_threads": num_threads,
            "render_mode": render_mode,
            **looks,
        }
        if distribution_mode != "exploration":  # which has one level
            self._options |= {"num_levels": num_levels, "start_level": start_level}
        self._limit = min(max_episode_steps or TIMEOUTS[game], TIMEOUTS[game] - 1)
        self._game: Any = None
        self._seen = np.zeros(0, np.uint8)  # [N, 64, 64, 3]
        self._pictures: tuple[np.ndarray, ...] | None = None
        self._steps = np.zeros(num_envs, np.int64)
        self._over = np.zeros(num_envs, bool)
        self._complete = np.zeros(num_envs, bool)

    @staticmethod
    def for_evaluation(conf: Mapping[str, Any]) -> dict[str, Any]:
        """All levels, where training had some."""
        return {**conf, "num_levels": 0, "start_level": 0} if conf.get("num_levels") else dict(conf)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """First observations; the same seed gives the same levels in the same order."""
        super().reset(seed=seed, options=options)
        if self._game is not None:
            self._game.close()
        self._game = self._make(rand_seed=int(self.np_random.integers(2**31)), **self._options)
        self._seen = self._game.observe()[1]["rgb"]
        self._steps[:] = 0
        self._over[:] = False
        self._draw()
        return self._seen, {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """As gymnasium's, in NEXT_STEP mode."""
        reset = self._over
        self._game.act(np.where(reset, _RESET, actions).astype(np.int32))
        rewards, observed, first = self._game.observe()
        observations = observed["rgb"]
        terminated = first.astype(bool) & ~reset
        observations[terminated] = self._seen[terminated]
        rewards[reset] = 0
        self._steps = np.where(reset, 0, self._steps + 1)
        truncated = (self._steps >= self._limit) & ~terminated
        self._over, self._seen = terminated | truncated, observations
        if terminated.any():
            complete = np.array([info["prev_level_complete"] for info in self._game.get_info()], bool)
            self._complete = terminated & complete
        self._draw(terminated)
        return observations, rewards, terminated, truncated, {}

    def episode_report(self, slot: int) -> dict[str, bool]:
        """Of the episode that has just ended: whether the level was completed."""
        return {"level_complete": bool(self._complete[slot] and self._over[slot])}

    def render(self) -> tuple[np.ndarray, ...] | None:
        """Pictures uint8 `[512, 512, 3]`, one a slot."""
        return self._pictures

    def close_extras(self, **_: Any) -> None:
        """Frees what Procgen holds."""
        if self._game is not None:
            self._game.close()
            self._game = None

    def _draw(self, terminated: np.ndarray | None = None) -> None:
        if self.render_mode is None:
            return
        drawn = [info["rgb"] for info in self._game.get_info()]
        if terminated is not None and self._pictures is not None:
            drawn = [old if kept else new for old, kept, new in zip(self._pictures, terminated, drawn, strict=True)]
        self._pictures = tuple(drawn)


def _library() -> Any:
    """Procgen's class. Raises ConfigError: what it draws with is missing."""
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # gym, which it imports, tells everybody to move to gymnasium
            from procgen import ProcgenGym3Env
    except ImportError as error:
        raise ConfigError(
            f"procgen:<game> needs the package procgen2, which is not usable here: {error}. Run tools/setup.sh."
        ) from error

    def make(**options: Any) -> Any:
        try:
            return ProcgenGym3Env(**options)
        except OSError as error:
            raise ConfigError(
                f"Procgen's library cannot be loaded: {error}. It draws with Qt, which needs OpenGL's library: on "
                "Debian or Ubuntu, apt-get install libgl1."
            ) from error

    return make


_LOOKS = (
    "center_agent",
    "use_backgrounds",
    "use_monochrome_assets",
    "restrict_themes",
    "use_generated_assets",
    "paint_vel_info",
)
_OPTIONS = ("distribution_mode", "num_levels", "start_level", "num_threads", *_LOOKS)


def _check(game: str, mode: str, num_levels: int, start_level: int, looks: dict[str, Any]) -> None:
    if game not in TIMEOUTS:
        near = difflib.get_close_matches(game.lower(), TIMEOUTS, 3, 0.5)
        hint = f"; did you mean {' or '.join(f'procgen:{n}' for n in near)}?" if near else "."
        raise ConfigError(
            f"app = 'procgen:{game}' names no game of Procgen{hint} No environment was made. Name one of: "
            f"{', '.join(TIMEOUTS)}."
        )
    for key in looks:
        if key not in _LOOKS:
            near = difflib.get_close_matches(key, _OPTIONS, 1, 0.6)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise ConfigError(
                f"procgen:{game} has no option {key!r} (in env_conf){hint} No environment was made. Name one of: "
                f"{', '.join(_OPTIONS)}."
            )
    if mode not in _MODES or game not in _ONLY.get(mode, (game,)):
        modes = [known for known in _MODES if game in _ONLY.get(known, (game,))]
        raise ConfigError(
            f"env_conf.distribution_mode = {mode!r}: procgen:{game} has {', '.join(modes)}, so no environment was "
            "made. Choose one of these."
        )
    for key, value in (("num_levels", num_levels), ("start_level", start_level)):
        if type(value) is not int or value < 0:
            raise ConfigError(
                f"env_conf.{key} = {value!r} must be a whole number, 0 or more; no level can be chosen by it. Correct "
                "it."
            )
