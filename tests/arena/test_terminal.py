"""The terminal game as a person has it: keys into a pseudo-terminal, the screen out."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys

import numpy as np
import pytest

from kaimesh import envs
from kaimesh.arena import terminal as play
from kaimesh.arena.recording import Recording
from kaimesh.envs.realm.face import GROUNDS, HERO, TREASURE, WALL
from tests.arena.person import ROOT, Person


@pytest.fixture
def person():
    people = []

    def sit_down(*arguments, **terminal):
        people.append(Person(*arguments, **terminal))
        return people[-1]

    yield sit_down
    for one in people:
        one.close()


def colour_at(screen, row, column, part="fg"):
    return getattr(screen.buffer[row][column], part)


def hexadecimal(what):
    return "{:02x}{:02x}{:02x}".format(*GROUNDS[what])


def test_the_realm_is_walked_by_keys_and_recorded_exactly(person, tmp_path):
    file = tmp_path / "mine.json"
    me = person("--app", "realm-mini", "--seed", "5", "--env-conf", "treasure_num=2", "--record", str(file))
    me.sees("episode 1  seed 5  step 0", "treasures 0/2  flash ready")
    me.type("d")
    me.sees("step 1 ")
    me.type("\x1b[A")  # the up arrow: an Esc begins it, but nobody leaves
    me.sees("step 2 ")
    me.type("3")
    me.sees("step 3 ")
    me.type(" ")
    me.sees("flash ARMED")
    me.type(" ")
    me.sees("flash ready")
    me.type(" w")
    me.sees("flash in 606")
    me.type(" q")  # not ready: a walk to the north-west
    me.sees("step 5 ")
    me.type("\x1b")
    assert me.leaves() == 0
    assert me.has_terminal_back()
    me.said("episode 1: seed 5, score 0 in 5 steps, not to its end; recorded in")
    recording = Recording.load(file)
    assert recording.actions.tolist() == [0, 2, 7, 10, 3]
    assert (recording.app, recording.seed, recording.env_conf) == ("realm-mini", 5, {"treasure_num": 2})


def test_an_episode_ends_with_the_optimum_and_r_begins_the_next(person, tmp_path):
    """The keys are those of a script that follows the best route; the score shown is the vector environment's."""
    keys, score = followed("realm-mini", 5)
    file = tmp_path / "mine.json"
    me = person("--app", "realm-mini", "--seed", "5", "--record", str(file), columns=120)
    me.sees("step 0")
    me.type(keys)
    screen = me.sees("nobody scores more than", "is yours")
    assert f"The episode is over: score {score:g} in {len(keys)} steps." in screen
    me.type("d")  # nothing moves any more
    me.type("r")
    me.sees("episode 2  seed 6  step 0")
    me.type("d")
    me.sees("step 1 ")
    me.type("\x04")
    assert me.leaves() == 0
    assert Recording.load(file).score == pytest.approx(score)
    assert len(Recording.load(file).actions) == len(keys)
    second = Recording.load(tmp_path / "mine-2.json")
    assert (second.seed, second.actions.tolist()) == (6, [0])


def followed(app, seed):
    """Keys of an episode without flashes, and its score."""
    from kaimesh.envs.realm.follow import follow
    from kaimesh.envs.realm.oracle import optimum

    env = envs.make_vector(app, 1)
    env.reset(seed=seed)
    realm = env.unwrapped
    treasures = np.flatnonzero(realm.state.present[0]).tolist()
    best = optimum(realm.map, start=2, end=1, treasures=treasures, max_step=2000, flashes=False)
    walk = follow(realm.map, best, start=2, treasures=treasures, max_step=2000)
    return "".join("dewqazxc"[action] for action in walk.actions), walk.score


def test_the_picture_has_the_hero_in_the_middle_and_the_world_around_him(person):
    me = person("--app", "realm-mini", "--seed", "5", columns=80, lines=24)
    me.sees("Esc: leave")  # the last line
    env = envs.make_vector("realm-mini", 1)
    env.reset(seed=5)
    realm = env.unwrapped
    x, z = int(realm.state.x[0] / 500), int(realm.state.z[0] / 500)
    hero = [
        (2 * row - 2 + half, column)
        for row in range(1, 19)  # below them is the legend
        for column in range(51)
        for half, part in enumerate(("fg", "bg"))
        if colour_at(me.screen, row, column, part) == hexadecimal(HERO)
    ]
    assert len(hero) == 1, hero
    (top, left) = hero[0]
    cells = {}  # (dx, dz) -> colour
    for row in range(1, 19):
        for column in range(51):
            for half, part in enumerate(("fg", "bg")):
                cells[column - left, top - (2 * row - 2 + half)] = colour_at(me.screen, row, column, part)
    for dx, dz in [(1, 0), (0, 1), (-5, 0), (5, 5), (12, -3), (0, -14)]:
        inside = 0 <= x + dx < 32 and 0 <= z + dz < 32 and realm.map.walkable[z + dz, x + dx]
        assert (cells[dx, dz] == hexadecimal(WALL)) == (not inside), (dx, dz)
    for point in np.flatnonzero(realm.state.present[0]):
        px, pz = realm.map.points[point]
        if (px - x, pz - z) in cells:
            assert cells[px - x, pz - z] == hexadecimal(TREASURE)


