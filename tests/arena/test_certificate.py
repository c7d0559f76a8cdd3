"""`tools/evaluate.sh --certificate`: every line of play, against a count that shares nothing with it."""

from __future__ import annotations

import numpy as np
import pytest

from kaimesh.arena import evaluate
from kaimesh.arena.certificate import certificate, words
from kaimesh.arena.players import RandomPlayer
from kaimesh.arena.scene import Scene
from kaimesh.config import App
from tests.arena import boards
from tests.arena.boards import EMPTY, MISTAKE, choice, free, mover, put, winner

TIC = "tests.arena.boards:TicTacToe"


@pytest.fixture
def tic(make_run):
    run = make_run(TIC, "master", ids=(1, 2, 3, 4))
    return ["--trust", "--run", str(run.root)]


def lines_of(choose, seat, cells=EMPTY, moves=()):
    """Every line, one after the other: its moves and who won."""
    if not free(cells):
        return [(moves, winner(cells))]
    fields = [choose(cells)] if mover(cells) == seat else free(cells)
    return [line for field in fields for line in lines_of(choose, seat, put(cells, field), (*moves, field))]


@pytest.mark.parametrize(
    "model", [2, *(pytest.param(other, marks=pytest.mark.long) for other in (1, 3))], ids=["some lost", "none", "many"]
)
def test_it_counts_as_a_slow_count_does(tic, result, model):
    boards.Master.asked.clear()
    code = 0 if model == 1 else 1
    whole = result(*tic, "--model", model, "--certificate", code=code)
    found, told = whole["certificate"], words(whole)
    for seat in (0, 1):
        expected = lines_of(lambda cells: choice(model, cells), seat)
        lost = sorted(moves for moves, won in expected if won == 1 - seat)
        row = found["seats"][seat]
        assert (row["lines"], row["losing"]) == (len(expected), len(lost))
        assert row["drawn"] == sum(won is None for _, won in expected)
        assert sorted(tuple(one["moves"]) for one in found["losing_lines"] if one["seat"] == seat) == lost
        asked = {moves[:ply] for moves, _ in expected for ply in range(seat, len(moves), 2)}
        assert row["asked"] == len({cells_after(moves) for moves in asked})
    assert found["losing"] == len(found["losing_lines"]) == {1: 0, 2: 4, 3: 487}[model]
    assert f": {found['losing']} of {found['lines']} lines are lost" in told
    assert f"seat 1: {found['seats'][1]['lines']} lines" in told
    assert ("and 467 more; --json has all of them" in told) == (model == 3)
    assert sum(boards.Master.asked) == found["asked"], "each position once"
    assert max(boards.Master.asked) > 10, "questions of a ply go together"
    if model == 2:
        assert told.count("lost in seat 1: 0 4 8 2") + told.count("lost in seat 1: 8 4 0 2") == 4
        assert all(cells_after(one["moves"][:4]) == put(*MISTAKE) for one in found["losing_lines"])


def cells_after(moves):
    cells = EMPTY
    for field in moves:
        cells = put(cells, field)
    return cells


def test_a_memory_is_that_of_the_line(make_run, result):
    run = make_run(TIC, "counting", ids=(2,))
    wish = ("--trust", "--run", run.root, "--seat", 0)
    assert result(*wish, "--certificate")["certificate"]["lines"] == 201
    assert result(*wish, "--opponent", "random", "--episodes", 3)["all"]["losses"] == 0


def test_chance_that_answers_each_position_once():
    """The player draws; what it drew for each position is then played in every line with it."""
    scene = Scene(App(app=TIC), {})
    drawn = {}

    class Noting(RandomPlayer):
        def act(self, plays):
            acts = super().act(plays)
            for play, act in zip(plays, acts, strict=True):
                cells = boards.cells_of(play.row()["obs"][0])
                assert cells not in drawn
                drawn[cells] = int(act.columns["action"][0])
            return acts

    found = certificate(Noting(scene), scene, [0], lambda line: None)
    expected = lines_of(drawn.__getitem__, 0)
    assert found["lines"] == len(expected)
    assert found["losing"] == sum(won == 1 for _, won in expected) > 20
    assert found["asked"] == len(drawn)


@pytest.mark.parametrize(
    ("app", "model", "code", "told"),
    [
        ("tests.arena.test_certificate:Wide", 1, 2, "lines of play against a fixed player, and 100,000 can be walked"),
        ("tests.arena.boards:Chancy", 3, 2, "depends on chance"),
        (TIC, 4, 3, "after the moves [0, 1] the model chose 0; [2, 3, 4, 5, 6, 7, 8] are allowed"),
    ],
)
def test_what_cannot_be_certified(tic, capsys, app, model, code, told):
    assert evaluate.main([*tic, "--app", app, "--model", str(model), "--certificate"]) == code
    assert told in capsys.readouterr().err


class Wide(boards.Silent):
    """Nobody wins, and a field that is taken may be taken again: 9 ** 8 lines and more."""

    def step(self, action):
        self.moves = getattr(self, "moves", 0) + 1
        return self._observation(), 0.0, self.moves >= 18, False, self._info([0.0, 0.0])

    def reset(self, **named):
        self.moves = 0
        return super().reset(**named)

    def _info(self, rewards):
        legal = np.ones(9, bool)
        return {"legal_act": legal, "to_play": getattr(self, "moves", 0) % 2, "rewards": np.array(rewards, np.float32)}


def test_certificate_and_sample_do_not_go_together(tic, capsys):
    with pytest.raises(SystemExit):
        evaluate.main([*tic, "--certificate", "--sample"])
    assert "leave --sample out" in capsys.readouterr().err
