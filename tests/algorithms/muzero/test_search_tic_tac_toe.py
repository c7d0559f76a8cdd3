"""The search with a perfect model of tic-tac-toe, uniform priors and values of 0, against minimax."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from kaimesh.algorithms.muzero.search.rule import Rule
from kaimesh.algorithms.muzero.search.searching import Root, Search, Step

LINES = np.array([(0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6)])
LEAST = np.finfo(np.float32).min

Board = tuple[int, ...]  # of each square: 0, or 1 + the player; the tenth: who moves


def won(cells: Board, player: int) -> bool:
    return any(all(cells[i] == 1 + player for i in line) for line in LINES)


def after(board: Board, move: int) -> Board:
    cells = list(board)
    cells[move], cells[9] = 1 + board[9], (board[9] + 1) % 2
    return tuple(cells)


@cache
def outcome(board: Board) -> int:
    """Of the one who moves, with the best play of both: 1, 0, -1."""
    if won(board, (board[9] + 1) % 2):
        return -1
    moves = [move for move in range(9) if not board[move]]
    return max((-outcome(after(board, move)) for move in moves), default=0)


def positions() -> list[Board]:
    """All that can come up and are not over."""
    found: dict[Board, None] = {}
    front = [(0,) * 10]
    while front:
        board = front.pop()
        if board not in found and not won(board, 0) and not won(board, 1) and 0 in board[:9]:
            found[board] = None
            front += [after(board, move) for move in range(9) if not board[move]]
    return list(found)


def model(latent: np.ndarray, action: np.ndarray) -> Step:
    """The rules. A game that is over goes on for ever, with rewards and values of 0."""
    rows = np.arange(len(latent))
    cells, mover = latent[:, :9].astype(int), latent[:, 9].astype(int)
    over = over_of(cells)
    cells[rows, action] = np.where(over, cells[rows, action], 1 + mover)
    winner = (cells[:, LINES] == 1 + mover[:, None, None]).all(2).any(1) & ~over
    reward = np.where(winner[:, None], np.where(mover[:, None] == np.arange(2), 1.0, -1.0), 0.0)
    behind = np.concatenate([cells, ((mover + 1) % 2)[:, None]], 1)
    return Step(behind, reward, logits_of(cells), np.zeros((len(rows), 2)), behind[:, 9])


def over_of(cells: np.ndarray) -> np.ndarray:
    lines = cells[:, LINES]  # [B, 8, 3]
    return ((lines > 0) & (lines == lines[..., :1])).all(2).any(1) | (cells > 0).all(1)


def logits_of(cells: np.ndarray) -> np.ndarray:
    return np.where((cells > 0) & ~over_of(cells)[:, None], LEAST, 0).astype(np.float32)


def choices(boards: list[Board], rule: Rule) -> np.ndarray:
    cells = np.array(boards)
    root = Root(cells, logits_of(cells[:, :9]), np.zeros((len(cells), 2)), cells[:, :9] == 0, cells[:, 9])
    return Search(rule, 9, 2, (10,), len(cells)).of_model(root, model).action


@pytest.mark.parametrize(
    ("normalise", "part"),
    [("bounds", 5), *(pytest.param(name, 1, marks=pytest.mark.long) for name in ("bounds", "tree"))],
)
def test_nearly_all_moves_are_those_of_minimax_and_none_loses_at_once(normalise: str, part: int) -> None:
    """part: every so many positions."""
    boards = positions()[::part]
    assert len(boards) == 4520 // part
    moves = choices(boards, Rule(200, normalise=normalise, discount=1.0))
    right = [-outcome(after(board, move)) == outcome(board) for board, move in zip(boards, moves, strict=True)]
    assert np.mean(right) >= 0.96
    assert not [board for board, move in zip(boards, moves, strict=True) if loses_at_once(board, move)]


def loses_at_once(board: Board, move: int) -> bool:
    """Whether the other one can win with the next move, though a different move would have prevented it."""
    risky = [move for move in range(9) if not board[move] and wins_next(after(board, move))]
    free = [move for move in range(9) if not board[move] and move not in risky]
    return bool(free) and move in risky


def wins_next(board: Board) -> bool:
    if won(board, (board[9] + 1) % 2):
        return False
    return any(won(after(board, move), board[9]) for move in range(9) if not board[move])
