"""What a network sees of the Realm, against the game's own state, in plain Python."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaimesh.contract.arrays import Batch
from kaimesh.envs.realm import core, views
from kaimesh.envs.realm import features as realm
from kaimesh.envs.realm.map import PRESETS
from kaimesh.envs.realm.task import MAX_STEP
from kaimesh.envs.realm.vector import Realm
from kaimesh.envs.registry import ENVIRONMENTS
from tests.envs.realm.game import EAST, FLASH, NORTH, WEST, open_world
from tests.envs.realm.walks import Walk, cell_of, on_map, rays, target, wanders, way

WIDTHS = {"state": 6, "objects": 102, "target": 16, "to the target": 4, "place": 320}
WIDTHS |= {"rays": 16, "ground": 49, "visits": 25, "last step": 9}


def blocks_of(row: np.ndarray) -> dict[str, np.ndarray]:
    """A row of features by the lines of the table."""
    assert row.shape == (sum(WIDTHS.values()),)
    return dict(zip(WIDTHS, np.split(row, np.cumsum(list(WIDTHS.values()))[:-1]), strict=True))


def one_hot(size: int, *ones: int) -> list[int]:
    return [int(k in ones) for k in range(size)]


def window(walk: Walk, cells: np.ndarray, i: int, radius: int) -> np.ndarray:
    """Of an array padded by 25 cells."""
    row, column = (part + 25 for part in cell_of(walk, i))
    return cells[row - radius : row + radius + 1, column - radius : column + radius + 1].ravel()


def check_observation(walk: Walk, i: int) -> None:
    """Every block that one observation is enough for."""
    state, size, blocks = walk.state, walk.size, blocks_of(walk.seen[i])
    x, z = state.x[i] / 500 / size, state.z[i] / 500 / size
    expected = np.zeros((1, views.FEATURES), np.float32)
    views.write_features(walk.world, core.State(*(array[i : i + 1] for array in state)), expected)
    assert np.array_equal(np.concatenate([blocks["state"], blocks["objects"]]), expected[0])
    point = target(walk, i)
    number = 0 if point == state.end[i] else point
    assert blocks["target"].tolist() == one_hot(16, number)
    far_x, far_z = walk.world.points[point] - (state.x[i], state.z[i])
    octant = round(math.degrees(math.atan2(far_z, far_x)) / 45) * math.pi / 4
    assert blocks["to the target"][2] == np.float32(way(walk, i, point) / (2 * size))
    if math.hypot(far_x, far_z) > 0 and abs(math.atan2(far_z, far_x) - octant) < math.radians(22.4):
        assert blocks["to the target"][:2] == pytest.approx([math.cos(octant), math.sin(octant)], abs=1e-6)
    if min(v % (1 / 32) for v in (x, z)) > 1e-6:
        tile = int(z * 16) * 16 + int(x * 16)
        assert blocks["place"].tolist() == one_hot(320, int(x * 32), 32 + int(z * 32), 64 + tile)
    places = ((x * size + dx, z * size + dz) for dx in (0, -2e-5, 2e-5) for dz in (0, -2e-5, 2e-5))  # float32 places
    wrong = np.ones(16, bool)
    while wrong.any() and (place := next(places, None)):
        wrong &= np.abs(blocks["rays"] - rays(walk, *place)) > 1e-6
    assert not wrong.any()
    assert blocks["ground"].tolist() == window(walk, walk.world.ground, i, 3).tolist()
    assert blocks["visits"] == pytest.approx(window(walk, state.memory[i], i, 2) / 5)


def check_last_step(walk: Walk, i: int, action: int | None, closer: float, bumps: int) -> None:
    """The blocks that tell of the step before; action None: there was none."""
    blocks = blocks_of(walk.seen[i])
    assert blocks["to the target"][3] == (0 if action is None else np.clip(closer / 4, -1, 1))
    direction = () if action is None else (action % 8,)
    assert blocks["last step"] == pytest.approx([*one_hot(8, *direction), min(bumps, 5) / 5])


def expected_reward(before: dict[str, int], walk: Walk, i: int, closer: float, visits: int, bumps: int) -> float:
    """The table's lines with their sizes, from the game's own counts."""
    state = walk.state
    reward = 1.0 * (state.treasures[i] - before["treasures"]) + 0.02 * closer - 0.005 - 0.01 * visits
    reward -= 0.02 * min(bumps, 5)
    if state.flashes[i] > before["flashes"] and closer < 5:
        reward -= 0.1
    if walk.terminated[i]:
        reward += 1.5 - 0.5 * state.present[i].sum()
    return reward - 1.0 * walk.truncated[i]


COUNTS = ("treasures", "bumps", "flashes", "buffs")


def play(walk: Walk, steps: int, seed: int) -> dict[str, int]:
    """Walks about and checks everything; returns how often what happened."""
    rng, count, over = np.random.default_rng(seed), len(walk.seen), np.ones(len(walk.seen), bool)
    happened = dict.fromkeys((*COUNTS, "arrived", "late", "reset", "buffed bumps"), 0)
    for i in range(count):
        check_observation(walk, i)
        check_last_step(walk, i, None, 0, 0)
    over[:] = False
    row_of_bumps = [0] * count
    for _ in range(steps):
        actions = wanders(walk, rng)
        points = [target(walk, i) for i in range(count)]
        ways = [way(walk, i, point) for i, point in enumerate(points)]
        before = [{name: int(getattr(walk.state, name)[i]) for name in COUNTS} for i in range(count)]
        fast = walk.state.buff_left > 0
        shaped = walk.step(actions)
        for i, point in enumerate(points):
            check_observation(walk, i)
            if over[i]:
                assert shaped[i] == 0
                check_last_step(walk, i, None, 0, 0)
                happened["reset"] += 1
                row_of_bumps[i] = 0
                continue
            taken = point != walk.state.end[i] and not walk.state.present[i, point]
            closer = ways[i] - (0 if taken else way(walk, i, point))
            row, column = (part + 25 for part in cell_of(walk, i))
            visits = int(walk.state.memory[i, row, column])
            bumped = walk.state.bumps[i] > before[i]["bumps"]
            row_of_bumps[i] = row_of_bumps[i] + 1 if bumped else 0
            expected = expected_reward(before[i], walk, i, closer, visits, row_of_bumps[i])
            assert shaped[i] == pytest.approx(expected, abs=1e-5)
            check_last_step(walk, i, int(actions[i]), closer, row_of_bumps[i])
            for name in COUNTS:
                happened[name] += int(getattr(walk.state, name)[i]) - before[i][name]
            happened["buffed bumps"] += bumped and fast[i]
        happened["arrived"] += int(walk.terminated.sum())
        happened["late"] += int(walk.truncated.sum())
        over = walk.terminated | walk.truncated
    return happened


def test_the_layout_is_the_environments():
    assert (realm.VIEW, realm.RADIUS, realm.OBJECTS) == (views.VIEW, core.RADIUS, views.OBJECTS)
    assert realm.VECTOR == views.FEATURES
    assert Realm(1, observation="bytes").single_observation_space.shape == (realm.OBSERVATION,)
    assert (1 << realm.MEMORY_SHIFT, realm.MEMORY_SHIFT) == (2 * views.END_BIT, views.MEMORY_SHIFT)
    assert (realm.FULL_MEMORY, realm.CELL, realm.DIRECTIONS) == (core.FULL_MEMORY, views.CELL, core.DIRECTIONS)
    assert core.BUMP < realm.BUMP < core.BUMP + 0.1
    assert core.BUFF_STEPS < MAX_STEP
    for name, size in PRESETS.items():
        assert Realm(1, preset=name).map.size == size
        assert name in ENVIRONMENTS


def test_everything_is_as_the_tables_say_in_the_small_world():
    """On several maps; treasure_num from 0, so that some go for the end from the start."""
    happened = dict.fromkeys(("treasures", "bumps", "flashes", "buffs", "arrived", "late", "reset", "buffed bumps"), 0)
    for seed in range(3):
        walk = Walk(4, seed, map_seed=seed, treasure_num=[0, 6], max_step=130)
        for name, number in play(walk, 300, seed).items():
            happened[name] += number
    assert all(number > 2 for number in happened.values()), happened


def test_everything_is_as_the_tables_say_in_the_large_world():
    walk = Walk(3, 5, preset="realm", treasure_num=9, max_step=250)
    happened = play(walk, 520, 5)
    assert happened["treasures"] > 0
    assert happened["late"] > 2


@given(seed=st.integers(0, 10_000), max_step=st.integers(1, 40), size=st.sampled_from(["realm", "realm-mini"]))
@settings(max_examples=15, deadline=None)
def test_everything_is_as_the_tables_say_in_any_episode(seed, max_step, size):
    play(Walk(2, seed, preset=size, treasure_num=[0, 13], max_step=max_step), 50, seed)


def test_slots_do_not_mix_and_the_same_is_always_seen_the_same():
    walk, rng = Walk(5, 3, treasure_num=[0, 5], max_step=60), np.random.default_rng(3)
    alone = [realm.RealmFeatures(1, walk.env.spaces, walk.size) for _ in range(5)]
    for i, one in enumerate(alone):
        assert np.array_equal(one.reset(walk.observations[i : i + 1]), walk.seen[i : i + 1])
    for _ in range(200):
        actions = wanders(walk, rng)
        shaped = walk.step(actions)
        for i, one in enumerate(alone):
            part = slice(i, i + 1)
            inputs = walk.observations, actions, np.full(5, np.nan), walk.terminated, walk.truncated
            seen, reward = one.step(*(array[part] for array in inputs))
            assert np.array_equal(seen, walk.seen[part])
            assert np.array_equal(reward, shaped[part])


def test_a_reset_forgets_everything():
    walk, rng = Walk(3, 8), np.random.default_rng(8)
    for _ in range(30):
        walk.step(wanders(walk, rng))
    observations, _ = walk.env.reset(seed=9)
    fresh = realm.RealmFeatures(3, walk.env.spaces, walk.size)
    assert np.array_equal(walk.features.reset(observations), fresh.reset(observations))
    actions = np.array([0, 3, 8])
    step = walk.env.step(actions)
    for old, new in zip(*(one.step(step[0], actions, *step[1:4]) for one in (walk.features, fresh)), strict=True):
        assert np.array_equal(old, new)


def test_what_was_returned_is_not_overwritten():
    walk = Walk(2)
    kept, copy = walk.seen, walk.seen.copy()
    shaped = walk.step([0, 1])
    assert np.array_equal(kept, copy)
    kept_shaped = shaped.copy()
    walk.step([2, 3])
    assert np.array_equal(shaped, kept_shaped)


def test_500_units_are_a_bump_wherever_they_are_walked(tmp_path):
    """From the edge of one wall to the edge of the next: float32 places must not make it 500.004."""
    walk = on_map(tmp_path, open_world(walls=[(33, 10, 1, 1)]), treasure_id=[])
    walk.place(32 * 500 - 1, 10 * 500 + 250)  # in float32, it is 500.001 from there to the wall
    walk.step([EAST])
    assert walk.state.moved[0] == 500
    assert walk.state.bumps[0] == 1
    assert blocks_of(walk.seen[0])["last step"] == pytest.approx([*one_hot(8, EAST), 0.2])


def test_rays_along_the_axes_stay_in_their_row_of_cells(tmp_path):
    """On the border of a free and a walled column: cos(270 degrees) is -2e-16, and must not lead into the wall."""
    walk = on_map(tmp_path, open_world(walls=[(29, 20, 1, 30)]), treasure_id=[])
    walk.place(30 * 500.0, 40 * 500 + 250)
    east, north, west, south = blocks_of(walk.seen[0])["rays"][::4]
    assert (east, north, west, south) == (1, 1, 0, 1)


def test_a_fast_hero_bumps_at_the_same_500_units(tmp_path):
    walk = on_map(tmp_path, open_world(walls=[(40, 10, 1, 1)]), treasure_id=[])
    walk.place(39 * 500 - 100, 10 * 500 + 250)
    walk.state.buff_left[0] = 10
    walk.step([EAST])
    assert 500 < walk.state.moved[0] < 700
    assert blocks_of(walk.seen[0])["last step"][8] == 0
    for row in (1, 2, 3, 4, 5, 5):
        walk.step([EAST])
        assert blocks_of(walk.seen[0])["last step"][8] == pytest.approx(row / 5)
    walk.step([WEST])
    assert blocks_of(walk.seen[0])["last step"][8] == 0


def test_a_flash_is_no_bump_however_short(tmp_path):
    """All is wall but one cell beside the hero's: the flash lands in the middle of the cell that it started from."""
    free = np.zeros((20, 20), bool)
    free[1:3, 1:17] = True
    world = open_world(20, points={n: (1 + n, 1 + n % 2) for n in range(16)})
    world = type(world)(free, world.points, "narrow")
    walk = on_map(tmp_path, world, treasure_id=[], start=14)
    walk.step([FLASH + EAST])
    assert walk.state.flashes[0] == 1
    assert walk.state.moved[0] <= 500
    assert blocks_of(walk.seen[0])["last step"].tolist() == one_hot(9, EAST)


