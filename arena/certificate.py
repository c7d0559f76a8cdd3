"""A certificate: what a model does against every possible play of the others, in a game that is small enough.

Every line of play is walked, in each seat. A line is the moves of one whole game; the model's are its own, the others
may make any move. A position is asked of the model once, however many lines lead to it, and questions of one ply go to
it together. Positions are reached by playing their moves from the start, so nothing has to be copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from kaimesh.arena.episodes import AT_ONCE, Player, VectorisedPlay
from kaimesh.arena.progress import Tell
from kaimesh.arena.scene import Scene
from kaimesh.arena.standings import worth
from kaimesh.contract.arrays import Batch, Columns
from kaimesh.contract.errors import AgentError, ConfigError
from kaimesh.contract.recurrence import RecurrentState

MOST_LINES = 100_000
_PROBES = 100  # random games from which the number of lines is estimated
_SHOWN = 20

Moves = tuple[int, ...]


class Walked(NamedTuple):
    """What was found in one seat. won, drawn, lost: the moves of such lines. asked: different positions."""

    seat: int
    won: list[Moves]
    drawn: list[Moves]
    lost: list[Moves]
    asked: int

    @property
    def lines(self) -> int:
        """All of them."""
        return len(self.won) + len(self.drawn) + len(self.lost)


def certificate(player: Player, scene: Scene, seats: Sequence[int], tell: Tell) -> dict[str, Any]:
    """Walks every line of each of `seats`; returns what `words` says.

    player: the model's, of VectorisedPlays. tell: takes a line about the progress.
    Raises ConfigError: the game is too large, or it depends on chance. AgentError: a move is not allowed.
    """
    check_size(scene, seats)
    found = [_walk(player, seat, tell) for seat in seats]
    return {
        "lines": sum(one.lines for one in found),
        "losing": sum(len(one.lost) for one in found),
        "asked": sum(one.asked for one in found),
        "seats": [
            {
                "seat": one.seat,
                "lines": one.lines,
                "losing": len(one.lost),
                "drawn": len(one.drawn),
                "won": len(one.won),
                "asked": one.asked,
            }
            for one in found
        ],
        "losing_lines": [{"seat": one.seat, "moves": list(moves)} for one in found for moves in one.lost],
    }


def check_size(scene: Scene, seats: Sequence[int]) -> None:
    """Raises ConfigError: by an estimate of Knuth's kind (Math. Comp. 29, 1975) there are more than MOST_LINES lines.

    A random game estimates the lines by the product of the numbers of moves that the others had; the mean is unbiased
    where the model plays at random too.
    """
    env = scene.slot()
    random = np.random.default_rng(0)
    board = VectorisedPlay(env, 0, lambda _: {}, RecurrentState(None, 1))
    try:
        lines = sum(np.mean([_probe(board, seat, random) for _ in range(_PROBES)]) for seat in seats)
    finally:
        board.close()
    if lines > MOST_LINES:
        raise ConfigError(
            f"--certificate: {scene.app} has about {lines:.0e} lines of play against a fixed player, and "
            f"{MOST_LINES:,} can be walked, so none was. Play games against an opponent instead (--opponent)."
        )


def _probe(board: VectorisedPlay, seat: int, random: np.random.Generator) -> float:
    board.restart(0)
    lines, over = 1.0, False
    while not over:
        legal = board.legal()
        if board.to_play != seat:
            lines *= len(legal)
        over = board.follow(random.choice(legal))
    return lines


class Line(NamedTuple):
    """A line that goes on. memory: the agent's recurrent state there, see VectorisedPlay."""

    moves: Moves
    memory: Columns

    def longer(self, *actions: int) -> Line:
        """After more moves of the others."""
        return Line((*self.moves, *actions), self.memory)


def _walk(player: Player, seat: int, tell: Tell) -> Walked:
    walked = Walked(seat, [], [], [], 0)
    answers: dict[bytes, Batch] = {}  # by what the model sees
    boards: list[VectorisedPlay] = [player.start(seed) for seed in range(AT_ONCE)]
    going = [Line((), boards[0].memory)]
    try:
        while going:
            shortest = min(len(line.moves) for line in going)
            tell(f"seat {seat}, ply {shortest}: {len(going):,} lines go on, {walked.lines:,} are over")
            going = list(_longer(player, boards, going, walked, answers))
            if walked.lines + len(going) > 10 * MOST_LINES:
                raise ConfigError(
                    f"--certificate: there are more than {10 * MOST_LINES:,} lines of play, more than was estimated; "
                    "the walk was given up. Play games against an opponent instead (--opponent)."
                )
    finally:
        for board in boards:
            board.close()
    return walked._replace(asked=len(answers))


