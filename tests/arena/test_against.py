"""A person against a model, and two persons, in a terminal."""

from __future__ import annotations

import pytest

from kaimesh.arena.game import Game
from kaimesh.arena.recording import Recording
from tests.arena.person import Person

TIC = "tests.arena.boards:TicTacToe"


@pytest.fixture
def person():
    people = []

    def sit_down(*arguments, **terminal):
        people.append(Person(*map(str, arguments), **terminal))
        return people[-1]

    yield sit_down
    for one in people:
        one.close()


def test_the_model_has_the_other_seat_and_games_are_counted(person, make_run, tmp_path):
    """Model 3 takes the first free field. In the first game it has seat 0, in the second one seat 1."""
    run = make_run(TIC, "master", ids=(3,))
    wish = ("--trust", "--run", run.root, "--opponent", "human", "--seed", 7, "--record", tmp_path / "games")
    me = person(*wish, program="evaluate", columns=100)
    me.sees("seed 7", "step 1 ", "master, model 3: action 0", "to move: seat 1 (you)", "x..")
    me.type("0")
    me.sees("action 0 is not allowed now")
    me.type("8")
    me.sees("step 3 ")
    me.type("4")  # the model completes 0 1 2
    me.sees("The game is over: you have lost, returns 1, -1 in 5 steps.")
    me.type("r")
    me.sees("episode 2  seed 8  step 0", "to move: seat 0")
    for key, steps in (("4", 2), ("8", 4)):  # it takes 0 and 1, and then has 2
        me.type(key)
        me.sees(f"step {steps} ")
    me.type("2")
    me.sees("step 6 ")
    me.type("6")
    me.sees("The game is over: you have won, returns 1, -1 in 7 steps.")
    me.type("r")
    me.sees("episode 3")
    me.type("q")
    assert me.leaves() == 0
    assert me.has_terminal_back()
    me.said("master, model 3, greedy actions, against human: 2 games")
    me.said("episode 3: seed 9, returns 0, 0 in 1 steps, not to its end")
    recording = Recording.load(next((tmp_path / "games").glob("*seed-8_seat-1.json")))
    assert recording.actions.tolist() == [4, 0, 8, 1, 2, 3, 6]
    assert (recording.score, recording.seat) == (-1, 1)


def test_a_seat_is_kept_and_leaving_at_once_is_no_result(person, make_run):
    run = make_run(TIC, "master", ids=(3,))
    wish = ("--trust", "--run", run.root, "--opponent", "human", "--seat", 1)
    me = person(*wish, program="evaluate", columns=100)
    me.sees("step 0", "to move: seat 0")
    me.type("\x03")
    assert me.leaves() == 0
    assert me.has_terminal_back()
    me.said("no game was played to its end")


def test_two_persons_move_in_turn():
    game = Game(TIC, {}, 0, 5)
    for key in "04812":
        assert game.message == ""
        game.press(key)
        assert not game.over
    assert (game.to_play, game.score) == (1, "returns 0, 0")
    for key in "63":
        game.press(key)
    assert not game.over
    game.press("5")
    assert not game.over
    game.press("7")
    assert game.over
    assert game.message.startswith("The episode is over: returns 0, 0 in 9 steps.")
    assert game.recording().actions.tolist() == [0, 4, 8, 1, 2, 6, 3, 5, 7]
