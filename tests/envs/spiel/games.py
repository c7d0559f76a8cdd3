"""Games of OpenSpiel, played beside the environment that shows them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyspiel

from kaimesh.envs.spiel.vector import Spiel

CONFS: dict[str, dict[str, Any]] = {
    "tic_tac_toe": {},
    "connect_four": {},
    "othello": {},
    "gomoku": {"size": 7, "connect": 4},
    "go": {"board_size": 9},
    "mancala": {},
}


def spiel(name: str, count: int = 1, **more: Any) -> Spiel:
    return Spiel(name, count, **{**CONFS.get(name, {}), **more})


def game(name: str) -> pyspiel.Game:
    return pyspiel.load_game(name, CONFS[name])


def draw(legal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An allowed action of each slot; 0 where there is none."""
    scores = rng.random(legal.shape) * legal
    actions: np.ndarray = scores.argmax(1)
    return actions


def wanted(state: Any, players: int, mover: int) -> np.ndarray:
    """The observation of a board, from the tensor that OpenSpiel gives out as a list."""
    shape = state.get_game().observation_tensor_shape()
    tensor = np.float32(state.observation_tensor(0))
    side = int(np.sqrt(shape[-1])) if len(shape) == 2 else 0
    planes = tensor.reshape((shape[0], side, side) if side else shape)
    if planes.ndim == 1:
        return np.concatenate([planes, np.eye(players)[mover]])
    turns = np.ones((players, *planes.shape[1:])) * np.eye(players)[mover][:, None, None]
    return np.moveaxis(np.concatenate([planes, turns]), 0, -1)