def _longer(
    player: Player, boards: Sequence[VectorisedPlay], going: Sequence[Line], walked: Walked, answers: dict[bytes, Batch]
) -> Iterator[Line]:
    """What the lines of `going` lead to by a move of the model or of the others, and both where the model is first;
    puts those that are over into `walked`.
    """
    for begin in range(0, len(going), AT_ONCE):
        lines = list(zip(going[begin : begin + AT_ONCE], boards, strict=False))
        lines = [(line, board) for line, board in lines if not _ended(board, line, _played(board, line), walked)]
        asked = {_seen(board): board for _, board in lines if board.to_play == walked.seat}
        fresh = {seen: board for seen, board in asked.items() if seen not in answers}
        acts = player.act(list(fresh.values())) if fresh else []
        answers |= {seen: _kept(act) for seen, act in zip(fresh, acts, strict=True)}
        for line, board in lines:
            if board.to_play == walked.seat:
                line, over = _answered(board, line, answers[_seen(board)])
                if _ended(board, line, over, walked):
                    continue
                if board.to_play == walked.seat:
                    yield line
                    continue
            yield from (line.longer(action) for action in board.legal().tolist())


def _kept(act: Batch) -> Batch:
    """An answer in arrays that the agent does not use again."""
    return Batch({name: column.copy() for name, column in act.columns.items()}, act.row_type)


def _answered(board: VectorisedPlay, line: Line, act: Batch) -> tuple[Line, bool]:
    """Plays the model's answer; returns the longer line and whether it is over. Raises AgentError: it is not legal."""
    legal, action = board.legal().tolist(), int(act.columns["action"][0])
    if action not in legal:
        raise AgentError(
            f"--certificate: after the moves {list(line.moves)} the model chose {action}; {legal} are allowed. Mask "
            "its choice by the column legal_act."
        )
    over = board.step(act)
    return Line((*line.moves, action), board.memory), over


def _ended(board: VectorisedPlay, line: Line, over: bool, walked: Walked) -> bool:
    """Puts a line that is over into `walked`; returns whether it is."""
    if over:
        outcome = worth(board.returns, walked.seat)
        {1.0: walked.won, 0.5: walked.drawn, 0.0: walked.lost}[outcome].append(line.moves)
    return over


def _seen(board: VectorisedPlay) -> bytes:
    """What the model sees, its memory too, so that two positions with the same bytes are one question."""
    return b"".join(column.tobytes() for column in board.row().values())


def _played(board: VectorisedPlay, line: Line) -> bool:
    """Plays a line from the start; returns whether the game is over. Raises ConfigError: not what it was before."""
    board.restart(len(line.moves))  # any seed: in a game without chance, it changes nothing
    over = False
    for action in line.moves:
        if over or action not in board.legal():
            raise ConfigError(
                f"--certificate: {board.env.app} did not repeat itself after the moves {list(line.moves)}, so it "
                "depends on chance, and a walk proves nothing. Play games against an opponent instead (--opponent)."
            )
        over = board.follow(action)
    board.memory = line.memory
    return over


def words(result: Mapping[str, Any]) -> str:
    """What arena.evaluate prints, from what it would print as JSON."""
    found = result["certificate"]
    lines = [
        f"{result['app']}, {result['player']}, {result['actions']} actions, against every play of the others: "
        f"{found['losing']} of {found['lines']} lines are lost ({found['asked']} positions asked, "
        f"{result['seconds']:.1f} s)",
        *result["notes"],
    ]
    for one in found["seats"]:
        lines.append(
            f"seat {one['seat']}: {one['lines']} lines, {one['won']} won, {one['drawn']} drawn, {one['losing']} lost; "
            f"{one['asked']} positions asked"
        )
    for one in found["losing_lines"][:_SHOWN]:
        lines.append(f"lost in seat {one['seat']}: {' '.join(map(str, one['moves']))}")
    if (more := found["losing"] - _SHOWN) > 0:
        lines.append(f"and {more} more; --json has all of them")
    return "\n".join(lines)
