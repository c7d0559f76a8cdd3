"""Playing a recording again, moment by moment."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np

from kaimesh.arena.recording import Recording
from kaimesh.contract.errors import ConfigError
from kaimesh.envs.registry import make_vector

TOLERANCE = 1e-3  # between two scores that count as equal; a facade may have added the rewards in another order


class Replay:
    """The episode of a recording, in an environment made for it; iterate over it once.

    draws: make pictures. Raises ConfigError: no such environment, or actions that it does not have.

    Iterating yields how many steps were made, from 0, as long as the episode goes on; meanwhile `env` is the vector
    environment, of one slot, `score` the return so far, and `over` whether the episode has ended.
    """

    def __init__(self, recording: Recording, *, draws: bool = False) -> None:
        if draws:
            os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pygame draws without a window
        self.recording = recording
        self.env = make_vector(
            recording.app,
            1,
            env_conf=recording.env_conf,
            max_episode_steps=recording.max_episode_steps,
            render_mode="rgb_array" if draws else None,
            unit_actions=recording.unit_actions,
        )
        self.score, self.steps, self.over = 0.0, 0, False
        try:
            self._check_actions()
        except ConfigError:
            self.env.close()
            raise

    def __iter__(self) -> Iterator[int]:
        self.env.reset(seed=self.recording.seed)
        yield 0
        for action in self.recording.actions:
            _, _, terminated, truncated, _ = self.env.step(action[None])
            self.score += float(self.env.true_rewards[0])
            self.steps += 1
            self.over = bool(terminated[0] or truncated[0])
            yield self.steps
            if self.over:  # a further step would begin another episode
                return

    def picture(self) -> np.ndarray:
        """What is seen now, uint8 `[H, W, 3]`. Raises ConfigError: the environment draws no pictures."""
        pictures = self.env.render()
        if pictures is None or pictures[0] is None:
            raise ConfigError(
                f"{self.recording.app} draws no pictures (render_mode rgb_array), so there is nothing to show. Show it "
                "as a page (.html), if it has one, or make the environment draw."
            )
        return np.asarray(pictures[0], np.uint8)

    def difference(self) -> str:
        """In words, how the episode differs from the recorded one; "" if it does not. For after the last step."""
        recorded, length = self.recording.score, len(self.recording.actions)
        found = []
        if self.steps < length:
            found.append(f"the episode was over after {self.steps} of {length} actions")
        if not abs(self.score - recorded) <= TOLERANCE * max(1.0, 1e-2 * abs(recorded)):
            found.append(f"the score is {self.score:.6g}, {recorded:.6g} was recorded")
        return ", and ".join(found)

    def close(self) -> None:
        """Closes the environment."""
        self.env.close()

    def _check_actions(self) -> None:
        actions, spaces = self.recording.actions, self.env.spaces
        width = actions.shape[1:] or (1,)
        expected = (spaces.action_size,) if spaces.action_kind == "continuous" else (1,)
        if (actions.ndim == 2) != (spaces.action_kind == "continuous") or width != expected:
            raise ConfigError(
                f"the recording's actions are {actions.dtype} {actions.shape}; {self.recording.app} takes "
                f"{spaces.action_size} {spaces.action_kind} ones. It was recorded in another environment or version of "
                "it, so it cannot be played again here. Install that version, or record anew."
            )
        if actions.ndim == 1 and not 0 <= actions.min() <= actions.max() < spaces.action_size:
            wrong = int(np.flatnonzero((actions < 0) | (actions >= spaces.action_size))[0])
            raise ConfigError(
                f"the recording's actions[{wrong}] = {actions[wrong]}; {self.recording.app} has "
                f"0..{spaces.action_size - 1}. It was recorded in another environment or version of it, so it cannot "
                "be played again here. Install that version, or record anew."
            )
