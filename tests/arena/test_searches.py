"""Opponents that search: minimax against a search of everything, and UCT by what it must find."""

from __future__ import annotations

import math
from random import Random

import pytest

from kaimesh.arena import minimax, uct
from tests.arena.boards import EMPTY, Heap, Stand, best, free, put


def everything(position, depth, me):
    """The value for `me` at the horizon, 0, without any pruning."""
    if position.is_terminal():
        return position.returns()[me]
    if not depth:
        return 0.0
    values = [everything(after(position, action), depth - 1, me) for action in position.legal_actions()]
    return max(values) if position.current_player() == me else min(values)


def after(position, action):
    copy = position.clone()
    copy.apply_action(action)
    return copy


def wandered(position, plies, random):
    for _ in range(plies):
        if not position.is_terminal():
            position.apply_action(random.choice(position.legal_actions()))
    return position


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 9])
def test_minimax_finds_every_best_move_and_no_other(depth):
    random = Random(depth)
    starts = [wandered(Stand(), random.randrange(3 if depth < 9 else 2, 8), random) for _ in range(30)]
    starts += [Heap(left, players, turn) for left in range(1, 9) for players in (2, 3, 4) for turn in (0, 1)]
    for position in starts:
        if position.is_terminal():
            continue
        me = position.current_player()
        values = {action: everything(after(position, action), depth - 1, me) for action in position.legal_actions()}
        expected = [action for action, value in values.items() if value == max(values.values())]
        assert minimax.best_actions(position, depth) == expected


def test_minimax_to_the_end_is_perfect_play():
    random, board = Random(1), EMPTY
    for _ in range(60):
        board = put(board, random.choice(free(board))) if free(board) else EMPTY
        if free(board) and board.count(-1) < 7:
            assert minimax.best_actions(Stand(board), 9) == best(board)


def test_ties_are_broken_evenly_and_by_the_seed():
    nothing_to_see = Stand(put(EMPTY, 4))  # two plies ahead, every field is worth 0
    drawn = [minimax.choose(nothing_to_see, 2, Random(seed)) for seed in range(400)]
    assert drawn == [minimax.choose(nothing_to_see, 2, Random(seed)) for seed in range(400)]
    assert set(drawn) == {0, 1, 2, 3, 5, 6, 7, 8}
    assert min(map(drawn.count, set(drawn))) > 25


def test_uct_wins_where_it_can_and_blocks_where_it_must():
    wins = Stand((0, 0, -1, 1, 1, -1, -1, -1, -1))
    assert {uct.choose(wins, 200, Random(seed)) for seed in range(20)} == {2}
    blocks = Stand((0, 0, -1, 1, -1, -1, -1, -1, -1))
    assert {uct.choose(blocks, 200, Random(seed)) for seed in range(20)} == {2}


def test_uct_with_many_simulations_is_perfect_for_any_number_of_players():
    """Who moves twice in a row and who is a third player are asked of the position."""
    for left in range(2, 8):
        for players in (2, 3):
            position = Heap(left, players, 1)
            values = {action: max_n(after(position, action))[1] for action in position.legal_actions()}
            if len(set(values.values())) == len(values):
                assert uct.choose(position, 3000, Random(left)) == max(values, key=values.__getitem__)


def max_n(position):
    """Each player's return where everyone maximises his own; the first of several such moves."""
    if position.is_terminal():
        return position.returns()
    me = position.current_player()
    return max((max_n(after(position, action)) for action in position.legal_actions()), key=lambda got: got[me])


def test_uct_spends_its_simulations_and_leaves_the_position_alone():
    position = Stand()
    node = uct.Node(position, Random(0))
    for _ in range(137):
        uct._simulate(node, position.clone(), Random(_))
    assert node.visits == 137
    assert sum(child.visits for child in node.children.values()) == 137
    assert math.isclose(sum(node.sums), 0.0)
    assert position.cells == EMPTY
