"""What is seen, against slow readings of contract 5.4 in numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaimesh.envs.realm import core, views
from kaimesh.envs.realm.generate import generate
from kaimesh.envs.realm.map import UNREACHABLE
from tests.envs.realm.game import EAST, NORTH, WEST, Game, open_world

M = 51 * 51


def maps_of(game: Game) -> np.ndarray:
    out = np.full((1, 4, M), 77, np.uint8)  # poison
    views.write_maps(game.world, game.state, out)
    return out[0].reshape(4, 51, 51)


def features_of(game: Game) -> np.ndarray:
    out = np.full((1, views.FEATURES), np.nan, np.float32)
    views.write_features(game.world, game.state, out)
    return out[0]


def test_the_orientation_is_rows_to_the_north_and_columns_to_the_east():
    game = Game(open_world(walls=[(20, 30, 1, 1)], points={3: (23, 26)}), treasure_id=[3])
    game.place(20_250.0, 12_250.0)  # cell (40, 24)
    obstacle, treasure, end, _ = maps_of(game)
    assert obstacle[25 + 6, 25 - 20] == 0
    assert obstacle[25 + 6, 25 - 19] == 1
    assert treasure[25 + 2, 25 - 17] == 1
    assert treasure.sum() == 1
    assert end.sum() == 0, "the end is 36 cells away"
    game.place(14_250.0, 2_250.0)  # cell (28, 4)
    assert maps_of(game)[2][25, 25 - 24] == 1
    assert maps_of(game)[2].sum() == 1
    assert (maps_of(game)[0][: 25 - 4] == 0).all(), "outside of the world is wall"


@given(seed=st.integers(0, 30), mini=st.booleans(), actions=st.lists(st.integers(0, 15), min_size=1, max_size=120))
@settings(max_examples=30, deadline=None)
def test_maps_are_windows_of_the_world(seed, mini, actions):
    game = Game(generate(32 if mini else 128, seed), seed + 1, treasure_random=1, treasure_num=11)
    size = len(game.world.walkable)
    visits: dict[tuple[int, int], int] = {}
    for action in actions:
        cell = int(game.x // 500), int(game.z // 500)
        visits[cell] = visits.get(cell, 0) + 1
        if any(game.step(action)[1:]):
            return
    x, z = int(game.x // 500), int(game.z // 500)
    expected = np.zeros((4, 51, 51))
    cells = (game.world.points // 500).astype(int).tolist()
    for dz in range(-25, 26):
        for dx in range(-25, 26):
            at = x + dx, z + dz
            inside = 0 <= at[0] < size and 0 <= at[1] < size
            expected[0, 25 + dz, 25 + dx] = inside and game.world.walkable[at[1], at[0]]
            expected[1, 25 + dz, 25 + dx] = any(list(at) == cells[n] and game.present[n] for n in range(1, 16))
            expected[2, 25 + dz, 25 + dx] = list(at) == cells[1]
            expected[3, 25 + dz, 25 + dx] = min(visits.get(at, 0), 5)
    assert np.array_equal(maps_of(game), expected)
    packed = np.full((1, M), 77, np.uint8)
    views.write_packed(game.world, game.state, packed)
    expected[3] /= 5
    assert np.array_equal(views.unpack(packed)[0], expected.astype(np.float32))
    assert views.unpack(packed).dtype == np.float32


@given(angle=st.floats(0, 360), length=st.floats(1, 90_000))
def test_directions_are_eighths_of_the_circle(angle, length):
    off = (angle + 22.5) % 45
    if 0.001 < off < 44.999:
        direction = views.direction_to(length * math.cos(math.radians(angle)), length * math.sin(math.radians(angle)))
        assert direction == round(angle / 45) % 8 + 1


def test_directions_count_from_east_counter_clockwise():
    around = [(1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1)]
    assert [views.direction_to(100.0 * x, 100.0 * z) for x, z in around] == list(range(1, 9))
    assert views.direction_to(0.0, 0.0) == 1, "0 would mean that there is nothing"


def test_distance_classes_grow_from_1_to_5():
    straight = [views.straight_class(cells * 500.0, 0.0, 128) for cells in (0, 19.9, 20.1, 45, 65, 79.9, 80.1, 170)]
    assert straight == [1, 1, 2, 3, 4, 4, 5, 5]
    assert [views.way_class(cells, 128) for cells in (0, 51, 52, 103, 154, 205, 300, 1000)] == [1, 1, 2, 3, 4, 5, 5, 5]
    assert views.straight_class(0.0, 20.1 * 125, 32) == 2, "a small world has small distances"


def test_a_way_is_a_share_of_256_and_1_means_nothing():
    assert views.way_share(64, 128) == 0.25
    assert views.way_share(256, 128) == views.way_share(300, 128) == 255 / 256
    assert generate(128, 0).distances[0].max(where=generate(128, 0).distances[0] < UNREACHABLE, initial=0) > 0


def test_features_are_what_the_table_says():
    game = Game(open_world(), treasure_id=[3], max_step=100)
    game.step(EAST)
    row = features_of(game)
    assert row[:2] == pytest.approx([6950 / 32000, 2250 / 32000])
    assert row[2:6] == pytest.approx([1, 0, 0, 0.99])
    way = (13 - 4) / 128
    assert row[6:12] == pytest.approx([1, -1, 0, 0.2, 0.2, way]), "the end, in the West"
    half = math.sqrt(0.5)
    assert row[12:18] == pytest.approx([1, half, half, 4 / 5, 2 / 5, (19 + 28) / 128]), "the buff, in the North-East"
    third = row[12 + 6 * 3 : 12 + 6 * 4]
    assert third == pytest.approx([1, 1, 0, 0.2, 0.2, 7 / 128])
    nothing = [0, 0, 0, 1, 1, 1]
    for n in (1, 2, *range(4, 16)):
        assert row[12 + 6 * n : 18 + 6 * n].tolist() == nothing
    game.step(8 + NORTH)
    row = features_of(game)
    assert row[2:4] == pytest.approx([0, 1])
    game.step(WEST)
    assert features_of(game)[3] == pytest.approx(605 / 606)


def test_what_is_taken_is_gone_from_the_features():
    game = Game(open_world(), treasure_id=[3])
    game.place(10_000.0, 2_250.0)
    game.step(WEST)
    assert features_of(game)[30:36].tolist() == [0, 0, 0, 1, 1, 1]
    game.place(*game.world.points[0])
    game.step(WEST)
    assert features_of(game)[12:18].tolist() == [0, 0, 0, 1, 1, 1]
    assert features_of(game)[4] == 1


@given(seed=st.integers(0, 30), actions=st.lists(st.integers(0, 15), min_size=1, max_size=200))
@settings(max_examples=20, deadline=None)
def test_features_stay_within_their_bounds_and_ways_are_the_maps(seed, actions):
    game = Game(generate(32, seed), seed + 1, treasure_random=1, treasure_num=6, max_step=150)
    for action in actions:
        game.step(action)
        row = features_of(game)
        assert np.isfinite(row).all()
        assert np.abs(row).max() <= 1
        objects = row[6:].reshape(-1, 6)
        assert ((objects[:, 5] == 1) == (objects[:, 0] == 0)).all()
        x, z = int(game.x // 500), int(game.z // 500)
        assert objects[0, 5] == pytest.approx(min(game.world.distances[1, z, x], 63) / 64)
    assert core.DIRECTIONS == 8
