"""A played game as plain data: whose stones lay where after each move. story.js draws it in a browser.

Shape legend: K moments, the first one before the first move; H x W cells.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kaimesh.envs.interface import MeshEnv
from kaimesh.envs.spiel.boards import EMPTY
from kaimesh.envs.spiel.vector import Spiel


class Story:
    """Call `note` after the reset, and after every move with its action."""

    script = Path(__file__).parent / "story.js"

    def __init__(self, env: MeshEnv) -> None:
        spiel = env.unwrapped
        assert isinstance(spiel, Spiel)
        assert spiel.board is not None, "only games with a board name this story"
        self._spiel, self._board = spiel, spiel.board
        self._boards: list[str] = []
        self._changed: list[list[int]] = []
        self._mover = 0
        self.columns: dict[str, list[Any]] = {}
        self.events: list[tuple[int, str]] = []

    def note(self, action: int | None = None) -> None:
        """What is there now."""
        state, board, k = self._spiel.position(0), self._board, len(self._boards)
        owners = board.owners(self._spiel.seen.tensor(state)).reshape(-1)
        letters = "".join("." if owner == EMPTY else str(owner) for owner in owners.tolist())
        before = self._boards[-1] if self._boards else letters
        self._boards.append(letters)
        self._changed.append([i for i, (old, new) in enumerate(zip(before, letters, strict=True)) if old != new])
        said = "" if action is None else f"player {self._mover}: {board.name(action)}"
        if taken := sum(old != "." and new == "." for old, new in zip(before, letters, strict=True)):
            self.events.append((k, f"{k}: {said} takes {taken}"))
        if action is not None and action == board.passes:
            self.events.append((k, f"{k}: {said}"))
        over = state.is_terminal()
        self._mover = self._mover if over else state.current_player()
        if over:
            self.events.append((k, f"{k}: {self._verdict(state.returns())}"))
        counts = [letters.count(str(player)) for player in range(2)]
        row: dict[str, Any] = {"move": f"{k}", "played": said, "to move": "" if over else f"player {self._mover}"}
        row |= {f"stones of player {player}": count for player, count in enumerate(counts)}
        for label, value in row.items():
            self.columns.setdefault(label, []).append(value)

    def data(self) -> dict[str, Any]:
        """What story.js draws: boards, a text of H W letters for each moment, the uppermost row first, "." an empty
        cell; changed, the numbers of the cells that are different from the moment before; names of rows and columns.
        """
        board = self._board
        return {
            "height": board.height,
            "width": board.width,
            "boards": self._boards,
            "changed": self._changed,
            "rows": [board.row_name(row) for row in range(board.height)],
            "columns": board.column_names(),
        }

    def _verdict(self, returns: list[float]) -> str:
        best = max(returns)
        winners = [player for player, earned in enumerate(returns) if earned == best]
        return "a draw" if len(winners) > 1 else f"player {winners[0]} wins"
