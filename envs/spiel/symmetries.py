"""Images of a board that are worth the same: what a position's mirror image is, and which move is which in it.

A game names the kind of its symmetries in its metadata, as `symmetry`:

| kind | images | games |
|---|---|---|
| "mirror" | left and right swapped | connect_four |
| "square" | the eight of a square: four quarter turns, and each mirrored | tic_tac_toe, gomoku, go, square mnk |
| "diagonals" | the four of a square that keep its diagonals | othello, whose first position has no others |
| "none" | - | all others |

An image of a game in "square" or "diagonals" is a game. Shape legend: S images, the first one the position itself;
H x W cells; A actions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyspiel

from kaimesh.envs.spiel.seen import tensor_shape

Image = Callable[[np.ndarray], np.ndarray]  # of an array [H, W]

_SQUARE: tuple[Image, ...] = (
    *(lambda cells, turns=turns: np.rot90(cells, turns) for turns in range(4)),
    *(lambda cells, turns=turns: np.rot90(cells, turns)[:, ::-1] for turns in range(4)),
)
KINDS: dict[str, tuple[Image, ...]] = {
    "none": _SQUARE[:1],
    "mirror": (_SQUARE[0], _SQUARE[4]),
    "square": _SQUARE,
    "diagonals": (_SQUARE[0], _SQUARE[2], np.transpose, lambda cells: np.rot90(cells, 2).T),
}


class Symmetries(NamedTuple):
    """cells: int64 `[S, H W]`, which cell of the position is in each cell of its image. moves: int64 `[S, A]`, what
    each action of the position is in its image.
    """

    cells: np.ndarray
    moves: np.ndarray

    def observation(self, image: int, seen: np.ndarray) -> np.ndarray:
        """The image of boards `[..., H, W, C]`."""
        flat = seen.reshape(*seen.shape[:-3], -1, seen.shape[-1])
        return flat[..., self.cells[image], :].reshape(seen.shape)

    def by_action(self, image: int, values: np.ndarray) -> np.ndarray:
        """The image of something that each action has, `[..., A]`, such as whether it is allowed."""
        moved = np.empty_like(values)
        moved[..., self.moves[image]] = values
        return moved


def symmetry_of(game: pyspiel.Game) -> str:
    """The kind of symmetries that a game has."""
    name, shape = game.get_type().short_name, tensor_shape(game)
    if name == "connect_four":
        return "mirror"
    if name in ("tic_tac_toe", "gomoku", "go", "mnk") and len(shape) == 3 and shape[1] == shape[2]:
        return "none" if game.get_parameters().get("handicap") else "square"
    return "diagonals" if name == "othello" else "none"


def symmetries(kind: str, height: int, width: int, actions: int) -> Symmetries:
    """The images of boards of `height` x `width` cells. actions: A; the columns, or the cells row by row and, after
    them, moves that no image changes, such as to pass. Raises ValueError: a board that is no square has no such images.
    """
    if kind in ("square", "diagonals") and height != width:
        raise ValueError(f"a board of {height} x {width} cells has no images of the kind {kind!r}")
    places = np.arange(height * width).reshape(height, width)
    cells = np.stack([image(places).reshape(-1) for image in KINDS[kind]])  # [S, H W]
    moves = np.tile(np.arange(actions), (len(cells), 1))
    for i, come_from in enumerate(cells):
        if actions == width:
            moves[i] = np.argsort(come_from[:width] % width)
        else:
            moves[i, : height * width] = np.argsort(come_from)
    return Symmetries(cells, moves)
