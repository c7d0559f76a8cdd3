"""How the hero moves: contract 5.4 "Motion", "Flash", "Buff", and the distances of 5.9 (a)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaimesh.envs.realm import core
from kaimesh.envs.realm.generate import generate
from tests.envs.realm.game import EAST, FLASH, NORTH, NORTH_EAST, SOUTH, SOUTH_WEST, WEST, Game, open_world

MIDDLE = (20_250.0, 20_250.0)


@pytest.mark.parametrize("action", range(8))
def test_a_walk_is_700_units_in_eight_directions(action):
    game = Game(open_world())
    game.place(*MIDDLE)
    game.step(action)
    angle = math.radians(45 * action)  # 0 is East (+x), counter-clockwise, so 2 is North (+z)
    assert game.position == pytest.approx((MIDDLE[0] + 700 * math.cos(angle), MIDDLE[1] + 700 * math.sin(angle)))
    assert game.bumps == 0


@pytest.mark.parametrize("action", range(8, 16))
def test_a_flash_is_8000_units_in_eight_directions(action):
    game = Game(open_world())
    game.place(*MIDDLE)
    game.step(action)
    angle = math.radians(45 * (action % 8))
    assert game.position == pytest.approx((MIDDLE[0] + 8000 * math.cos(angle), MIDDLE[1] + 8000 * math.sin(angle)))
    assert (game.flashes, game.bumps) == (1, 0)


def test_a_walk_into_a_wall_stops_at_it_and_counts_as_a_bump():
    game = Game(open_world(walls=[(30, 10, 2, 20)]))
    game.place(14_700.0, 10_000.0)  # the wall begins at 15000
    game.step(EAST)
    assert game.position == (15_000.0 - core.EDGE, 10_000.0)
    assert game.bumps == 1
    game.step(EAST)
    assert game.position == (15_000.0 - core.EDGE, 10_000.0)
    assert game.bumps == 2
    game.place(16_300.0, 10_000.0)
    game.step(WEST)
    assert game.position == (16_000.0 + core.EDGE, 10_000.0)


@pytest.mark.parametrize(("direction", "sideways"), [(NORTH_EAST, +1), (7, -1)], ids=["north-east", "south-east"])
def test_a_diagonal_walk_slides_along_the_wall(direction, sideways):
    game = Game(open_world(walls=[(30, 10, 2, 20)]))
    game.place(14_990.0, 10_000.0)
    game.step(direction)
    assert game.x == 15_000.0 - core.EDGE
    assert game.z == pytest.approx(10_000 + sideways * 700 * math.sqrt(0.5))
    assert game.bumps == 1, "it came less than 500 units far"


def test_a_slide_goes_on_behind_the_walls_end():
    game = Game(open_world(walls=[(30, 10, 2, 10)]))  # up to z = 10000
    game.place(14_990.0, 9_900.0)
    game.step(NORTH_EAST)
    assert game.x > 15_000
    assert game.z == pytest.approx(9_900 + 700 * math.sqrt(0.5))


def test_no_walk_goes_through_a_wall_of_one_cell_or_between_two_that_touch_at_a_corner():
    game = Game(open_world(walls=[(30, 10, 1, 20), (31, 30, 1, 20)]))
    game.place(14_999.0, 14_999.0)
    for _ in range(3):
        game.step(NORTH_EAST)
        assert game.x < 15_500


def test_a_buffed_walk_is_40_percent_longer_for_50_steps_and_the_buff_returns_after_454():
    game = Game(open_world())
    buff_x, buff_z = game.world.points[0]
    game.place(buff_x - 1600, buff_z)
    game.step(EAST)
    assert game.moved == 700
    assert game.buffs == 1, "900 units are near enough"
    game.place(buff_x - 8000, buff_z)
    moved = []
    for step in range(1, 460):
        if step == 450:
            game.place(buff_x - 500, buff_z)  # waits there
        game.step((EAST, WEST)[step % 2])
        moved.append(game.moved)
        assert game.buffs == (1 if step < 454 else 2), step
    assert moved[:50] == pytest.approx([980.0] * 50)
    assert moved[50:454] == pytest.approx([700.0] * 404)
    assert moved[454:] == pytest.approx([980.0] * 5)


def test_flash_has_to_wait_606_steps():
    game = Game(open_world())
    game.place(*MIDDLE)
    game.step(FLASH + EAST)
    ready_after = next(step for step in range(1, 2000) if game.step((NORTH, SOUTH)[step % 2]) and not game.flash_wait)
    assert ready_after == 606
    before = game.position
    game.step(FLASH + WEST)
    assert math.dist(before, game.position) == pytest.approx(8000)


def test_a_flash_that_is_not_ready_is_a_walk():
    game = Game(open_world())
    game.place(*MIDDLE)
    game.step(FLASH + EAST)
    before, wait = game.position, game.flash_wait
    game.step(FLASH + NORTH)
    assert game.position == pytest.approx((before[0], before[1] + 700))
    assert (game.flashes, game.flash_wait) == (1, wait - 1)


def test_a_flash_goes_through_walls():
    game = Game(open_world(walls=[(30, 0, 2, 60)]))
    game.place(12_250.0, 12_250.0)
    game.step(FLASH + EAST)
    assert game.position == (20_250.0, 12_250.0)


def nearest_free_cell(walkable: np.ndarray, x: float, z: float, direction: int) -> float:
    """The oracle, over all cells: the squared distance of the best allowed landing to the flash's goal."""
    angle = math.radians(45 * direction)
    goal_x, goal_z = x + 8000 * math.cos(angle), z + 8000 * math.sin(angle)
    rows, columns = np.nonzero(walkable)
    to_x, to_z = (columns + 0.5) * 500, (rows + 0.5) * 500
    allowed = np.hypot(to_x - x, to_z - z) <= 8000
    return float(np.min(np.hypot(to_x - goal_x, to_z - goal_z)[allowed]))


