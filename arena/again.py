"""Playing a recording again, moment by moment."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from kaimesh.arena.recording import Recording
from kaimesh.contract.errors import ConfigError, EnvError, MeshError, words
from kaimesh.envs.registry import make_vector
from kaimesh.envs.vector import MeshVectorEnv

PICTURES = "rgb_array"  # the render mode
TOLERANCE = 1e-3  # between two scores that count as equal; a facade may have added the rewards in another order


def environment(
    app: str, env_conf: Mapping[str, Any], max_episode_steps: int, *, draws: bool, unit_actions: bool = False
) -> MeshVectorEnv:
    """One slot. draws: it makes pictures. Raises ConfigError: no such environment, or it cannot draw here."""
    make = partial(
        make_vector, app, 1, env_conf=env_conf, max_episode_steps=max_episode_steps, unit_actions=unit_actions
    )
    if not draws:
        return make()
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pygame draws without a window
    try:
        return make(render_mode=PICTURES)
    except ConfigError as error:
        if not isinstance(error.__cause__, TypeError) or "render_mode" not in str(error.__cause__):
            raise
        raise _draws_none(app, "it takes no argument render_mode") from error
    except Exception as error:  # of its own code or of the library that draws, without a display for instance
        raise _draws_none(app, f"{type(error).__name__}: {error}") from error


def picture_of(env: MeshVectorEnv) -> np.ndarray:
    """What is seen now, uint8 `[H, W, 3]`. Raises ConfigError: the environment draws no pictures."""
    try:
        pictures = env.render()
        picture = None if pictures is None else np.asarray(pictures[0])
    except Exception as error:  # see `environment`
        raise _draws_none(env.app, f"render raised {type(error).__name__}: {error}") from error
    if picture is None or picture.ndim != 3 or picture.shape[2] != 3:
        shape = "nothing" if picture is None or picture.dtype == object else f"{picture.dtype} {list(picture.shape)}"
        raise _draws_none(env.app, f"render returned {'text' if shape.startswith('<U') else shape}")
    if picture.dtype != np.uint8 and (picture.dtype.kind not in "iu" or picture.min() < 0 or picture.max() > 255):
        raise _draws_none(env.app, f"render returned {picture.dtype} from {picture.min():g} to {picture.max():g}")
    return picture.astype(np.uint8, copy=False)


def check_drawing(app: str, env_conf: Mapping[str, Any], max_episode_steps: int, page: bool) -> None:
    """Raises ConfigError: pictures of `app` are wanted and cannot be drawn. page: as a page, which may need none."""
    env = environment(app, env_conf, max_episode_steps, draws=True)
    try:
        if not page or env.offers.story() is None:
            env.reset(seed=0)
            picture_of(env)
    finally:
        env.close()


def _draws_none(app: str, why: str) -> ConfigError:
    return ConfigError(
        f"{app} draws no pictures here ({why}), so there is nothing to show. An environment that draws names "
        f"{PICTURES!r} in metadata['render_modes'], takes it as the argument render_mode, and returns uint8 [H, W, 3] "
        "from render(). On a machine without a display, some libraries need xvfb-run or a setting of their own."
    )


class Replay:
    """The episode of a recording, in an environment made for it; iterate over it once.

    draws: make pictures. Raises ConfigError: no such environment, actions that it does not have, or no pictures.

    Iterating yields how many steps were made, from 0, as long as the episode goes on; meanwhile `env` is the vector
    environment, of one slot, `score` the return so far, and `over` whether the episode has ended.
    """

    def __init__(self, recording: Recording, *, draws: bool = False) -> None:
        self.recording = recording
        self.env = environment(
            recording.app,
            recording.env_conf,
            recording.max_episode_steps,
            draws=draws,
            unit_actions=recording.unit_actions,
        )
        self.score, self.steps, self.over = 0.0, 0, False
        self.movers: list[int] = []  # who made each step
        self._size: tuple[int, ...] = ()
        try:
            self._check_seat()
            self._check_actions()
        except ConfigError:
            self.env.close()
            raise

    def __iter__(self) -> Iterator[int]:
        self._called("reset", seed=self.recording.seed)
        yield 0
        for action in self.recording.actions:
            self.movers.append(0 if self.env.to_play is None else int(self.env.to_play[0]))
            _, _, terminated, truncated, _ = self._called("step", action[None])
            shared = self.env.player_rewards
            self.score += float(self.env.true_rewards[0] if shared is None else shared[0, self.recording.seat])
            self.steps += 1
            self.over = bool(terminated[0] or truncated[0])
            yield self.steps
            if self.over:  # a further step would begin another episode
                return

    def _called(self, verb: str, *args: Any, **kwargs: Any) -> Any:
        """What a method of the environment returns. Raises EnvError: it raised."""
        try:
            return getattr(self.env, verb)(*args, **kwargs)
        except MeshError:
            raise
        except Exception as error:  # the environment's, whatever it is
            raise EnvError(
                f"{self.recording.app} raised {type(error).__name__} in {verb}, after {self.steps} steps: "
                f"{words(error)}; so the episode is not shown. Try again, or mend the environment."
            ) from error

    def picture(self) -> np.ndarray:
        """See picture_of. Raises ConfigError also if it is of another size than the first one."""
        picture = picture_of(self.env)
        self._size = self._size or picture.shape
        if picture.shape != self._size:
            sizes = f"{list(self._size)} and after {self.steps} steps {list(picture.shape)}"
            raise ConfigError(
                f"{self.recording.app} draws pictures of different sizes, {sizes}, which make no film. Let its render "
                "return arrays of one shape."
            )
        return picture

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

    def _check_seat(self) -> None:
        if self.recording.seat >= self.env.spaces.players:
            raise ConfigError(
                f"the recording's seat = {self.recording.seat}; {self.recording.app} has {self.env.spaces.players} "
                "players. It was recorded in another environment or version of it, so it cannot be played again here. "
                "Install that version, or record anew."
            )

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