def test_a_flash_that_is_not_ready_is_a_walk(tmp_path):
    walk = on_map(tmp_path, open_world(), treasure_id=[])
    walk.step([FLASH + NORTH])
    penalty = walk.step([FLASH + NORTH])[0] - walk.step([NORTH])[0]
    assert walk.state.flashes[0] == 1
    assert abs(penalty) < 0.05, "no misuse"


@pytest.mark.parametrize(("direction", "cells"), [(EAST, 16), (WEST, -4)])
def test_a_flash_is_misused_unless_it_saves_5_cells(tmp_path, direction, cells):
    walk = on_map(tmp_path, open_world(points={1: (60, 4), 2: (5, 4)}), treasure_id=[])
    misuse = -0.1 if cells < 5 else 0
    assert walk.step([FLASH + direction])[0] == pytest.approx(0.02 * cells - 0.005 + misuse, abs=1e-6)


def test_a_treasure_that_is_taken_is_0_cells_away_and_the_next_becomes_the_target(tmp_path):
    walk = on_map(tmp_path, open_world(points={2: (10, 4), 3: (14, 4), 4: (20, 4)}), treasure_id=[3, 4])
    assert blocks_of(walk.seen[0])["target"].tolist() == one_hot(16, 3)
    assert walk.step([EAST])[0] == pytest.approx(0.02 * 1 - 0.005)  # 1.4 cells: one border is crossed
    assert walk.step([EAST])[0] == pytest.approx(1 + 0.02 * 3 - 0.005)
    assert walk.state.x[0] == 5250 + 2 * 700, "1.2 cells away"
    assert blocks_of(walk.seen[0])["target"].tolist() == one_hot(16, 4)
    assert blocks_of(walk.seen[0])["to the target"][3] == 0.75
    assert walk.step([EAST])[0] == pytest.approx(0.02 * 1 - 0.005), "the first step towards the next"


