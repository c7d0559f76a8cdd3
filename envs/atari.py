"""`ale:<game>`: Atari on ale-py's vectorised emulator.

Frame skip 4 with the maximum over the last two frames, 84 x 84 grey, 4 frames stacked: uint8 `[N, 4, 84, 84]` (arXiv
1312.5602). Options of `env_conf`, with their defaults here:

| option | default | meaning |
|---|---|---|
| `reward_clipping` | true | rewards are clipped to [-1, 1]; `true_rewards`, and so all reported returns, are not |
| `episodic_life` | false | a lost life ends the episode and restarts the game; evaluation turns it off |
| `repeat_action_probability` | 0.0 | sticky actions: 0.25 is the protocol of arXiv 1709.06009 |
| `num_threads` | 1 | emulator threads of each group of environments |
| `frameskip`, `stack_num`, `noop_max`, `use_fire_reset`, `full_action_space`, ... | ale-py's | see ale_py.vector_env |
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
from ale_py import roms
from ale_py.vector_env import AtariVectorEnv
from gymnasium.vector import AutoresetMode, VectorEnv

from kaimesh.contract.errors import ConfigError
from kaimesh.contract.seeds import within_31_bits
from kaimesh.envs.atari_scores import human_normalised
from kaimesh.envs.interface import Seed

_RESERVED = {
    "autoreset_mode": "the mesh needs NEXT_STEP",
    "batch_size": "the mesh steps all slots at once",
    "life_loss_info": "it would mark steps as last without a reset after them; use episodic_life",
    "max_num_frames_per_episode": "set max_episode_steps, in steps of the agent",
}
_PIXELS = 3  # each pixel of a rendered frame is 3 x 3


class Atari(AtariVectorEnv):  # type: ignore[misc]
    """AtariVectorEnv that can show what the agent sees: with render_mode "rgb_array", the newest frame of each slot.

    Rewards are the game's own: `vector_atari` leaves clipping to the wrapper.
    """

    def __init__(self, game: str, count: int, *, render_mode: str | None, **options: Any) -> None:
        super().__init__(game, count, **options)
        self.game, self.render_mode = game, render_mode
        self.metadata: dict[str, Any] = {
            **self.metadata,
            "render_modes": ["rgb_array"],
            "slot_seeds": True,
            "render_fps": 60 // options.get("frameskip", 4),
            "frame_stack": self.single_observation_space.shape[0],  # ale-py puts zeros before an episode's first frame
        }
        self._seen = np.zeros(0, np.uint8)
        self._scores = np.zeros(count, np.float64)  # of the episodes under way, or just over
        self._over = np.zeros(count, bool)

    def reset(self, *, seed: Seed = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """As ale-py's. seed: of the first slot, where those of the others count on from it; or one for each slot."""
        if isinstance(seed, int | np.integer):
            seed = [int(seed) + slot for slot in range(self.num_envs)]
        seeds = None if seed is None else np.array([within_31_bits(one) for one in seed])  # the emulator's are int32
        self._seen, infos = super().reset(seed=seeds, options=options)
        self._scores[:] = 0
        self._over[:] = False
        return self._seen, infos

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """As ale-py's."""
        result: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]] = super().step(actions)
        self._seen, rewards, terminated, truncated, _ = result
        self._scores = np.where(self._over, 0.0, self._scores + rewards)
        self._over = terminated | truncated
        return result

    @staticmethod
    def for_evaluation(conf: Mapping[str, Any]) -> dict[str, Any]:
        """Whole games, where training ended an episode with a lost life."""
        return {**conf, "episodic_life": False}

    def episode_report(self, slot: int) -> dict[str, float]:
        """How near to a human's score the episode that has just ended came, where such a score is known."""
        share = human_normalised(self.game, float(self._scores[slot]))
        return {} if share is None else {"human_normalised": share}

    def render(self) -> tuple[np.ndarray, ...] | None:
        """Pictures uint8 `[H, W, 3]`, one a slot."""
        if self.render_mode is None:
            return None
        frames = self._seen[:, -1]  # [N, 84, 84] or [N, 84, 84, 3]
        if self.grayscale:
            frames = np.repeat(frames[..., None], 3, -1)
        return tuple(frames.repeat(_PIXELS, 1).repeat(_PIXELS, 2))


def vector_atari(
    game: str, count: int, env_conf: dict[str, Any], max_episode_steps: int, render_mode: str | None
) -> tuple[VectorEnv, bool]:
    """`count` slots of `game`, and whether their rewards are to be clipped (by the wrapper, which keeps the true ones).

    Raises ConfigError: no such game, or an option that does not exist or would break trajectories.
    """
    games = roms.get_all_rom_ids()
    if game not in games:
        near = difflib.get_close_matches(game.lower(), games, 3, 0.5)
        hint = f"; did you mean {' or '.join(f'ale:{n}' for n in near)}?" if near else "."
        raise ConfigError(
            f"app = 'ale:{game}': ale-py has no game {game!r}{hint} No environment was made. Name one of its "
            f"{len(games)} games, in snake_case."
        )
    known = [*inspect.signature(AtariVectorEnv).parameters][2:]
    for key in env_conf:
        if key in _RESERVED:
            raise ConfigError(f"env_conf.{key} cannot be set for ale:{game}: {_RESERVED[key]}. Remove it.")
        if key not in known:
            near = difflib.get_close_matches(key, known, 1, 0.6)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise ConfigError(
                f"ale:{game} has no option {key!r} (in env_conf){hint} No environment was made. Name one of: "
                f"{', '.join(known)}."
            )
    options = {"num_threads": 1, **env_conf, "autoreset_mode": AutoresetMode.NEXT_STEP}
    clip = bool(options.pop("reward_clipping", True))
    if max_episode_steps:
        options["max_num_frames_per_episode"] = max_episode_steps * int(options.get("frameskip", 4))
    return Atari(game, count, render_mode=render_mode, reward_clipping=False, **options), clip
