"""Recordings: an episode as what it takes to play it again.

A file is JSON: `format` and `version`, then the fields of `Recording`. Two thousand steps of a discrete action take
6 KB.

An episode is exactly reproducible: make one slot of the environment with the recorded arguments, reset it with the
recorded seed, and give it the actions one by one (arena.again does). Shape legend: T steps; A numbers per action.
"""

from __future__ import annotations

import json
import math
import reprlib
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from kaimesh.contract.errors import ConfigError

FORMAT = "kaimesh recording"
VERSION = 1
_BEYOND_FLOAT32 = float(np.finfo(np.float32).max) * (1 + 2**-25)  # what rounds to infinity


class Recording(NamedTuple):
    """One episode.

    app, env_conf, max_episode_steps: as `envs.make_vector` takes them. seed: of the only `reset`, 0..2^63 - 1. actions:
    as the agent gave them, int64 `[T]` (discrete) or float32 `[T, A]` (continuous), T >= 1. score: the episode's
    return, in the environment's true rewards. model: whose episode it is, in words for people. unit_actions: whether
    the actions are in an agent's unit, to be scaled (contract/scaling). seat: in a game of several players, whose
    return `score` is. A file that does not say the last two has False and 0.
    """

    app: str
    env_conf: dict[str, Any]
    max_episode_steps: int
    seed: int
    actions: np.ndarray
    score: float
    model: str
    unit_actions: bool = False
    seat: int = 0

    def save(self, path: Path | str) -> None:
        """Writes the file and the folders above it. Raises ConfigError: a field that `load` would refuse."""
        fields = self._asdict() | {"env_conf": dict(self.env_conf), "actions": _plain(self.actions)}
        for name in ("max_episode_steps", "seed", "seat"):
            fields[name] = int(fields[name])
        for name in ("unit_actions", "seat"):
            if not fields[name]:
                del fields[name]
        data = {"format": FORMAT, "version": VERSION, **fields, "score": float(self.score)}
        _read(data, path)
        try:
            text = json.dumps(data, allow_nan=False)
        except (TypeError, ValueError) as error:
            _refuse(path, "env_conf", self.env_conf, f"cannot be written as JSON ({error}); name plain values only")
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text + "\n")

    @classmethod
    def load(cls, path: Path | str) -> Recording:
        """What `save` wrote. Raises ConfigError: it cannot be read, is something else, or a field is wrong."""
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(
                f"recording {path} cannot be read: {error.strerror}; there is nothing to show. Check the name."
            ) from error
        except (ValueError, RecursionError) as error:
            raise ConfigError(
                f"recording {path} is not JSON: {error}. It is damaged or something else, so it cannot be shown; name "
                "a file that an evaluation wrote."
            ) from error
        return _read(data, path)


def _read(data: Any, path: Path | str) -> Recording:
    form = data.get("format") if isinstance(data, dict) else data
    if form != FORMAT:
        _refuse(path, "format", form, f"must be {FORMAT!r}: this is another kind of file. Name a recording")
    version = data.get("version")
    if type(version) is not int or version != VERSION:
        _refuse(path, "version", version, f"must be {VERSION}; replay it with the kaimesh that wrote it")
    data = {"unit_actions": False, "seat": 0, **data}
    names = {"format", "version", *Recording._fields}
    for name in [*data, *names]:
        if name not in data:
            raise ConfigError(f"recording {path}: {name} is missing. {_AGAIN}")
        if name not in names:
            _refuse(path, str(name), data[name], "is no field of a recording")
    if not _printable(data["app"]) or not data["app"]:
        _refuse(path, "app", data["app"], "must be the name of an environment, such as 'gym:CartPole-v1'")
    if not isinstance(data["env_conf"], dict):
        _refuse(path, "env_conf", data["env_conf"], "must be an object of the environment's arguments")
    for name in ("max_episode_steps", "seed", "seat"):
        if type(data[name]) is not int or not 0 <= data[name] < 2**63:
            _refuse(path, name, data[name], "must be a whole number 0..2^63 - 1")
    score = data["score"]
    if type(score) not in (int, float) or not math.isfinite(score):
        _refuse(path, "score", score, "must be a number, the episode's return")
    if not isinstance(data["unit_actions"], bool):
        _refuse(path, "unit_actions", data["unit_actions"], "must be true or false")
    if not _printable(data["model"]):
        _refuse(path, "model", data["model"], "must be a line of text")
    fields = {name: data[name] for name in Recording._fields}
    return Recording(**fields | {"score": float(score), "actions": _actions(data["actions"], path)})


def _actions(actions: Any, path: Path | str) -> np.ndarray:
    if not isinstance(actions, list) or not actions:
        _refuse(path, "actions", actions, "must be a list with one action for each step")
    continuous = isinstance(actions[0], list)
    width = len(actions[0]) if continuous else 0
    for step, action in enumerate(actions):
        if not continuous:
            if type(action) is not int or not -(2**63) <= action < 2**63:
                _refuse(path, f"actions[{step}]", action, "must be a whole number")
        elif not isinstance(action, list) or len(action) != width or not width or not all(map(_is_float32, action)):
            _refuse(path, f"actions[{step}]", action, f"must be a list of {max(width, 1)} numbers")
    return np.array(actions, np.float32 if continuous else np.int64)


def _printable(value: object) -> bool:
    """A text that can be shown in a terminal: no control characters, which could steer it, and no half of a surrogate
    pair.
    """
    return isinstance(value, str) and value.isprintable()


def _is_float32(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < _BEYOND_FLOAT32


def _plain(actions: np.ndarray) -> list[Any]:
    if actions.ndim == 1 and actions.dtype.kind in "iu":
        whole: list[Any] = actions.tolist()
        return whole
    if actions.ndim == 2 and actions.dtype == np.float32:
        # nine digits are nearer to a float32 than half of its distance to the next one, so it comes back exactly
        return [[float(f"{value:.9g}") for value in action] for action in actions.tolist()]
    raise ConfigError(
        f"recording: actions are {actions.dtype} {actions.shape}; they must be int64 [T] or float32 [T, A], so "
        "nothing was "
        "written. Convert them."
    )


_AGAIN = "Record the episode again (tools/evaluate.sh)."


def _refuse(path: Path | str, field: str, value: object, why: str) -> NoReturn:
    raise ConfigError(f"recording {path}: {field} = {reprlib.repr(value)} {why}. {_AGAIN}")
