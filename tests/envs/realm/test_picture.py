"""Pictures of the realm: what is where, in which colour, and what the strip says."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from kaimesh import envs
from kaimesh.envs.realm import picture
from kaimesh.envs.realm.map import CELL
from kaimesh.envs.realm.picture import Pictures
from kaimesh.envs.realm.vector import Realm, RealmEnv
from tests.envs.realm.game import EAST, FLASH, NORTH, Game, open_world


class Scene:
    """A game and its pictures."""

    def __init__(self, realm, **conf) -> None:
        self.realm = realm
        self.game = Game(realm, **conf)
        self.pictures = Pictures(realm, 1)
        self.pictures.restart(self.game.state)
        self.scale = 640 // realm.size

    def step(self, action: int) -> None:
        self.game.step(action)
        self.pictures.follow(self.game.state)

    def draw(self) -> np.ndarray:
        return self.pictures.draw(self.game.state)[0]

    def colour(self, x: float, z: float) -> tuple[int, ...]:
        """Of the pixel at a place in units."""
        margin = (640 - self.realm.size * self.scale) // 2
        row, column = int((self.realm.size - z / CELL) * self.scale), int(x / CELL * self.scale) + margin
        return tuple(self.draw()[row, column].tolist())

    def at(self, point: int) -> tuple[int, ...]:
        return self.colour(*self.realm.positions[point])


@pytest.fixture
def scene() -> Scene:
    """All of its world is in the hero's view."""
    scene = Scene(open_world(48, walls=[(40, 40, 6, 6)]), treasure_id=[3, 4])
    scene.game.place(24.5 * CELL, 24.5 * CELL)
    scene.pictures.restart(scene.game.state)
    return scene


def test_the_map_lies_with_north_up(scene):
    assert scene.draw().shape == (13 * 48 + picture.STRIP + picture.LEGEND, 640, 3)
    assert scene.draw().dtype == np.uint8
    assert scene.colour(250, 250)[0] < 100, "a corner is wall"
    assert scene.colour(30.5 * CELL, 21.5 * CELL) == picture.FLOOR
    inside, mirrored = scene.colour(43 * CELL, 43 * CELL), scene.colour(43 * CELL, 5 * CELL)
    assert (inside, mirrored) == (picture.WALL, picture.FLOOR)


def test_the_hero_is_where_he_is(scene):
    for action in (EAST, EAST, NORTH):
        assert scene.colour(*scene.game.position) == picture.HERO
        scene.step(action)
    start = tuple(scene.realm.positions[2])
    assert scene.game.position != start
    assert scene.at(2) == picture.START, "he left the start behind"


def test_what_lies_there_is_seen_until_it_is_taken(scene):
    assert scene.at(3) == scene.at(4) == picture.TREASURE
    assert scene.at(5) == picture.FLOOR, "no treasure was asked for there"
    assert scene.at(1) == picture.END
    bolt = scene.at(0)
    scene.game.state.present[0, 3] = 0
    scene.game.state.buff_wait[0] = 100
    assert scene.at(3) == picture.FLOOR
    assert scene.at(4) == picture.TREASURE
    assert (bolt, scene.at(0)) == (picture.BRIGHT, picture.TAKEN)


def test_the_way_stays(scene):
    halfway = scene.game.x + 350, scene.game.z
    assert scene.colour(*halfway) == picture.FLOOR
    scene.step(EAST)
    for _ in range(picture.TAIL - 1):
        scene.step(NORTH)
    tail = scene.colour(*halfway)
    scene.step(NORTH)
    assert scene.colour(*halfway) == picture.WAY != tail
    scene.step(NORTH)
    assert scene.colour(*halfway) == picture.WAY


def test_a_new_episode_begins_a_new_way():
    conf = {"max_step": 3, "treasure_num": 13}  # all of them, so that episodes begin alike
    env = envs.make_vector("realm-mini", 1, env_conf=conf, render_mode="rgb_array")
    env.reset(seed=4)
    first = env.render()[0]
    for _ in range(3):
        env.step(np.array([NORTH]))
    assert not np.array_equal(env.render()[0], first), "the last picture is of the old episode"
    env.step(np.array([0]))  # gymnasium's NEXT_STEP: this one resets
    assert np.array_equal(env.render()[0], first)
    env.step(np.array([NORTH]))
    env.reset()
    assert np.array_equal(env.render()[0], first)


