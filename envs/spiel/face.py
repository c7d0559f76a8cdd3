"""A board in a terminal: stones, a cursor, and how the game stands."""

from __future__ import annotations

import numpy as np

from kaimesh.contract.face import Colour, Line, Piece
from kaimesh.envs.interface import MeshEnv
from kaimesh.envs.spiel.boards import EMPTY
from kaimesh.envs.spiel.vector import Spiel

STONES: tuple[Colour, Colour] = (30, 30, 34), (245, 245, 240)
SHADES = ("dark", "light")
WOOD: Colour = (206, 164, 98)
CURSOR: Colour = (110, 170, 220)
LAST: Colour = (200, 70, 50)
_STEPS = {"UP": (-1, 0), "DOWN": (1, 0), "LEFT": (0, -1), "RIGHT": (0, 1)}


class BoardFace:
    """The game of one slot. Arrows move the cursor, Enter or the space bar plays there; digits name a column."""

    def __init__(self, env: MeshEnv) -> None:
        spiel = env.unwrapped
        assert isinstance(spiel, Spiel)
        assert spiel.board is not None, "only games with a board name this face"
        self._spiel, self._board = spiel, spiel.board
        self._row, self._column = (spiel.board.height - 1) // 2, (spiel.board.width - 1) // 2
        by_column = self._board.stones.columns
        self.letters = " " + ("123456789"[: self._board.width] if by_column else "")
        self.letters += "p" if self._board.passes is not None else ""
        self.keys = "arrows, Enter: play" + (f"  1-{min(self._board.width, 9)}: column" if by_column else "")
        self.keys += "  p: pass" if self._board.passes is not None else ""

    def press(self, key: str) -> int | None:
        """A move, or a step of the cursor."""
        board = self._board
        if key in _STEPS:
            rows, columns = _STEPS[key]
            self._row = (self._row + rows) % board.height
            self._column = (self._column + columns) % board.width
            return None
        if key == "p":
            return board.passes
        if board.stones.columns and key in self.letters and key.isdigit():
            return int(key) - 1
        return board.action(self._row, self._column) if key in ("ENTER", " ") else None

    def picture(self, observation: np.ndarray, width: int, height: int, colours: bool) -> list[Line]:
        """The board with its names of rows and columns, as far as there is room."""
        del observation
        board = self._board
        owners = board.owners(self._spiel.seen.tensor(self._spiel.position(0)))
        last = self._last()
        by_column = board.stones.columns
        lines: list[Line] = [[Piece("   " + "".join(f"{name:<2}" for name in board.column_names()))]]
        for row in range(board.height):
            line = [Piece(f"{board.row_name(row):>2} ")]
            for column in range(board.width):
                under = (by_column or row == self._row) and column == self._column
                line.append(self._cell(int(owners[row, column]), under, (row, column) == last, colours))
            lines.append(line)
        return [line[: max((width - 3) // 2 + 1, 1)] for line in lines[:height]]

    def status(self) -> str:
        """Who is to move, by the letter and by the stones' shade, of which the screen shows one."""
        state = self._spiel.position(0)
        if state.is_terminal():
            return ""
        mover = state.current_player()
        return f"player {mover} ({self._board.stones.letters[mover]}, {SHADES[mover]}) to move"

    def verdict(self) -> str:
        """Nobody knows the best result of a game of two."""
        return ""

    def _last(self) -> tuple[int, int] | None:
        """The cell of the newest move, where the move itself names one."""
        history, board = self._spiel.position(0).history(), self._board
        if not history or history[-1] == board.passes or board.stones.columns:
            return None
        row, column = divmod(history[-1], board.width)
        return (board.height - 1 - row if board.stones.upward else row), column

    def _cell(self, owner: int, under: bool, last: bool, colours: bool) -> Piece:
        if not colours:
            letter = "." if owner == EMPTY else self._board.stones.letters[owner]
            return Piece(f"{letter.upper() if last else letter}{'<' if under else ' '}")
        ground = CURSOR if under else WOOD
        if owner == EMPTY:
            return Piece("· ", LAST if last else (120, 90, 50), ground)
        return Piece("◉ " if last else "● ", STONES[owner], ground)
