"""Boards as people see them: in a terminal, by its keys, and as a story on a page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kaimesh import envs
from kaimesh.arena import replay
from kaimesh.arena.face import face_of
from kaimesh.arena.recording import Recording
from kaimesh.envs.spiel.boards import GAMES, board_of, column_name
from kaimesh.envs.spiel.face import BoardFace
from kaimesh.envs.spiel.story import Story
from tests.arena.person import Person
from tests.envs.spiel.games import draw, spiel

LETTERS = {"go": "XO", "gomoku": "bw", "othello": "xo"}


@pytest.mark.parametrize("name", sorted(GAMES))
def test_stones_lie_where_open_spiel_s_text_has_them(name: str) -> None:
    env, rng = spiel(name), np.random.default_rng(0)
    _, infos = env.reset()
    board, letters = board_of(env.game), LETTERS.get(name, "xo")
    assert board is not None
    for _ in range(30):
        state = env.position(0)
        rows = [line.split(" ", 1)[1] if name == "othello" else line for line in str(state).splitlines()]
        if name == "othello":
            rows = [row.replace(" ", "")[:-1] for row in rows if "x" in row or "o" in row or "-" in row][-8:]
        if name == "go":
            rows = [row.split()[-1] for row in rows if row[:2].strip().isdigit()]
        text = [row.strip() for row in rows if len(row.strip()) == board.width][: board.height]
        shown = board.owners(env.seen.tensor(state))
        expected = [[letters.find(letter) for letter in row] for row in text]
        np.testing.assert_array_equal(shown, expected)
        *_, infos = env.step(draw(infos["legal_act"], rng))


@pytest.mark.parametrize("name", ["go", "othello"])
def test_moves_have_the_names_that_open_spiel_gives_them(name: str) -> None:
    env = spiel(name)
    _, infos = env.reset()
    board = board_of(env.game)
    assert board is not None
    for action in np.flatnonzero(infos["legal_act"][0]).tolist():
        said = env.position(0).action_to_string(action).lower().split()[-1].strip("()")
        ours = board.name(action)
        if name == "go" and ours != "pass":
            ours = chr(ord(ours[0]) + (ours[0] >= "i")) + ours[1:]  # go's columns have no i
        assert ours == said
    assert [column_name(column) for column in (0, 25, 26, 51, 52)] == ["a", "z", "aa", "az", "ba"]


def test_keys_move_a_cursor_and_play() -> None:
    env = envs.make_vector("spiel:tic_tac_toe", 1)
    seen, _ = env.reset()
    face = face_of(env)
    assert isinstance(face, BoardFace)
    assert face.press("ENTER") == 4
    assert [face.press(key) for key in ("UP", "LEFT", " ")] == [None, None, 0]
    assert [face.press(key) for key in ("LEFT", "ENTER", "x")] == [None, 2, None]
    env.step(np.array([4]))
    lines = face.picture(seen[0], 40, 20, False)
    assert ["".join(piece.text for piece in line).split() for line in lines] == [
        ["a", "b", "c"], ["3", ".", ".", ".<"], ["2", ".", "X", "."], ["1", ".", ".", "."],
    ]  # fmt: skip
    assert face.status() == "player 1 (o, light) to move"
    assert any(piece.text == "◉ " for line in face.picture(seen[0], 40, 20, True) for piece in line)
    assert len(face.picture(seen[0], 8, 2, True)) == 2


def test_columns_have_digits_and_a_pass_its_letter() -> None:
    four = envs.make_vector("spiel:connect_four", 1)
    four.reset()
    face = face_of(four)
    assert [face.press(key) for key in ("7", "8", "p", "RIGHT", "ENTER")] == [6, None, None, None, 4]
    go = envs.make_vector("spiel:go", 1, env_conf={"board_size": 5})
    go.reset()
    face = face_of(go)
    assert [face.press(key) for key in ("p", "DOWN", "DOWN", "LEFT", "LEFT", "ENTER")] == [
        25,
        None,
        None,
        None,
        None,
        0,
    ]


def test_a_game_without_a_board_shows_its_text() -> None:
    env = envs.make_vector("spiel:mancala", 1, render_mode="ansi")
    seen, _ = env.reset()
    lines = face_of(env).picture(seen[0], 80, 20, True)
    assert "".join(piece.text for line in lines for piece in line).startswith("-4-4-4")


def test_a_story_of_go_tells_what_is_taken_and_who_wins() -> None:
    env = envs.make_vector("spiel:go", 1, env_conf={"board_size": 5})
    env.reset()
    story = Story(env)
    story.note()
    for action in (1, 0, 5, 25, 25):  # black takes the corner; both pass
        env.step(np.array([action]))
        story.note(action)
    data = story.data()
    assert len(data["boards"]) == len(data["changed"]) == len(story.columns["move"]) == 6
    assert data["boards"][2][20:22] == "10", "row 1 is the lowest, the last of the text"
    assert data["boards"][3][20] == "."
    assert sorted(data["changed"][3]) == [15, 20]
    assert [text for _, text in story.events] == [
        "3: player 0: a2 takes 1", "4: player 1: pass", "5: player 0: pass", "5: player 0 wins",
    ]  # fmt: skip


def test_a_recording_becomes_a_page_and_a_film(tmp_path: Path) -> None:
    recording = Recording("spiel:tic_tac_toe", {}, 0, 1, np.array([4, 0, 2, 6, 3, 5, 1, 7, 8]), 0.0, "a test")
    for name in ("game.html", "game.gif"):
        replay.replay(recording, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1000
    page = (tmp_path / "game.html").read_text()
    assert "Draws a game on a board" in page
    assert "a draw" in page


@pytest.mark.long
def test_a_person_plays_both_sides() -> None:
    person = Person("--app", "spiel:connect_four")
    try:
        person.sees("player 0 (x, dark) to move", "1-7: column")
        person.type("1212121")
        person.sees("The episode is over")
        person.type("q")
        assert person.leaves() == 0
    finally:
        person.close()
