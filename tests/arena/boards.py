"""Games of several players with rules of their own, and agents that play them without training."""

from __future__ import annotations

import functools
import itertools
from typing import Any, ClassVar, Self

import gymnasium
import numpy as np

from tests.arena.fake import VectorisedAgent

Cells = tuple[int, ...]  # of tic-tac-toe, row by row: -1 where it is empty, else whose stone there is
EMPTY: Cells = (-1,) * 9
LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))


@functools.cache
def winner(cells: Cells) -> int | None:
    """Who has three in a line."""
    return next((cells[a] for a, b, c in LINES if cells[a] == cells[b] == cells[c] >= 0), None)


@functools.cache
def free(cells: Cells) -> list[int]:
    """The fields that may be taken."""
    return [] if winner(cells) is not None else [field for field, owner in enumerate(cells) if owner < 0]


def mover(cells: Cells) -> int:
    """Whose turn it is."""
    return (9 - cells.count(-1)) % 2


def put(cells: Cells, field: int) -> Cells:
    """After a move."""
    return (*cells[:field], mover(cells), *cells[field + 1 :])


@functools.cache
def value(cells: Cells) -> int:
    """For player 0, with perfect play of both: 1, 0 or -1."""
    if (won := winner(cells)) is not None:
        return 1 if won == 0 else -1
    values = [value(put(cells, field)) for field in free(cells)]
    return (max if mover(cells) == 0 else min)(values, default=0)


def best(cells: Cells) -> list[int]:
    """Every move that keeps the value."""
    return [field for field in free(cells) if value(put(cells, field)) == value(cells)]


class Stand:
    """A kaimesh.contract.position.Position of tic-tac-toe."""

    def __init__(self, cells: Cells = EMPTY) -> None:
        self.cells = cells

    def clone(self) -> Self:
        return type(self)(self.cells)

    def apply_action(self, action: int) -> None:
        assert action in free(self.cells)
        self.cells = put(self.cells, action)

    def current_player(self) -> int:
        return mover(self.cells) if free(self.cells) else -4

    def legal_actions(self) -> list[int]:
        return free(self.cells)

    def is_terminal(self) -> bool:
        return not free(self.cells)

    def returns(self) -> list[float]:
        won = winner(self.cells)
        return [0.0, 0.0] if won is None else [1.0 if won == player else -1.0 for player in (0, 1)]


class Silent(gymnasium.Env):
    """Tic-tac-toe; it does not show its position."""

    metadata: ClassVar = {"render_modes": ["ansi", "rgb_array"], "legal_actions": True, "players": 2, "render_fps": 2}
    observation_space = gymnasium.spaces.Box(0, 1, (3, 3, 3), np.int8)
    action_space = gymnasium.spaces.Discrete(9)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.stand = Stand()

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.stand = Stand()
        return self._observation(), self._info([0.0, 0.0])

    def step(self, action: Any) -> Any:
        player = self.stand.current_player()
        self.stand.apply_action(int(action))
        got = self.stand.returns()
        return self._observation(), got[player], self.stand.is_terminal(), False, self._info(got)

    def render(self) -> Any:
        marks = ["xo."[owner] for owner in self.stand.cells]
        if self.render_mode == "ansi":
            return "\n".join("".join(marks[row : row + 3]) for row in (0, 3, 6))
        picture = (np.array(self.stand.cells) + 1).astype(np.uint8).reshape(3, 3, 1) * np.uint8(90)
        return np.repeat(np.kron(picture, np.ones((10, 10, 1), np.uint8)), 3, axis=2)

    def _observation(self) -> np.ndarray:
        cells = np.array(self.stand.cells).reshape(3, 3)
        planes = (cells == 0, cells == 1, np.full((3, 3), mover(self.stand.cells)))
        return np.stack(planes, axis=-1).astype(np.int8)

    def _info(self, rewards: list[float]) -> dict[str, Any]:
        legal = [not self.stand.is_terminal() and owner < 0 for owner in self.stand.cells]
        return {
            "legal_act": np.array(legal),
            "to_play": mover(self.stand.cells),
            "rewards": np.array(rewards, np.float32),
        }


class TicTacToe(Silent):
    """Shows its position, and offers exact play."""

    metadata: ClassVar = {**Silent.metadata, "exact": "tests.arena.boards:Exact"}

    def position(self) -> Stand:
        return self.stand


class Exact:
    """Perfect play."""

    def __call__(self, moves: Any) -> np.ndarray:
        cells = functools.reduce(put, moves, EMPTY)
        sign = 1 if mover(cells) == 0 else -1
        return np.array([sign * value(put(cells, field)) if field in free(cells) else np.nan for field in range(9)])


