"""Environments as a person plays them in a terminal: what is shown, and what the keys mean.

Drawing and reading keys is terminal.py's.

An environment that renders as text (render_mode "ansi") is shown so; of another one the observation is shown. Every
action has its number as key. One that has more to say names a `Face` of its own in its metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kaimesh.contract.errors import ConfigError
from kaimesh.contract.face import Face, Line, Piece
from kaimesh.envs import MeshEnv

# Arrow keys of environments that move something, as terminal.py names them.
ARROWS: Mapping[str, Mapping[str, int]] = {
    "FrozenLake": {"LEFT": 0, "DOWN": 1, "RIGHT": 2, "UP": 3},
    "CliffWalking": {"UP": 0, "RIGHT": 1, "DOWN": 2, "LEFT": 3},
    "Taxi": {"DOWN": 0, "UP": 1, "RIGHT": 2, "LEFT": 3},
}


def wants_text(env: MeshEnv) -> bool:
    """Whether to make it again with render_mode "ansi"."""
    return "ansi" in env.offers.render_modes


class TextFace:
    """Any environment with discrete actions: its text or its observation, and the actions' numbers as keys.

    With more than ten actions, a number ends with Enter. Raises ConfigError: actions are continuous.
    """

    letters = "0123456789"

    def __init__(self, env: MeshEnv) -> None:
        spaces = env.spaces
        if spaces.action_kind != "discrete":
            raise ConfigError(
                f"{env.app} has {spaces.action_size} continuous actions, which no key stands for, so it cannot be "
                "played by hand; "
                "play one with discrete actions"
            )
        self._env, self._count = env, spaces.action_size
        self._typed = ""
        self._arrows = next((keys for name, keys in ARROWS.items() if name in env.app), {})
        numbers = f"0-{self._count - 1}" + (" and Enter" if self._count > 10 else "")
        self.keys = f"{numbers} act" + ("  arrows move" if self._arrows else "")

    def press(self, key: str) -> int | None:
        """An arrow or a number."""
        if key in self._arrows:
            return self._arrows[key]
        if key == "BACKSPACE":
            self._typed = self._typed[:-1]
        elif key == "ENTER" and self._typed:
            return self._take(self._typed)
        elif key.isdecimal() and key.isascii():
            self._typed += key
            if self._count <= 10:
                return self._take(self._typed)
        return None

    def picture(self, observation: np.ndarray, width: int, height: int, colours: bool) -> list[Line]:
        """The environment's own text, or the observation's numbers."""
        del colours
        rendered: Any = self._env.render() if self._env.render_mode == "ansi" else _numbers(observation, width)
        text = rendered[0] if isinstance(rendered, tuple | list) else rendered  # of the one slot
        return [[Piece(line)] for line in str(text).rstrip().splitlines()[:height]]

    def status(self) -> str:
        """The number that is being typed, and the actions that are allowed now, if not all are."""
        legal = self._env.legal_actions
        allowed = "" if legal is None or legal[0].all() else f"allowed {_ranges(np.flatnonzero(legal[0]))}"
        typed = f"action {self._typed}_" if self._typed else ""
        return "  ".join(part for part in (typed, allowed) if part)

    def verdict(self) -> str:
        """Nobody knows."""
        return ""

    def _take(self, typed: str) -> int | None:
        self._typed = ""
        return int(typed) if int(typed) < self._count else None


def face_of(env: MeshEnv) -> Face:
    """The face of one slot: the one that its metadata name, else a TextFace."""
    own = env.offers.face()
    return own(env) if own is not None else TextFace(env)


def _numbers(observation: np.ndarray, width: int) -> str:
    if observation.size > 1000:
        return f"(an observation of {observation.shape} numbers, too many to show; this environment has no text)"
    return np.array2string(observation, precision=3, suppress_small=True, max_line_width=width)


def _ranges(numbers: np.ndarray) -> str:
    """Whole numbers in short, such as 0-3, 7."""
    parts = np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1)
    return ", ".join(f"{part[0]}" if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts if len(part))
