"""Connect Four solved exactly: what each column is worth with perfect play of both sides.

A position is two bitboards, as in John Tromp's and Pascal Pons's solvers (https://blog.gamesolver.org): cell `row` of
`column` is bit 7 * column + row, row 0 at the bottom; row 6 stays empty, so that no line runs into the next column. The
search is negamax with null windows, a transposition table of upper and lower bounds, and the columns in the order of
the threats that they make.

A score counts from the side to move: above 0 it wins, 0 is a draw, below 0 it loses; s > 0 means that it wins with the
s-th of its stones counted from its last one, so that 1 is a win with the very last and quicker wins are worth more.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit

COLUMNS, ROWS = 7, 6
CELLS = COLUMNS * ROWS
_HEIGHT = ROWS + 1
_BOTTOM = sum(1 << _HEIGHT * column for column in range(COLUMNS))
_BOARD = _BOTTOM * ((1 << ROWS) - 1)
_ORDER = tuple(sorted(range(COLUMNS), key=lambda column: abs(column - COLUMNS // 2)))  # from the middle
_SLOTS = (1 << 22) - 3  # of the table, a prime: 38 MB
_WORST = -(CELLS // 2)
_LOWER = CELLS // 2 - 2 * _WORST + 2  # a lower bound b is stored as b + _LOWER, an upper one as b - _WORST + 1; 0: none


class Solver:
    """Scores of positions; its table is kept from one to the next."""

    def __init__(self) -> None:
        self._keys, self._bounds = np.zeros(_SLOTS, np.int64), np.zeros(_SLOTS, np.int8)

    def __call__(self, moves: Sequence[int]) -> np.ndarray:
        """What each column is worth to the side to move, float64 `[7]`; NaN for a full one.

        moves: the columns played so far, 0..6. Raises ValueError: they are no game, or it is over.
        """
        mine, mask = 0, 0
        for column in moves:
            cell = _cell(mask, column) if 0 <= column < COLUMNS else 0
            if not cell or _is_won(mine ^ mask):
                raise ValueError(f"{list(moves)} is no game of Connect Four that goes on: columns are 0..6")
            mine, mask = mine ^ mask, mask | cell
        if _is_won(mine ^ mask):
            raise ValueError(f"{list(moves)}: this game is over")
        scores = np.full(COLUMNS, np.nan)
        for column in range(COLUMNS):
            if cell := _cell(mask, column):
                if _is_won(mine | cell):
                    scores[column] = (CELLS + 1 - len(moves)) // 2
                else:
                    after = (mine ^ mask, mask | cell, len(moves) + 1)
                    scores[column] = -_solve(*after, self._keys, self._bounds)
        return scores


def _cell(mask: int, column: int) -> int:
    """The lowest empty cell of a column; 0: it is full."""
    return (mask + (1 << _HEIGHT * column)) & _BOARD & (((1 << _HEIGHT) - 1) << _HEIGHT * column)


def _is_won(stones: int) -> bool:
    """Whether four of them are in a line."""
    for step in (1, _HEIGHT, _HEIGHT - 1, _HEIGHT + 1):
        pairs = stones & (stones >> step)
        if pairs & (pairs >> 2 * step):
            return True
    return False


@njit(cache=True)
def _wins(stones: int, mask: int) -> int:
    """Empty cells that make a line of four with `stones`."""
    cells = (stones << 1) & (stones << 2) & (stones << 3)
    for step in (_HEIGHT, _HEIGHT - 1, _HEIGHT + 1):
        pairs = (stones << step) & (stones << 2 * step)
        cells |= pairs & ((stones << 3 * step) | (stones >> step))
        pairs = (stones >> step) & (stones >> 2 * step)
        cells |= pairs & ((stones << step) | (stones >> 3 * step))
    return cells & (_BOARD ^ mask)


@njit(cache=True)
def _count(cells: int) -> int:
    found = 0
    while cells:
        cells &= cells - 1
        found += 1
    return found


@njit(cache=True)
def _safe(mine: int, mask: int) -> int:
    """Cells to play after which the other side does not win at once."""
    possible = (mask + _BOTTOM) & _BOARD
    threats = _wins(mine ^ mask, mask)
    forced = possible & threats
    if forced:
        if forced & (forced - 1):
            return 0  # two at once
        possible = forced
    return int(possible & ~(threats >> 1))


@njit(cache=True)
def _bounded(mine: int, mask: int, count: int, low: int, high: int, keys: np.ndarray, bounds: np.ndarray) -> int:
    """The score of a position in which the side to move does not win at once, as far as it is within low..high.

    count: stones on the board. keys int64 and bounds int8 `[_SLOTS]`: the table.
    """
    safe = _safe(mine, mask)
    if not safe:
        return -((CELLS - count) // 2)
    if count >= CELLS - 2:
        return 0
    low = max(low, -((CELLS - 2 - count) // 2))
    most = (CELLS - 1 - count) // 2
    key = mine + mask
    slot = key % _SLOTS
    if keys[slot] == key and bounds[slot]:
        known = int(bounds[slot])
        if known >= _LOWER + _WORST:
            low = max(low, known - _LOWER)
        else:
            most = known + _WORST - 1
    if low >= high:
        return low
    high = min(high, most)
    if low >= high:
        return high
    cells, threats, filled = np.zeros(COLUMNS, np.int64), np.zeros(COLUMNS, np.int64), 0
    for column in _ORDER:
        cell = safe & (((1 << _HEIGHT) - 1) << _HEIGHT * column)
        if cell:
            worth, place = _count(_wins(mine | cell, mask | cell)), filled
            while place and threats[place - 1] < worth:
                cells[place], threats[place] = cells[place - 1], threats[place - 1]
                place -= 1
            cells[place], threats[place] = cell, worth
            filled += 1
    for place in range(filled):
        score = -_bounded(mine ^ mask, mask | cells[place], count + 1, -high, -low, keys, bounds)
        if score >= high:
            keys[slot], bounds[slot] = key, score + _LOWER
            return int(score)
        low = max(low, score)
    keys[slot], bounds[slot] = key, low - _WORST + 1
    return low


@njit(cache=True)
def _solve(mine: int, mask: int, count: int, keys: np.ndarray, bounds: np.ndarray) -> int:
    """The score of any position that is not over, by halving the range in which it can be."""
    if _wins(mine, mask) & (mask + _BOTTOM):
        return (CELLS + 1 - count) // 2
    low, high = -((CELLS - count) // 2), (CELLS + 1 - count) // 2
    while low < high:
        middle = low + (high - low) // 2
        if middle <= 0 and -(-low // 2) < middle:
            middle = -(-low // 2)
        elif middle >= 0 and high // 2 > middle:
            middle = high // 2
        score = _bounded(mine, mask, count, middle, middle + 1, keys, bounds)
        if score <= middle:
            high = score
        else:
            low = score
    return low
