"""A position as a picture: its board, or where nobody said how that looks, OpenSpiel's text."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from kaimesh.envs.spiel.boards import EMPTY, Board
from kaimesh.envs.spiel.seen import Seen

CELL = 32  # pixels
WOOD, LINE = (221, 184, 120), (120, 92, 50)
STONES = ((28, 28, 32), (248, 248, 244))
_TEXT_WIDTH, _TEXT_HEIGHT = 80, 24  # characters


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
    font = _font()
    wide, high = int(font.getlength("M")) + 1, 16
    image = Image.new("RGB", (_TEXT_WIDTH * wide, _TEXT_HEIGHT * high), WOOD)
    shown = "\n".join(line[:_TEXT_WIDTH] for line in text.splitlines()[:_TEXT_HEIGHT])
    ImageDraw.Draw(image).multiline_text((4, 4), shown, STONES[0], font)
    return np.asarray(image)


@cache
def _font() -> Any:
    return ImageFont.load_default(12)
