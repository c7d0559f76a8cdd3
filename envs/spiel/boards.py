"""Games with a board as people know it: a stone of one player, or none, in each cell, and moves that name a cell.

Shape legend: H x W cells.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyspiel

from kaimesh.envs import interface
from kaimesh.envs.spiel.seen import tensor_shape

EMPTY = -1
PARTS = {  # of the metadata of an environment that has a board
    interface.FACE: "kaimesh.envs.spiel.face:BoardFace",
    interface.STORY: "kaimesh.envs.spiel.story:Story",
}


class Stones(NamedTuple):
    """How a game's tensor shows its stones.

    planes: of the tensor, by player. letters: by player. upward: True: row 0 is the lowest one. columns: True: an
    action is a column. from_above: True: people number the rows from the uppermost one.
    """

    planes: tuple[int, int]
    letters: str
    upward: bool = False
    columns: bool = False
    from_above: bool = False


GAMES = {
    "tic_tac_toe": Stones((2, 1), "xo"),
    "connect_four": Stones((0, 1), "xo", upward=True, columns=True),
    "othello": Stones((1, 2), "xo", from_above=True),
    "gomoku": Stones((0, 1), "xo"),
    "mnk": Stones((2, 1), "xo"),
    "go": Stones((0, 1), "xo", upward=True),
}


class Board(NamedTuple):
    """One game's board of `height` x `width` cells. passes: the action that passes; None: there is none."""

    height: int
    width: int
    stones: Stones
    passes: int | None

    def owners(self, tensor: np.ndarray) -> np.ndarray:
        """Whose stone is in each cell, int8 `[H, W]`, 0 or 1, or EMPTY; the uppermost row first.

        tensor: of player 0, flat.
        """
        planes = tensor.reshape(-1, self.height, self.width)
        first, second = (planes[plane] > 0 for plane in self.stones.planes)
        owners = np.where(first, 0, np.where(second, 1, EMPTY)).astype(np.int8)
        return owners[::-1] if self.stones.upward else owners

    def action(self, row: int, column: int) -> int:
        """The move to a cell, from the uppermost row."""
        if self.stones.columns:
            return column
        return (self.height - 1 - row if self.stones.upward else row) * self.width + column

    def name(self, action: int) -> str:
        """A move as people write it: "c4", a column alone, or "pass"."""
        if action == self.passes:
            return "pass"
        if self.stones.columns:
            return str(action + 1)
        row, column = divmod(action, self.width)
        return f"{column_name(column)}{self.row_name(self.height - 1 - row if self.stones.upward else row)}"

    def row_name(self, row: int) -> str:
        """The number of a row, from the uppermost one; "" where moves name no rows."""
        return "" if self.stones.columns else str(row + 1 if self.stones.from_above else self.height - row)

    def column_names(self) -> list[str]:
        """Letters; numbers where moves are columns."""
        return [str(column + 1) if self.stones.columns else column_name(column) for column in range(self.width)]


def column_name(column: int) -> str:
    """Letters: a to z, then aa, ab and so on."""
    high, low = divmod(column, 26)
    return (chr(ord("a") + high - 1) if high else "") + chr(ord("a") + low)


def board_of(game: pyspiel.Game) -> Board | None:
    """Its board; None: nobody said how it looks."""
    stones, shape = GAMES.get(game.get_type().short_name), tensor_shape(game)
    if stones is None or len(shape) != 3 or not absolute(game):
        return None
    _, height, width = shape
    more = not stones.columns and game.num_distinct_actions() > height * width
    return Board(height, width, stones, height * width if more else None)


def absolute(game: pyspiel.Game) -> bool:
    """Whether the planes of player 0 are always those of the same player."""
    parameters: dict[str, Any] = game.get_parameters()
    return not parameters.get("egocentric_obs_tensor", False)


def is_standard_connect_four(game: pyspiel.Game) -> bool:
    """Whether it is Connect Four of 6 rows and 7 columns, which envs/spiel/connect_four solves."""
    parameters = game.get_parameters()
    size = tuple(parameters.get(name) for name in ("rows", "columns", "x_in_row"))
    return game.get_type().short_name == "connect_four" and size == (6, 7, 4)
