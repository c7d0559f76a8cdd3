"""A position as a picture: its board, or where nobody said how that looks, OpenSpiel's text."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from kaimesh.envs.spiel.boards import EMPTY, Board
from kaimesh.envs.spiel.seen import Seen

CELL = 32  # pixels
WOOD, LINE = (221, 184, 120), (120, 92, 50)
STONES = ((28, 28, 32), (248, 248, 244))
_TEXT_WIDTH, _TEXT_HEIGHT = 60, 24  # characters
_LETTER = (6, 12)  # pixels of one, before it is doubled


def picture(state: Any, board: Board | None, seen: Seen) -> np.ndarray:
    """uint8 `[H, W, 3]`, of one size for all positions of a game."""
    return _text(str(state)) if board is None else _drawn(board.owners(seen.tensor(state)))


def _drawn(owners: np.ndarray) -> np.ndarray:
    height, width = owners.shape
    image = Image.new("RGB", (width * CELL, height * CELL), WOOD)
    pen = ImageDraw.Draw(image)
    for column in range(width + 1):
        pen.line((column * CELL, 0, column * CELL, height * CELL), LINE)
    for row in range(height + 1):
        pen.line((0, row * CELL, width * CELL, row * CELL), LINE)
    for row, column in np.argwhere(owners != EMPTY).tolist():
        corner = column * CELL + 4, row * CELL + 4
        pen.ellipse((*corner, corner[0] + CELL - 8, corner[1] + CELL - 8), STONES[owners[row, column]], LINE)
    return np.asarray(image)


def _text(text: str) -> np.ndarray:
    image = Image.new("RGB", (_TEXT_WIDTH * _LETTER[0], _TEXT_HEIGHT * _LETTER[1]), WOOD)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default_imagefont()  # whose letters are all of one width
    for row, line in enumerate(text.splitlines()[:_TEXT_HEIGHT]):
        shown = line[:_TEXT_WIDTH].encode("latin-1", "replace").decode("latin-1")  # which are all that it has
        pen.text((0, row * _LETTER[1]), shown, STONES[0], font)
    return np.asarray(image).repeat(2, 0).repeat(2, 1)
