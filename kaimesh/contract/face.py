"""What an environment shows to a person in a terminal, and what the keys mean."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

Colour = tuple[int, int, int]


class Piece(NamedTuple):
    """Part of a line. text: may contain escape sequences for colours. colour, ground: of the letters and behind them;
    None: the terminal's own."""

    text: str
    colour: Colour | None = None
    ground: Colour | None = None


Line = list[Piece]


class Face(Protocol):
    """One slot of an environment, as a person sees and controls it in a terminal.

    keys: one line that says what the keys do. letters: the characters that are keys of the game; the terminal program
    then uses them for nothing else.
    """

    keys: str
    letters: str

    def press(self, key: str) -> int | None:
        """The action for a key (a character, or UP, DOWN, LEFT, RIGHT, ENTER, BACKSPACE); None: the key is no action,
        or only the first key of one."""

    def picture(self, observation: np.ndarray, width: int, height: int, colours: bool) -> list[Line]:
        """At most `height` lines of `width` columns. observation: the newest one, as agents get it."""
        ...

    def status(self) -> str:
        """One line about the state of the episode, or an empty string."""
        ...

    def verdict(self) -> str:
        """One line for the end of an episode: the best possible result; "" if it is unknown."""
        ...
