"""An episode of a game as data, which the game's own JavaScript draws on a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol


class Story(Protocol):
    """The episode of one slot as K moments: one after the reset, and one after each step.

    columns: the columns of a table with a row for each moment, `[K]` by label. events: (moment, text).
    script: the JavaScript file that draws `data`.
    """

    columns: dict[str, list[Any]]
    events: list[tuple[int, str]]
    script: Path

    def note(self, action: int | None = None) -> None:
        """Records the current moment. action: the one that led to it; None: a reset did."""

    def data(self) -> dict[str, Any]:
        """The data that the script draws, as JSON."""
        ...
