"""Which images of its board are the same game, for a game of OpenSpiel (kaimesh/contract/symmetry has the kinds)."""

from __future__ import annotations

import pyspiel

from kaimesh.envs.spiel.seen import tensor_shape


def symmetry_of(game: pyspiel.Game) -> str:
    """The kind of symmetries that a game has."""
    name, shape = game.get_type().short_name, tensor_shape(game)
    if name == "connect_four":
        return "mirror"
    if name in ("tic_tac_toe", "gomoku", "go", "mnk") and len(shape) == 3 and shape[1] == shape[2]:
        return "none" if game.get_parameters().get("handicap") else "square"
    return "diagonals" if name == "othello" else "none"
