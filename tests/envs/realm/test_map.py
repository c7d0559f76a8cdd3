"""Maps: properties of what is generated, files, refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaimesh.contract.errors import ConfigError
from kaimesh.envs.realm.atlas import find
from kaimesh.envs.realm.generate import generate, spacing
from kaimesh.envs.realm.map import BUFF, PRESETS, UNREACHABLE, RealmMap, distance_field, load

SIZES = st.sampled_from(sorted(PRESETS.values()))
SEEDS = st.integers(0, 10_000)


@given(size=SIZES, seed=SEEDS)
@settings(max_examples=25, deadline=None)
def test_generated_maps_are_connected_and_their_points_far_apart(size, seed):
    realm = generate(size, seed)
    assert realm.walkable.shape == (size, size)
    border = np.concatenate([realm.walkable[[0, -1]].ravel(), realm.walkable[:, [0, -1]].ravel()])
    assert not border.any(), "the world has a wall around it"
    assert ((realm.distances[0] < UNREACHABLE) == realm.walkable).all(), "every free cell is reached"
    gaps = np.hypot(*np.moveaxis(realm.points[:, None] - realm.points[None], -1, 0))
    assert gaps[~np.eye(16, dtype=bool)].min() >= spacing(size)
    assert np.abs(realm.points[BUFF] - size / 2).max() <= size / 6, "the buff is near the middle"
    for x, z in realm.points:
        assert realm.walkable[z - 1 : z + 2, x - 1 : x + 2].all()


@given(size=SIZES, seed=SEEDS)
@settings(max_examples=10, deadline=None)
def test_no_point_closes_the_way_to_another(size, seed):
    realm = generate(size, seed)
    z, x = np.mgrid[:size, :size]
    for n, (point_x, point_z) in enumerate(realm.points):
        others = np.delete(realm.points, n, 0)
        free = realm.walkable & (np.hypot(x - point_x, z - point_z) > 2)  # outside of its pickup circle
        reached = distance_field(free, *others[0]) != UNREACHABLE
        assert all(reached[other_z, other_x] for other_x, other_z in others), f"behind point {n}"


@given(seed=SEEDS)
@settings(max_examples=10, deadline=None)
def test_a_flash_is_worth_using(seed):
    realm = generate(128, seed)
    straight = np.abs(realm.points[:, None] - realm.points[None]).sum(-1)  # 4-neighbour steps, were there no walls
    ways = np.array([[field[z, x] for x, z in realm.points] for field in realm.distances], int)
    assert (ways >= straight).all()
    assert ways.sum() > 1.1 * straight.sum(), "walls make ways longer"
    jumps = 0  # a flash of 16 cells East or North saves more than three times its own length
    for z in range(1, 127):
        for x in range(1, 111):
            if realm.walkable[z, x] and realm.walkable[z, x + 16]:
                field = realm.distances[:, z, [x, x + 16]].astype(int)
                jumps += bool((np.abs(field[:, 0] - field[:, 1]) > 48).any())
    assert jumps > 20


@given(size=SIZES, seed=SEEDS)
@settings(max_examples=5, deadline=None)
def test_the_same_seed_is_the_same_map(size, seed):
    one, same, other = generate(size, seed), generate(size, seed), generate(size, seed + 1)
    assert np.array_equal(one.walkable, same.walkable)
    assert np.array_equal(one.points, same.points)
    assert not np.array_equal(one.walkable, other.walkable)


def test_distances_are_shortest_ways():
    realm = generate(32, 3)
    size = realm.size
    for (x, z), field in zip(realm.points, realm.distances, strict=True):
        assert field[z, x] == 0
        padded = np.full((size + 2, size + 2), 10**6)
        padded[1:-1, 1:-1] = np.where(realm.walkable, field.astype(int), 10**6)
        nearest = np.min([padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]], axis=0)
        expected = np.where(realm.walkable, nearest + 1, UNREACHABLE)
        expected[z, x] = 0
        assert np.array_equal(field, expected)  # Bellman's equation has one solution


def test_a_map_goes_through_a_file(tmp_path):
    realm = generate(32, 5)
    realm.save(tmp_path / "map.json")
    again = load(tmp_path / "map.json")
    assert np.array_equal(again.walkable, realm.walkable)
    assert np.array_equal(again.points, realm.points)
    rows = json.loads((tmp_path / "map.json").read_text())["rows"]
    x, z = realm.points[1].tolist()
    assert rows[31 - z][x] == ".", "rows run from North to South"
    assert find("realm-mini", 0, str(tmp_path / "map.json")).size == 32


def test_find_makes_a_map_once():
    assert find("realm-mini", 4) is find("realm-mini", 4)
    assert find("realm").size == 128
    with pytest.raises(ConfigError, match="'realms' is unknown"):
        find("realms")


def test_pockets_that_nobody_reaches_are_walls():
    realm = generate(32, 0)
    walkable = realm.walkable.copy()
    walkable[0, 0] = True
    assert not RealmMap(walkable, realm.points, "pocket").walkable[0, 0]


def broken_maps():
    realm = generate(32, 0)
    free, points = realm.walkable.copy(), realm.points
    in_wall = points.copy()
    in_wall[7] = 0
    outside = points.copy()
    outside[9] = (32, 3)
    x, z = points[3]
    closed = free.copy()
    closed[z - 2 : z + 3, x - 2 : x + 3] = False
    closed[z, x] = True
    return [
        (free[:-1], points, "square"),
        (free[:8, :8], points, "8 cells per side"),
        (free, points[:-1], "there must be 16"),
        (free, in_wall, "point 7"),
        (free, outside, r"point 9 at cell \(32, 3\)"),
        (closed, points, "no way leads from point 0 to point"),
    ]


@pytest.mark.parametrize("case", range(6))
def test_broken_maps_are_refused(case):
    walkable, points, reason = broken_maps()[case]
    with pytest.raises(ConfigError, match=reason):
        RealmMap(walkable, points, "broken")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"rows": ["..", "."], "points": []}', '{"rows": ["ab"], "points": []}']
)
def test_files_that_are_no_maps_are_refused(tmp_path, text):
    (tmp_path / "map.json").write_text(text)
    with pytest.raises(ConfigError, match="is no map"):
        load(tmp_path / "map.json")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.json"):
        load(tmp_path / "nowhere.json")
