"""`tools/evaluate.sh --opponent` end to end."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kaimesh.arena import evaluate, replay
from kaimesh.arena.recording import Recording
from tests.arena.boards import EMPTY, Heap, free, put, winner

TIC = "tests.arena.boards:TicTacToe"


@pytest.fixture
def tic(make_run):
    """Arguments that name a run with the four models of boards.Master."""
    run = make_run(TIC, "master", ids=(1, 2, 3, 4))
    return ["--trust", "--run", str(run.root)]


@pytest.mark.parametrize("opponent", ["random", "minimax:2", "minimax:9", "mcts:20", "self", "model:3"])
def test_perfect_play_never_loses(tic, result, opponent):
    count = 2 if opponent == "minimax:9" else 10
    found = result(*tic, "--model", 1, "--opponent", opponent, "--episodes", count)
    assert [row["seat"] for row in found["seats"]] == [0, 1]
    assert [row["games"] for row in found["seats"]] == [count, count]
    assert found["all"]["losses"] == 0
    assert found["all"]["wins"] + found["all"]["draws"] == 2 * count
    assert found["all"]["score"] == (found["all"]["wins"] + found["all"]["draws"] / 2) / (2 * count)
    if opponent in ("self", "minimax:9"):
        assert found["all"]["draws"] == 2 * count
    assert found["opponent"] == opponent


def test_each_game_is_what_it_says(tic, result, tmp_path):
    """Every recorded game is played again by the rules of the test."""
    found = result(*tic, "--model", 3, "--opponent", "random", "--episodes", 15, "--record", tmp_path / "games")
    worths = {0: [], 1: []}
    for one in found["each"]:
        recording = Recording.load(one["file"])
        cells = EMPTY
        for ply, field in enumerate(recording.actions.tolist()):
            assert field in free(cells)
            if ply % 2 == one["seat"]:
                assert field == free(cells)[0], "model 3 sits there"
            cells = put(cells, field)
        assert not free(cells)
        won = winner(cells)
        worths[one["seat"]].append(0.5 if won is None else float(won == one["seat"]))
        assert one["worth"] == worths[one["seat"]][-1]
        assert recording.seat == one["seat"]
        assert recording.score == one["returns"][one["seat"]] == (0 if won is None else 1 if won == one["seat"] else -1)
        assert replay.main([one["file"], "--trust"]) == 0
    for row in found["seats"]:
        assert row["score"] == np.mean(worths[row["seat"]])
        assert row["wins"] == worths[row["seat"]].count(1)


def test_seeds_decide_and_seats_share_openings(tic, result):
    wish = (*tic, "--opponent", "mcts:5", "--episodes", 3, "--random-plies", 2, "--model", 3)
    found, again = result(*wish), result(*wish)
    assert found["each"] == again["each"]
    assert result(*wish, "--seed", 5)["each"] != found["each"]
    seats = result(*wish, "--seat", 1)
    assert [row["seat"] for row in seats["seats"]] == [1]
    assert seats["each"] == [one for one in found["each"] if one["seat"] == 1]


def test_random_plies_open_games_and_are_not_the_models(tic, result, tmp_path):
    wish = (*tic, "--model", 3, "--opponent", "minimax:3", "--episodes", 10, "--random-plies", 2, "--exact", 0)
    found = result(*wish, "--record", tmp_path / "games")
    openings = [tuple(Recording.load(one["file"]).actions[:2].tolist()) for one in found["each"]]
    assert openings[::2] == openings[1::2], "both seats of a seed have the same one"
    assert len(set(openings)) > 7
    moves = sum(len(range(2 + (one["seat"] != 0), one["length"], 2)) for one in found["each"])
    assert found["exact"]["moves"] == moves


def test_exact_play_is_compared(tic, result, capsys):
    wish = (*tic, "--opponent", "random", "--episodes", 10, "--exact", 1)
    perfect = result(*wish, "--model", 1)["exact"]
    assert perfect["kept"] == perfect["moves"] > 0
    assert result(*wish, "--model", 3)["exact"]["kept"] < result(*wish, "--model", 3)["exact"]["moves"]
    assert evaluate.main([*map(str, wish), "--model", "1"]) == 0
    assert "perfect play, the model's moves from ply 1 on:" in capsys.readouterr().out


def test_chance_against_chance_is_even_and_the_default(tic, result):
    found = result(*tic, "--model", "random", "--episodes", 60)
    assert found["opponent"] == "random"
    first, second = found["seats"]
    assert first["score"] > 0.55 > 0.45 > second["score"], "who begins has the better chances: 0.65"
    assert found["different"] > 110, "the two sides do not draw the same numbers"
    assert found["all"]["score"] == pytest.approx(0.5, abs=0.12)


def test_words_for_people(tic, capsys):
    assert evaluate.main([*tic, "--model", "1", "--opponent", "model:3", "--episodes", "5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{TIC}, master, model 1, greedy actions, against model:3: 10 games (")
    assert "only 2 of 10 games differ" in lines[1]
    assert lines[2].split() == ["games", "wins", "draws", "losses", "score"]
    assert lines[3].startswith("seat 0")
    assert "100.0 (56.6-100.0)" in lines[3]
    assert lines[5].startswith("all seats")
    assert "Wilson" in lines[6]


def test_three_players_and_who_moves_twice(make_run, result):
    """Against random, minimax to the end takes what is sure; its games go by the rules of boards.Heap."""
    run = make_run("tests.arena.boards:Heaps", "vectorised", ids=(0,))
    found = result("--trust", "--run", run.root, "--opponent", "minimax:8", "--episodes", 10)
    assert [row["seat"] for row in found["seats"]] == [0, 1, 2]
    assert found["all"]["games"] == 30
    for one in found["each"]:
        assert sorted(one["returns"]) == [-2, 1, 1]
        assert one["worth"] == (0 if one["returns"][one["seat"]] == -2 else 0.5)
    assert Heap(7).current_player() == 0


@pytest.mark.parametrize(
    ("app", "opponent"),
    [
        ("spiel:connect_four", "minimax:2"),
        ("spiel:mancala", "minimax:1"),
        pytest.param("spiel:mancala", "mcts:5", marks=pytest.mark.long),
        ("three", "random"),
        ("spiel:othello", "self"),
    ],
)
def test_built_in_games(make_run, result, app, opponent, tmp_path):
    """Chance plays; a page of the first game is written, and every recording comes out as recorded."""
    run, out = make_run(app, "vectorised"), tmp_path / "game.html"
    wish = ("--run", run.root, "--model", "random", "--opponent", opponent, "--episodes", 2, "--record", tmp_path / "r")
    found = result(*wish, *(("--render", out) if app.startswith("spiel") else ()))
    assert found["failed"] == []
    for one in found["each"]:
        assert replay.main([one["file"]]) == 0
        assert one["length"] >= 6
    seats = 3 if app == "three" else 2
    assert [row["games"] for row in found["seats"]] == [2] * seats
    assert out.is_file() == app.startswith("spiel")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--opponent", "minmax:2"], "none of self, random, minimax:DEPTH, mcts:SIMS, model:ID, human"),
        (["--opponent", "minmax:2"], "Did you mean minimax:DEPTH?"),
        (["--opponent", "minimax"], "DEPTH must be a whole number of plies, 1 or more"),
        (["--opponent", "minimax:two"], "Write for example minimax:2."),
        (["--opponent", "mcts:0"], "SIMS must be a whole number of simulations"),
        (["--opponent", "model:"], "is none of self"),
        (["--opponent", "random:3"], "is none of self"),
        (["--opponent", "model:77"], "--opponent model:77: "),
        (["--seat", "2"], "has the seats 0..1"),
        (["--random-plies", "9"], "were over by then"),
        (["--app", "tests.arena.boards:Silent", "--opponent", "mcts:5"], "has no method `position`"),
        (["--app", "tests.arena.boards:Silent", "--exact", "3"], "names no exact play"),
        (["--app", "tests.arena.boards:Moody"], "went on differently on two boards"),
        (["--opponent", "human"], "is no terminal"),
    ],
)
def test_a_wrong_wish_is_answered_in_words(tic, capsys, arguments, told):
    assert evaluate.main([*tic, "--model", "1", *arguments]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--opponent self", "--seat 0", "--random-plies 2", "--exact 3", "--certificate"])
def test_a_game_of_one_player_has_no_opponents(make_run, capsys, option):
    run = make_run("catch")
    assert evaluate.main(["--run", str(run.root), *option.split()]) == 2
    err = capsys.readouterr().err
    assert f"{option.split()[0]}: catch has one player, so there is nobody to play against" in err


def test_a_game_that_is_cut_counts_by_what_there_is(tic, result):
    found = result(*tic, "--model", 1, "--opponent", "random", "--episodes", 4, "--max-steps", 3)
    assert [one["length"] for one in found["each"]] == [3] * 8
    assert found["all"]["draws"] == len(found["cut"]) == 8
    assert "8 of 8 games had not ended and were cut" in found["notes"][0]


def test_a_recording_of_a_seat_that_is_not_there_is_refused(tmp_path, capsys):
    path = tmp_path / "game.json"
    Recording(TIC, {}, 0, 1, np.array([0, 4]), 0.0, "nobody", seat=2).save(path)
    assert replay.main([str(path), "--trust"]) == 2
    assert f"the recording's seat = 2; {TIC} has 2 players" in capsys.readouterr().err


def test_a_page_of_a_game_says_who_moved(tic, result, tmp_path):
    out = tmp_path / "game.html"
    found = result(*tic, "--model", 1, "--opponent", "random", "--episodes", 1, "--render", out)
    assert found["failed"] == []
    page = out.read_text()
    columns = json.loads(page[page.index('"columns":') + 10 : page.index(',"events"')])
    assert {column["name"]: column["values"] for column in columns}["seat"][:4] == ["", 0, 1, 0]
    assert "(the model in seat 0)" in page