def test_a_flash_is_dashed(scene):
    scene.game.place(10.5 * CELL, 37.5 * CELL)
    scene.pictures.restart(scene.game.state)
    scene.step(EAST + FLASH)
    row = int((48 - 37.5) * scene.scale)
    left, right = int(12 * scene.scale), int(25 * scene.scale)
    seen = {tuple(pixel) for pixel in scene.draw()[row, left:right].tolist()}
    assert {picture.JUMP, picture.FLOOR} <= seen, "it is neither a line nor nothing"
    assert scene.game.x == 26.5 * CELL


def test_the_view_window_is_51_cells_wide():
    scene = Scene(open_world(128, points={2: (60, 60)}), treasure_id=[3])
    inside, outside = (60 - 25, 70), (60 - 26.2, 70)
    assert scene.colour(*(np.array(inside) + 0.7) * CELL) == picture.FLOOR
    assert sum(scene.colour(*np.array(outside) * CELL)) < sum(picture.FLOOR)
    assert scene.colour(85.5 * CELL, 70.5 * CELL) == picture.FLOOR
    assert sum(scene.colour(86.5 * CELL, 70.5 * CELL)) < sum(picture.FLOOR)


def test_the_strip_tells_the_figures(scene):
    scene.game.place(*scene.realm.positions[3])
    scene.step(EAST)
    scene.game.state.buff_left[0], scene.game.state.flash_wait[0] = 7, 33
    assert picture.figures(scene.game.state, 0) == [
        ("step", "1 / 2000"),
        ("score", "100.0"),
        ("treasures", "1 / 2"),
        ("flash", "in 33"),
        ("buff", "7 left"),
    ]
    assert scene.draw()[640:].max() == 255, "it is written on the picture"


@pytest.mark.parametrize(("steps", "expected"), [(1, "score, time over"), (9, "score, arrived")])
def test_the_strip_tells_the_end(steps, expected):
    scene = Scene(open_world(64, points={2: (30, 50), 1: (36, 50)}), max_step=steps)
    while not scene.game.over:
        scene.step(EAST)
    assert picture.figures(scene.game.state, 0)[1][0] == expected


def test_every_hero_has_a_picture_of_his_own():
    env = Realm(3, preset="realm-mini", render_mode="rgb_array")
    env.reset(seed=1)
    env.step(np.array([0, 2, 4]))
    frames = env.render()
    assert len(frames) == 3
    assert not np.array_equal(frames[0], frames[1])


def test_without_a_render_mode_nothing_is_drawn():
    env = Realm(1, preset="realm-mini")
    env.reset(seed=1)
    assert env.render() is None


def test_one_hero_renders_one_picture():
    env = RealmEnv(preset="realm-mini", render_mode="rgb_array")
    env.reset(seed=1)
    assert env.render().ndim == 3
    assert env.render_mode in env.metadata["render_modes"]


def test_the_facade_renders_the_same():
    facade = envs.facade("realm-mini", seed=3, render_mode="rgb_array")
    vector = envs.make_vector("realm-mini", 1, render_mode="rgb_array")
    facade.reset()
    vector.reset(seed=3)
    for action in (EAST, NORTH + FLASH, EAST):
        assert np.array_equal(facade.render(), vector.render()[0])
        facade.step(action)
        vector.step(np.array([action]))
    plain = envs.facade("realm-mini", seed=3)
    plain.reset()
    assert plain.render() is None


@pytest.mark.parametrize("size", [16, 101, 255])
def test_maps_of_every_size_are_drawn(size):
    points = {n: (2 + n % 4 * 3, 2 + n // 4 * 3) for n in range(16)}
    frame = Scene(open_world(size, points=points)).draw()
    assert frame.shape[1] == 640
    assert Image.fromarray(frame).getcolors(1 << 16)
