"""What agents see of a position: the game's own tensor as player 0 sees it, and who is to move.

Most tensors of OpenSpiel are absolute: the same for both players, whoever is to move. Some are relative: "my stones,
yours". Of these, too, the one of player 0 is taken at every move, so that a plane always shows the same player; and
every observation has one plane more for each player, which is 1 everywhere where that player is to move.

| the game's tensor | an observation |
|---|---|
| `[C, H, W]`, or gomoku's `[C, H W]` | `[H, W, C + P]`; int8 of 0 and 1 for the games of BINARY, else float32 |
| any other | float32 `[L + P]`, the tensor made flat |

A game of one player has no planes of who is to move. Shape legend: N positions, C planes, H x W cells, P players.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyspiel
from gymnasium.spaces import Box

# Boards whose planes are all 0 or 1.
BINARY = frozenset(
    {
        *("amazons", "breakthrough", "checkers", "clobber", "connect_four", "dots_and_boxes", "go", "gomoku"),
        *("havannah", "hex", "hive", "lines_of_action", "mnk", "nine_mens_morris", "othello", "pentago"),
        *("tic_tac_toe", "twixt", "xiangqi", "y"),
    }
)


class Seen:
    """Makes observations of positions of `game`. space: of one of them."""

    def __init__(self, game: pyspiel.Game) -> None:
        self.name, self.players = game.get_type().short_name, game.num_players()
        self.shape = tensor_shape(game)  # of the game's tensor
        self._observation = pyspiel._Observation(game, game.make_observer({}))
        self._tensor: np.ndarray = np.frombuffer(self._observation, np.float32)  # of the newest position that was set
        self._turns = self.players if self.players > 1 else 0  # planes of who is to move
        self.is_board = len(self.shape) == 3
        shape: tuple[int, ...] = (math.prod(self.shape) + self._turns,)
        if self.is_board:
            planes, height, width = self.shape
            shape = height, width, planes + self._turns
        whole = self.is_board and self.name in BINARY
        self.space = Box(0, 1, shape, np.int8) if whole else Box(-np.inf, np.inf, shape, np.float32)

    def tensor(self, state: Any) -> np.ndarray:
        """The tensor of a position, flat float32; it is overwritten by the next call."""
        self._observation.set_from(state, 0)
        return self._tensor

    @property
    def size(self) -> int:
        """Numbers in a tensor."""
        return len(self._tensor)

    def of(self, tensors: np.ndarray, to_play: np.ndarray) -> np.ndarray:
        """Observations `[N, ...]`. tensors: float32 `[N, size]`. to_play: int `[N]`."""
        count = len(tensors)
        seen = np.empty((count, *self.space.shape), self.space.dtype)
        if self.is_board:
            planes, height, width = self.shape
            seen[..., :planes] = tensors.reshape(count, planes, height, width).transpose(0, 2, 3, 1)
        else:
            seen[:, : self.size] = tensors
        if self._turns:
            turns = to_play[:, None] == np.arange(self.players)  # [N, P]
            seen[..., -self._turns :] = turns[:, None, None] if self.is_board else turns
        return seen


def tensor_shape(game: pyspiel.Game) -> tuple[int, ...]:
    """`[C, H, W]` of a board, else the shape that the game says."""
    shape = tuple(game.observation_tensor_shape())
    parameters = game.get_parameters()
    if game.get_type().short_name == "gomoku" and parameters["dims"] == 2:
        return shape[0], parameters["size"], parameters["size"]
    return shape
