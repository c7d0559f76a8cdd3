"""Which images of a board MuZero learns from: a position and its image are worth the same."""

from __future__ import annotations

from functools import cache

from kaimesh.contract import symmetry
from kaimesh.contract.spaces import Spaces
from kaimesh.contract.symmetry import Symmetries, contradicts

AUTO = "auto"


@cache
def symmetries(spaces: Spaces, name: str) -> Symmetries | None:
    """The symmetries that config.symmetries names, or the game itself with AUTO; None: it has none.

    Raises ValueError: the game declares others; or observations are no board `[H, W, C]`, or its actions are neither
    cells (one more may pass) nor, with "mirror", columns; or it is no square, with "square" and "diagonals".
    """
    if name == AUTO:
        name = spaces.symmetry or "none"
    if name == "none":
        return None
    if contradicts(name, spaces.symmetry):
        raise ValueError(
            f"symmetries = {name!r}, but the game declares {spaces.symmetry!r}: positions would be learned from whose "
            "images are worth something else. Set symmetries = 'auto', which takes the game's own."
        )
    shape, count = spaces.obs_shape, spaces.action_size
    height, width = (shape[0], shape[1]) if len(shape) == 3 else (0, 0)
    by_column = name == "mirror" and count == width
    by_cell = count - height * width in (0, 1)
    if not height or not (by_column or by_cell) or (name != "mirror" and height != width):
        raise ValueError(
            f"symmetries = {name!r} with observations {list(shape)} and {count} actions: it is not known which cell or "
            "column each action belongs to, so no position could be mirrored. Set symmetries = 'none'."
        )
    return symmetry.symmetries(name, height, width, count)
