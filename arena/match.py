"""Plays games between a model and an opponent who sits in all other seats.

Each side has a board of its own: an environment with the same seed, on which every move of the game is made. So each
side sees the game through its own features, and one that searches has its own position.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kaimesh.arena.episodes import AT_ONCE, Player, VectorisedPlay, Watch
from kaimesh.arena.openings import Fixture
from kaimesh.arena.standings import Result
from kaimesh.contract.arrays import Batch
from kaimesh.contract.errors import EnvContractError

MODEL, OPPONENT = 0, 1  # the sides


class Table:
    """One game. sides: the model and the opponent. over: whether it has ended.

    Raises EnvContractError: the same moves led to different games on the two boards.
    """

    def __init__(self, fixture: Fixture, sides: Sequence[Player]) -> None:
        self._fixture, self.over = fixture, False
        self._plies: list[int] = []  # the model's
        self.boards: list[VectorisedPlay] = []
        for side in sides:
            self.boards.append(side.start(fixture.seed))
        for action in fixture.opening:
            self._check({board.follow(action) for board in self.boards})

    @property
    def side(self) -> int:
        """Whose turn it is, MODEL or OPPONENT."""
        return MODEL if self.boards[MODEL].to_play == self._fixture.seat else OPPONENT

    @property
    def length(self) -> int:
        """Plies so far."""
        return self.boards[MODEL].length

    def step(self, act: Batch) -> None:
        """A ply of the side whose turn it is. act: its answer."""
        side = self.side
        if side == MODEL:
            self._plies.append(self.length)
        action = act.columns["action"][0].copy()
        self._check({board.step(act) if k == side else board.follow(action) for k, board in enumerate(self.boards)})

    def result(self, cut: bool) -> Result:
        """What came out. cut: the game had the most plies allowed."""
        board, seat = self.boards[MODEL], self._fixture.seat
        episode = board.episode()._replace(score=float(board.returns[seat]), cut=cut)
        return Result(seat, board.returns, tuple(self._plies), episode)

    def close(self) -> None:
        """Closes the boards."""
        for board in self.boards:
            board.close()

    def _check(self, over: set[bool]) -> None:
        if len(over) > 1 or (over == {False} and len({board.to_play for board in self.boards}) > 1):
            env = self.boards[MODEL].env
            raise EnvContractError(
                f"{env.app} went on differently on two boards after the same seed {self._fixture.seed} and the same "
                f"{self.length} actions, so no game can be played against an opponent. Let chance in it depend on "
                "reset's seed alone."
            )
        self.over = over.pop()


def play(
    model: Player, opponent: Player, fixtures: Sequence[Fixture], most_steps: int, watch: Watch = lambda steps: None
) -> Iterator[Result]:
    """Plays every game, AT_ONCE of them at the same time; yields each result when its game is over.

    model, opponent: of VectorisedPlays. most_steps: a game is cut after so many plies; 0: never. watch: see there.
    """
    waiting = iter(fixtures)
    sides = (model, opponent)
    tables: list[Table] = []
    try:
        while True:
            while len(tables) < AT_ONCE and (fixture := next(waiting, None)) is not None:
                tables.append(Table(fixture, sides))
            if not tables:
                return
            turns = [table.side for table in tables]
            for side, player in enumerate(sides):
                moving = [table for table, turn in zip(tables, turns, strict=True) if turn == side]
                acts = player.act([table.boards[side] for table in moving]) if moving else []
                for table, act in zip(moving, acts, strict=True):
                    table.step(act)
            watch([table.length for table in tables])
            ended = [table for table in tables if table.over or table.length == most_steps]
            tables = [table for table in tables if table not in ended]
            results = [table.result(cut=not table.over) for table in ended]
            for table in ended:
                table.close()
            yield from results
    finally:
        for table in tables:
            table.close()
