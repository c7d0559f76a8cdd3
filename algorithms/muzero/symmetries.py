"""The symmetries of a board, as tables of permutations: a position and its image are worth the same.

Shape legend: S symmetries, the first one the identity; H, W height and width of the board; A actions; B rows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from kaimesh.contract.spaces import Spaces

_Image = Callable[[np.ndarray], np.ndarray]


def _turned(turns: int, mirrored: bool) -> _Image:
    return lambda board: np.rot90(board[:, ::-1] if mirrored else board, turns)


_MIRRORS = (_turned(0, False), _turned(0, True))
_SQUARE = tuple(_turned(turns, mirrored) for mirrored in (False, True) for turns in range(4))


class Symmetries(NamedTuple):
    """cells: int64 `[S, H W]`, the cell that comes to each place. actions: int64 `[S, A]`, the action whose probability
    comes to each place. places: int64 `[S, A]`, where each action goes to: the inverse of `actions`.
    """

    cells: np.ndarray
    actions: np.ndarray
    places: np.ndarray

    def board(self, which: np.ndarray, planes: np.ndarray) -> np.ndarray:
        """The images `[B, H, W, C]` of boards, by the symmetries `which` int `[B]`."""
        cells = planes.reshape(len(planes), -1, planes.shape[-1])  # [B, H W, C]
        image: np.ndarray = cells[np.arange(len(cells))[:, None], self.cells[which]]
        return image.reshape(planes.shape)

    def policy(self, which: np.ndarray, policy: np.ndarray) -> np.ndarray:
        """The images `[B, K, A]` of policies."""
        return np.take_along_axis(policy, self.actions[which][:, None, :], 2)

    def action(self, which: np.ndarray, action: np.ndarray) -> np.ndarray:
        """The images int32 `[B, K]` of actions."""
        image: np.ndarray = self.places[which[:, None], action]
        return image.astype(np.int32)


@cache
def symmetries(spaces: Spaces, name: str) -> Symmetries | None:
    """The symmetries that config.symmetries names; None: "none".

    Raises ValueError: observations are no board `[H, W, C]`, or its actions are neither cells (one more may pass) nor,
    with "mirror", columns; or it is no square, with "square".
    """
    if name == "none":
        return None
    shape, count = spaces.obs_shape, spaces.action_size
    height, width = (shape[0], shape[1]) if len(shape) == 3 else (0, 0)
    by_column = name == "mirror" and count == width
    if not height or not (by_column or count - height * width in (0, 1)) or (name == "square" and height != width):
        raise ValueError(
            f"symmetries = {name!r} with observations {list(shape)} and {count} actions: it is not known which cell or "
            "column each action belongs to, so no position could be mirrored. Set symmetries = 'none'."
        )
    places = np.arange(height * width).reshape(height, width)
    cells = np.stack([image(places).reshape(-1) for image in (_MIRRORS if name == "mirror" else _SQUARE)])
    if by_column:
        actions = np.stack([np.arange(count), np.arange(count)[::-1]])
    else:
        passes = np.full((len(cells), count - height * width), height * width)
        actions = np.concatenate([cells, passes], 1)
    return Symmetries(cells, actions, np.argsort(actions, 1))