class Chancy(Silent):
    """A field is blocked, which one depends on the seed."""

    def _info(self, rewards: list[float]) -> dict[str, Any]:
        info = super()._info(rewards)
        if info["legal_act"].sum() > 1:
            blocked = np.random.default_rng(self.np_random_seed).integers(9)
            info["legal_act"] &= np.arange(9) != blocked
        return info


class Moody(Silent):
    """Each object ends its games after other numbers of moves."""

    patience = itertools.count(4)

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self._patience = next(self.patience)

    def step(self, action: Any) -> Any:
        observation, reward, over, cut, info = super().step(action)
        return observation, reward, over, cut or 9 - self.stand.cells.count(-1) >= self._patience, info


class Heap:
    """A position of: P players in turn take one or two of a heap; who takes the last one pays 1 to each of the others.

    Who takes two moves again.
    """

    def __init__(self, left: int, players: int = 3, turn: int = 0) -> None:
        self.left, self.players, self.turn, self.loser = left, players, turn, -1

    def clone(self) -> Self:
        copy = type(self)(self.left, self.players, self.turn)
        copy.loser = self.loser
        return copy

    def apply_action(self, action: int) -> None:
        self.left -= action + 1
        if not self.left:
            self.loser = self.turn
        elif action == 0:
            self.turn = (self.turn + 1) % self.players

    def current_player(self) -> int:
        return self.turn if self.left else -4

    def legal_actions(self) -> list[int]:
        return [action for action in (0, 1) if action < self.left]

    def is_terminal(self) -> bool:
        return not self.left

    def returns(self) -> list[float]:
        if self.loser < 0:
            return [0.0] * self.players
        return [1.0 - self.players if player == self.loser else 1.0 for player in range(self.players)]


class Heaps(gymnasium.Env):
    """The game of Heap with three players."""

    metadata: ClassVar = {"render_modes": [], "legal_actions": True, "players": 3}
    observation_space = gymnasium.spaces.Box(0, 10, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.heap = Heap(7)
        return self._seen()

    def step(self, action: Any) -> Any:
        player = self.heap.turn
        self.heap.apply_action(int(action))
        observation, info = self._seen()
        return observation, self.heap.returns()[player], self.heap.is_terminal(), False, info

    def position(self) -> Heap:
        return self.heap

    def _seen(self) -> tuple[np.ndarray, dict[str, Any]]:
        legal = np.isin(np.arange(2), self.heap.legal_actions())
        info = {"legal_act": legal, "to_play": self.heap.turn, "rewards": np.array(self.heap.returns(), np.float32)}
        return np.array([self.heap.left, self.heap.turn], np.float32), info


class Master(VectorisedAgent):
    """Plays tic-tac-toe: model 1 perfectly, model 2 with one mistake, model 3 the first field that is free; model 4
    does not look what is free.

    Checks the columns that it gets.
    """

    asked: ClassVar[list[int]] = []  # rows of each question

    def exploit(self, list_obs_data: Any) -> Any:
        columns = list_obs_data.columns
        self.asked.append(len(list_obs_data))
        boards = [cells_of(planes) for planes in columns["obs"]]
        assert columns["to_play"].dtype == np.int8
        assert columns["to_play"].tolist() == [mover(cells) for cells in boards]
        return {"action": np.array([choice(self.number, cells) for cells in boards])}


class Counting(Master):
    """A Master that remembers how many moves it has made, and checks it."""

    def initial_state(self, count: int) -> dict[str, np.ndarray]:
        return {"made": np.zeros(count, np.int32)}

    def exploit(self, list_obs_data: Any) -> Any:
        made = list_obs_data.columns["made"]
        stones = [9 - cells_of(planes).count(-1) for planes in list_obs_data.columns["obs"]]
        assert made.tolist() == [count // 2 for count in stones]
        return {**super().exploit(list_obs_data), "made": made + 1}


def cells_of(planes: np.ndarray) -> Cells:
    """The board that an observation shows."""
    first, second = planes[..., 0].ravel(), planes[..., 1].ravel()
    return tuple((0 if x else 1 if o else -1) for x, o in zip(first, second, strict=True))


# Player 0 has two opposite corners and player 1 the middle: of the fields that are free, a third corner loses.
MISTAKE: tuple[Cells, int] = (put(put(put(EMPTY, 0), 4), 8), 2)


def choice(number: int, cells: Cells) -> int:
    """The field that a Master with that model takes."""
    if number == 4:
        return 0
    if number == 3:
        return free(cells)[0]
    if number == 2 and cells == MISTAKE[0]:
        return MISTAKE[1]
    return best(cells)[0] if cells != EMPTY else 4
