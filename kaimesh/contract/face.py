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
    """One slot of an environment, as a person sees and steers it.

    keys: what the keys mean, in a line. letters: the characters among them; the terminal has no other meaning for those.
    """

    keys: str
    letters: str

    def press(self, key: str) -> int | None:
        """The action of a key: a character, or UP, DOWN, LEFT, RIGHT, ENTER, BACKSPACE; None: it is none (yet)."""

    def picture(self, observation: np.ndarray, width: int, height: int, colours: bool) -> list[Line]:
        """At most `height` lines of `width` columns. observation: the newest, as the agents get it."""
        ...

    def status(self) -> str:
        """A line on where the episode stands; "" if there is nothing to say."""
        ...

    def verdict(self) -> str:
        """What could have been reached, told at the end; "" if nobody knows."""
        ...