@given(seed=st.integers(0, 50), where=st.integers(0, 10**6), direction=st.integers(0, 7), mini=st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_blocked_flash_lands_on_the_free_cell_nearest_to_its_goal(seed, where, direction, mini):
    game = Game(generate(32 if mini else 128, seed))
    walkable = game.world.walkable
    rows, columns = np.nonzero(walkable)
    k = where % len(rows)
    x, z = columns[k] * 500 + 130.0, rows[k] * 500 + 420.0
    landed = core.flash(walkable, x, z, direction)
    assert walkable[int(landed[1] // 500), int(landed[0] // 500)]
    assert math.dist((x, z), landed) <= 8000 + 1e-6
    angle = math.radians(45 * direction)
    goal = x + 8000 * math.cos(angle), z + 8000 * math.sin(angle)
    size = len(walkable)
    column, row = math.floor(goal[0] / 500), math.floor(goal[1] / 500)
    if 0 <= column < size and 0 <= row < size and walkable[row, column]:
        assert landed == pytest.approx(goal)
    else:
        assert landed[0] % 500 == landed[1] % 500 == 250
        assert math.dist(landed, goal) == pytest.approx(nearest_free_cell(walkable, x, z, direction))


@given(seed=st.integers(0, 50), mini=st.booleans(), actions=st.lists(st.integers(0, 15), min_size=100, max_size=400))
@settings(max_examples=30, deadline=None)
def test_distances_per_step_and_never_in_a_wall(seed, mini, actions):
    game = Game(generate(32 if mini else 128, seed), start=5, max_step=2000)
    for action in actions:
        before, buffed, ready = game.position, game.buff_left > 0, game.flash_wait == 0
        _, terminated, truncated = game.step(action)
        moved = math.dist(before, game.position)
        assert moved == pytest.approx(game.moved)
        assert moved <= (8000 if action >= 8 and ready else 980 if buffed else 700) + 1e-6
        assert game.world.walkable[int(game.z // 500), int(game.x // 500)]
        if terminated or truncated:
            game.step(0)
    assert game.step(SOUTH_WEST)[0] == 0
