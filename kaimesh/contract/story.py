"""An episode of a game as data, which a script of the game's draws on a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol


class Story(Protocol):
    """One slot's episode, of K moments: after the reset, and after each step.

    columns: by label, what a table says of each moment `[K]`. events: (moment, words). script: the file of JavaScript that draws `data`.
    """

    columns: dict[str, list[Any]]
    events: list[tuple[int, str]]
    script: Path

    def note(self, action: int | None = None) -> None:
        """Takes what is there now, after `action`; after the reset without one."""

    def data(self) -> dict[str, Any]:
        """What the script draws, as JSON."""
        ...
