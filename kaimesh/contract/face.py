"""What an environment shows to a person in a terminal, and what the keys mean."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

Colour = tuple[int, int, int]


class Piece(NamedTuple):
    """Part of a line. `text` may hold escape sequences for colours; None: the terminal's own colour."""

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
        """The action for a key (a character, or UP, DOWN, LEFT, RIGHT, ENTER, BACKSPACE); None: no action yet."""

    def picture(self, observation: np.ndarray, width: int, height: int, colours: bool) -> list[Line]:
        """At most `height` lines of `width` columns. observation: the newest, as the agents get it."""
        ...

    def status(self) -> str:
        """One line about the state of the episode; "" if there is nothing to say."""
        ...

    def verdict(self) -> str:
        """One line for the end of an episode: the best result that was possible; "" if that is not known."""
        ...