def test_the_first_observation_must_be_of_the_worlds_size():
    for preset, other in (("realm", 32), ("realm-mini", 128), ("realm-mini", 64)):
        env = Walk(3, preset=preset)
        wrong = realm.RealmFeatures(3, env.env.spaces, other)
        with pytest.raises(ValueError, match=f"{other} x {other} cells, and this is another.*the algorithm's features"):
            wrong.reset(env.observations)


def test_compiled_features_use_no_compiled_code_of_another_file():
    """Numba checks a function's own file only: an edit of another would do nothing until the cache is deleted."""
    compiled = [one for one in vars(realm).values() if hasattr(one, "py_func")]
    own = [one for one in compiled if inspect.getmodule(one.py_func) is realm]
    assert len(own) > 5
    foreign = [one.py_func.__name__ for one in compiled if one not in own]
    assert not {name for one in own for name in one.py_func.__code__.co_names} & set(foreign)


def test_a_network_reads_the_features_as_one_array_and_the_maps_as_an_image():
    """Through the environments as the mesh makes them: PPO predicts from what it is given."""
    from kaimesh import envs
    from kaimesh.algorithms.ppo.agent import Agent
    from kaimesh.algorithms.ppo.config import Config

    for name, kind, reads in (("realm-mini", "mlp", realm.FEATURES), ("realm-mini-maps", "nature", realm.VECTOR)):
        agent = Agent("learner", config=Config(features=name))
        env = envs.featured(envs.make_vector("realm-mini", 2, env_conf={"observation": "bytes"}), agent)
        agent.setup(env.spaces)
        torso = agent._net.torso
        assert (torso.kind, torso.vector_width if torso.image else torso.width) == (kind, reads)
        obs, _ = env.reset(seed=0)
        acts = agent.exploit(Batch({"obs": obs, "legal_act": env.legal_actions}))
        assert acts.columns["action"].shape == (2,)


def test_maps_leave_the_observation_and_shape_the_rewards():
    walk, rng = Walk(3, 4), np.random.default_rng(4)
    maps = realm.FEATURES_BY_NAME["realm-mini-maps"](3, walk.env.spaces)
    assert maps.spaces == walk.env.spaces
    assert maps.reset(walk.observations) is walk.observations
    for _ in range(50):
        actions = wanders(walk, rng)
        shaped = walk.step(actions)
        seen, rewards = maps.step(walk.observations, actions, np.zeros(3), walk.terminated, walk.truncated)
        assert seen is walk.observations
        assert np.array_equal(rewards, shaped)
