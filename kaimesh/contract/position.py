"""A position of a game that a search can copy and play on in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Self


class Position(Protocol):
    """A position of a game of P players and perfect information. OpenSpiel's `State` has all of these methods."""

    def clone(self) -> Self:
        """A copy of its own."""
        ...

    def apply_action(self, action: int) -> None:
        """Plays a legal action of the player to move."""

    def current_player(self) -> int:
        """Who is to move, 0..P - 1; a negative number where the game is over."""
        ...

    def legal_actions(self) -> Sequence[int]:
        """What the player to move may do, at least one action, unless the game is over."""
        ...

    def is_terminal(self) -> bool:
        """Whether the game is over."""
        ...

    def returns(self) -> Sequence[float]:
        """What each player has got so far, `[P]`."""
        ...
