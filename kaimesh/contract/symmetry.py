"""Images of a board that are worth the same: what a position's mirror image is, and which move is which in it.

A game names the kind of its symmetries in its metadata, as `symmetry`, and a network finds it in its Spaces:

| kind | images | games |
|---|---|---|
| "mirror" | left and right swapped | connect_four |
| "square" | the eight of a square: four quarter turns, and each mirrored | tic_tac_toe, gomoku, go, square mnk |
| "diagonals" | the four of a square that keep its diagonals | othello, whose first position has no others |
| "none" | - | all others |

"" is said by an environment that says nothing.

An image of a game in "square" or "diagonals" is a game. Shape legend: S images, the first one the position itself;
H x W cells; A actions; B rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

UNSAID = ""
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
_IMPLIED = {"square": ("mirror", "diagonals")}  # kinds whose images are all among those of another


class Symmetries(NamedTuple):
    """cells: int64 `[S, H W]`, which cell of the position is in each cell of its image. moves: int64 `[S, A]`, what
    each action of the position is in its image. sources: int64 `[S, A]`, the action of the position that each action of
    the image is: the inverse of `moves`.
    """

    cells: np.ndarray
    moves: np.ndarray
    sources: np.ndarray

    def board(self, which: np.ndarray, planes: np.ndarray) -> np.ndarray:
        """The images `[B, H, W, C]` of boards. which: int `[B]`, the image of each."""
        cells = planes.reshape(len(planes), -1, planes.shape[-1])  # [B, H W, C]
        image: np.ndarray = cells[np.arange(len(cells))[:, None], self.cells[which]]
        return image.reshape(planes.shape)

    def by_action(self, which: np.ndarray, values: np.ndarray) -> np.ndarray:
        """The images of something that each action has, `[B, K, A]`, such as a policy."""
        return np.take_along_axis(values, self.sources[which][:, None, :], 2)

    def action(self, which: np.ndarray, action: np.ndarray) -> np.ndarray:
        """The images int32 `[B, K]` of actions."""
        image: np.ndarray = self.moves[which[:, None], action]
        return image.astype(np.int32)


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
    return Symmetries(cells, moves, np.argsort(moves, 1))


def contradicts(kind: str, declared: str) -> bool:
    """Whether a game that declares `declared` has not all images of `kind`. UNSAID contradicts nothing."""
    return kind not in ("none", declared, *_IMPLIED.get(declared, ())) and declared != UNSAID
