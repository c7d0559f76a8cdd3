"""The exact solver of Connect Four against a search without bitboards, bounds or tables."""

from __future__ import annotations

import random

import numpy as np
import pytest

from kaimesh import envs
from kaimesh.envs.spiel.connect_four import CELLS, COLUMNS, ROWS, Solver


@pytest.fixture(scope="module")
def solver():
    return Solver()


def won(columns, player):
    """Whether the player has four in a line, by looking at every cell and direction. columns: lists of owners."""
    owned = {(x, y) for x, column in enumerate(columns) for y, owner in enumerate(column) if owner == player}
    directions = ((1, 0), (0, 1), (1, 1), (1, -1))
    return any(all((x + k * dx, y + k * dy) in owned for k in range(4)) for x, y in owned for dx, dy in directions)


def board(moves):
    columns = [[] for _ in range(COLUMNS)]
    for ply, column in enumerate(moves):
        columns[column].append(ply % 2)
    return columns


def score(moves):
    """The score of a game that goes on or is full, for who is to move, by trying out everything."""
    columns, me = board(moves), len(moves) % 2
    values = []
    for column in range(COLUMNS):
        if len(columns[column]) < ROWS:
            columns[column].append(me)
            if won(columns, me):
                return (CELLS + 1 - len(moves)) // 2
            columns[column].pop()
            values.append(-score((*moves, column)))
    return max(values, default=0)


def game(plies, rng):
    """A random game of so many plies that goes on."""
    while True:
        moves = []
        while len(moves) < plies:
            open_columns = [column for column in range(COLUMNS) if moves.count(column) < ROWS]
            moves.append(rng.choice(open_columns))
            if won(board(moves), (len(moves) - 1) % 2):
                break
        else:
            return tuple(moves)


def expected(moves):
    columns, me = board(moves), len(moves) % 2
    scores = np.full(COLUMNS, np.nan)
    for column in range(COLUMNS):
        if len(columns[column]) < ROWS:
            columns[column].append(me)
            scores[column] = (CELLS + 1 - len(moves)) // 2 if won(columns, me) else -score((*moves, column))
            columns[column].pop()
    return scores


def test_near_the_end_it_is_what_trying_everything_finds(solver):
    rng, outcomes = random.Random(6), set()
    for plies in [41, 40, 39, 38, 37, 36] * 4 + [35, 34]:
        moves = game(plies, rng)
        np.testing.assert_array_equal(solver(moves), found := expected(moves))
        outcomes.add(np.sign(np.nanmax(found)))
    assert outcomes == {-1, 0, 1}


def test_a_move_is_worth_what_the_position_after_it_is(solver):
    """From ply 14 on, and in a mirror too."""
    rng, over = random.Random(5), 0
    for _ in range(10):
        moves = game(14 + rng.randrange(8), rng)
        scores = solver(moves)
        np.testing.assert_array_equal(solver([COLUMNS - 1 - column for column in moves]), scores[::-1])
        for column in np.flatnonzero(~np.isnan(scores)).tolist():
            if won(board((*moves, column)), len(moves) % 2):
                assert scores[column] == (CELLS + 1 - len(moves)) // 2
                over += 1
            else:
                assert scores[column] == -np.nanmax(solver((*moves, column)))
    assert over


@pytest.mark.parametrize(
    ("moves", "told"),
    [([0] * 7, "is no game"), ([7], "is no game"), ([-1], "is no game"), ([0, 1] * 3 + [0], "this game is over")],
)
def test_what_is_no_game_is_refused(solver, moves, told):
    with pytest.raises(ValueError, match=told):
        solver(moves)
    with pytest.raises(ValueError, match="is no game"):
        solver([*moves, 3])


def test_the_game_itself_offers_it_and_goes_by_the_same_rules(solver):
    assert isinstance(envs.offers("spiel:connect_four"), envs.Offers)
    env = envs.make_vector("spiel:connect_four", 1)
    make = env.offers.exact()
    assert make is Solver
    assert envs.make_vector("spiel:connect_four", 1, env_conf={"rows": 5}).offers.exact() is None
    rng = random.Random(6)
    for _ in range(10):
        moves, over, state = [], False, env.reset(seed=1) and envs.position(env)
        while not over:
            if len(moves) >= 24:
                scores = solver(moves)
                assert np.flatnonzero(~np.isnan(scores)).tolist() == state.legal_actions()
                assert scores.shape == (env.spaces.action_size,)
            moves.append(rng.choice(state.legal_actions()))
            over = bool(env.step(np.array(moves[-1:]))[2][0])
            assert over == (won(board(moves), (len(moves) - 1) % 2) or len(moves) == CELLS)
    env.close()