def test_a_large_terminal_shows_letters_and_a_resized_one_is_drawn_anew(person):
    me = person("--app", "realm", "--seed", "5", columns=120, lines=60)
    assert "▀" not in me.sees("step 0", "Esc: leave")
    me.sees("@ ")
    me.resize(70, 16)
    me.sees("▀")
    me.resize(20, 3)  # far too small: it goes on, and is there again when there is room
    me.type("d")
    me.sees("realm  episode 1  se")
    me.resize(70, 16)
    me.sees("step 1 ")
    me.type("\x1b")
    assert me.leaves() == 0


def test_a_terminal_without_colours_shows_letters(person):
    me = person("--app", "realm-mini", "--seed", "5", term="vt100", lines=40)
    picture = me.sees("step 0", "Esc: leave")
    assert "##" in picture
    assert picture.count("@") == 2, "the hero, and the legend"
    me.type("\x1b")
    assert me.leaves() == 0


@pytest.mark.parametrize(
    ("app", "key", "shown"),
    [
        ("gym:FrozenLake-v1", "1", "(Down)"),
        ("gym:FrozenLake-v1", "\x1b[C", "(Right)"),
        ("gym:Taxi-v4", "1", "(North)"),
        ("gym:CartPole-v1", "0", "reward 1"),
        ("tests.arena.board:Board", "12\x7f1\r", "stone on 11"),
    ],
)
def test_text_environments_are_played_by_numbers(person, app, key, shown):
    me = person("--app", app, "--seed", "1")
    me.sees("step 0")
    me.type(key)
    me.sees(shown)
    me.sees("step 1 ")
    me.type("q")
    assert me.leaves() == 0
    assert me.has_terminal_back()


def test_an_action_that_is_not_allowed_is_refused_in_words(person):
    me = person("--app", "tests.arena.board:Board")
    assert "allowed" not in me.sees("step 0", "q or Esc: leave")
    me.type("7\r")
    me.sees("allowed 0-6, 8-24")
    me.type("7\r")
    me.sees("action 7 is not allowed now")
    me.sees("step 1 ")


def test_late_answers_of_the_terminal_are_no_keys(person):
    """It was asked where its cursor is and what it can do; over a slow line, the answers come among the keys."""
    me = person("--app", "realm-mini")
    me.sees("step 0")
    me.type("\x1b[5;7R\x1bP1+r544e=787465726d\x1b\\")
    me.type("d")
    assert "score 0" in me.sees("step 1 ")
    me.type("\x1b")
    assert me.leaves() == 0


def test_ctrl_c_leaves(person):
    me = person("--app", "realm-mini")
    me.sees("step 0")
    me.type("d")
    me.sees("step 1 ")
    me.type("\x03")
    assert me.leaves() == 0
    assert me.has_terminal_back()
    me.said("episode 1: seed")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_the_terminal_as_it_was(person, number):
    me = person("--app", "realm-mini")
    me.sees("step 0")
    me.signal(number)
    assert me.leaves() == 128 + number
    assert me.has_terminal_back()


@pytest.mark.parametrize(
    ("where", "raised", "code", "words"),
    [
        ("step", "RuntimeError('the board fell down')", 1, "the environment raised RuntimeError in step: the board"),
        ("render", "ZeroDivisionError('no field')", 1, "the environment raised ZeroDivisionError in render: no field"),
        ("reset", "OSError(2, 'no board')", 1, "the environment raised FileNotFoundError in reset: [Errno 2] no board"),
        ("step", "SystemExit('enough')", 3, "the environment, in step, called exit ('enough', SystemExit)"),
    ],
)
def test_an_environment_that_raises_leaves_the_terminal_and_words(person, where, raised, code, words):
    me = person("--app", "tests.arena.board:Broken", "--env-conf", f"where={where}", "--env-conf", f"raised={raised}")
    me.sees("step 0")
    me.type("3\r" if where != "reset" else "3\rr")
    assert me.leaves() == code
    assert me.has_terminal_back()
    me.said(f"play: {words}")
    me.said("board.py, line ")
    me.said("in 1 steps" if where != "step" else "")
    assert b"Traceback" not in me.raw


def test_one_whose_constructor_raises_is_told_before_the_screen_is_taken(monkeypatch, capfd):
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    assert play.main(["--app", "tests.arena.board:Broken", "--env-conf", "where=constructor"]) == 1
    assert "play: the environment raised RuntimeError in its constructor: the board" in capfd.readouterr().err


def test_without_a_terminal_it_says_so():
    done = subprocess.run(
        [sys.executable, "-m", "kaimesh.arena.terminal"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert "standard input is no terminal" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--app", "relm"], "did you mean 'realm'"),
        (["--app", "realm", "--env-conf", "treasure_num=99"], "treasure_num = 99"),
        (["--app", "gym:Pendulum-v1"], "continuous actions"),
        (["--env-conf", "treasure_num"], "write KEY=VALUE"),
        (["--seed", "-1"], "must not be negative"),
        (
            [],
            "Say --app with one that was: back_to_the_realm, realm, realm-mini.",
        ),  # the configuration's app is CartPole, which has no face
    ],
)
def test_mistakes_are_told_before_the_screen_is_taken(monkeypatch, capfd, arguments, said):
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    with contextlib.suppress(SystemExit):  # argparse's own way out
        assert play.main(arguments) == 2
    out, err = capfd.readouterr()
    assert said in err
    assert out == ""
