"""The oracle's claim: nobody who walks scores more, and a script comes near it."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaimesh.envs.realm import core, lattice, legs, oracle
from kaimesh.envs.realm.atlas import find
from kaimesh.envs.realm.follow import follow
from kaimesh.envs.realm.generate import generate
from kaimesh.envs.realm.task import Task
from tests.envs.realm.game import Game, open_world

SEEDS = st.integers(0, 60)


def draw(seed: int, count: int) -> list[int]:
    return sorted((3 + np.random.default_rng(seed).permutation(13)[:count]).tolist())


def scores_of(realm, treasures, actions, max_step):
    """Scores of sequences of actions `[T, N]`, each repeated from its start until its episode ends."""
    steps, count = actions.shape
    world, state = core.world_of(realm), core.new_state(count, realm.size)
    task = Task(2, 1, 0, -1, sum(1 << n for n in treasures), max_step)
    core.reset_all(world, state, task)
    out = np.zeros(count, np.float32), np.zeros(count, bool), np.zeros(count, bool)
    final = np.zeros(count)
    for t in range(steps):
        playing = (final == 0) & (state.over == 0)
        core.step(world, state, task, actions[t], *out)
        final[playing & out[1]] = state.score[playing & out[1]]
    return final


# --- lengths ---


@given(seed=SEEDS, rng=st.integers(0, 10**6), buffed=st.booleans())
@settings(max_examples=40, deadline=None)
def test_no_walk_is_longer_than_its_steps(seed, rng, buffed):
    """The relaxation is one: n steps never come farther than n * 700 on the lattice of thin walls."""
    realm, random = generate(32, seed), np.random.default_rng(rng)
    free = legs.ground(realm)
    x, z = realm.positions[2]
    field = lattice.field(free, lattice.circle(32, legs.PER_CELL, realm.positions[2], 1.0))
    length = core.BUFFED_WALK if buffed else core.WALK
    walkable, direction = realm.walkable.astype(np.uint8), 0
    for n in range(1, 200):
        if random.random() < 0.4:
            direction = random.integers(8)
        # as far as it can get: of three directions the one that leads away
        around = [core.walk(walkable, x, z, (direction + turn) % 8, length) for turn in (-1, 0, 1)]
        x, z = max(around, key=lambda place: lattice.length_from(field, legs.SIDE, *place))
        assert lattice.length_from(field, legs.SIDE, x, z) <= n * length + 2 * legs.SLACK
        column, row = round(x / legs.SIDE), round(z / legs.SIDE)
        assert field[row, column] * legs.SIDE <= n * length + legs.SLACK


def test_a_step_that_cuts_a_corner_is_no_longer_than_a_step():
    """North-East around the lower right corner of a wall, at (20000, 15000), along which he came."""
    realm = open_world(walls=[(30, 30, 10, 10)], points={0: (50, 50)})
    x, z = core.walk(realm.walkable.astype(np.uint8), 19_877.0, 15_000.0 - core.EDGE, 1, core.WALK)
    assert (x, z) == pytest.approx((20_372, 15_494), abs=1)
    start = lattice.circle(64, legs.PER_CELL, np.array([19_875.0, 15_000.0]), 1.0)
    end = round(z / legs.SIDE), round(x / legs.SIDE)  # 8 units away
    assert lattice.field(legs.ground(realm), start)[end] * legs.SIDE <= core.WALK + 15
    walls_as_they_are = lattice.squares(realm.walkable, legs.PER_CELL)
    assert lattice.field(walls_as_they_are, start)[end] * legs.SIDE > core.WALK + 50, "so this is a case for thin walls"


def test_lengths_in_the_open_are_the_octile_norm():
    free = np.ones((40, 40), bool)
    source = np.zeros((41, 41), bool)
    source[10, 7] = True
    field = lattice.field(free, source)
    rows, columns = np.abs(np.mgrid[-10:31, -7:34])
    assert np.allclose(field, np.maximum(rows, columns) + (math.sqrt(2) - 1) * np.minimum(rows, columns))


def test_lengths_go_around_walls_by_their_corners():
    free = np.ones((20, 20), bool)
    free[:15, 10] = False
    source = np.zeros((21, 21), bool)
    source[5, 8] = True
    field = lattice.field(free, source)
    assert field[5, 11] == pytest.approx((8 + 2 * math.sqrt(2)) + 1 + 10)
    assert not np.isfinite(lattice.field(free & (np.arange(20) != 10), source)[5, 12])


def fewest_steps(realm, start: int, end: int) -> int:
    """Breadth-first over places that walking reaches, one for each 40 x 40 units: nearly the fewest, never fewer."""
    walkable = realm.walkable.astype(np.uint8)
    goal = realm.positions[end]
    seen, front = set(), [tuple(realm.positions[start])]
    for steps in range(1, 200):
        after = []
        for x, z in front:
            for direction in range(8):
                place = core.walk(walkable, x, z, direction, core.WALK)
                if math.dist(place, goal) <= core.REACH:
                    return steps
                key = int(place[0] // 40), int(place[1] // 40)
                if key not in seen:
                    seen.add(key)
                    after.append(place)
        front = after
    raise AssertionError("no way")


@pytest.mark.parametrize("seed", range(3))
def test_the_way_from_start_to_end_is_nearly_a_search_over_all_walks(seed):
    realm = generate(32, seed)
    for start, end in [(2, 1), (5, 9), (4, 12)]:
        bound = math.ceil(legs.legs(realm).leaving[0, start, end] / core.WALK)
        found = fewest_steps(realm, start, end)
        assert bound <= found <= 1.12 * bound + 2, (start, end)


# --- the order of treasures ---


def enumerate_orders(realm, treasures, max_step):
    """The best score over all subsets and orders and one visit of the buff at any place: what the oracle must find."""
    between, leaving = (lengths[0] for lengths in legs.legs(realm))

    def fast(units):
        return units / 980 if units <= 49_000 else 50 + (units - 49_000) / 700

    best = 0.0
    for size in range(len(treasures) + 1):
        for chosen in itertools.permutations(treasures, size):
            for place in range(-1, size + 1):
                route = [*chosen[:place], 0, *chosen[place:], 1] if place >= 0 else [*chosen, 1]
                lengths = [leaving[2, route[0]]] + [between[a, b] for a, b in itertools.pairwise(route)]
                split = route.index(0) + 1 if place >= 0 else len(route)
                steps = math.ceil(sum(lengths[:split]) / 700 + fast(sum(lengths[split:])) - 1e-6)
                if steps <= max_step:
                    best = max(best, 150 + 0.2 * (max_step - steps) + 100 * size)
    return best


@given(seed=SEEDS, count=st.integers(0, 4), max_step=st.sampled_from([12, 20, 30, 400]))
@settings(max_examples=25, deadline=None)
def test_the_optimum_is_that_of_all_orders(seed, count, max_step):
    realm, treasures = generate(32, seed), draw(seed, count)
    best = oracle.optimum(realm, start=2, end=1, treasures=treasures, max_step=max_step, flashes=False)
    assert best.score == pytest.approx(enumerate_orders(realm, treasures, max_step))
    if best.route:
        assert best.route[-1] == 1
        collected = [point for point in best.route[:-1] if point]
        assert sorted(set(collected)) == sorted(collected)
        assert set(collected) <= set(treasures)
        assert best.score == pytest.approx(150 + 0.2 * (max_step - best.steps) + 100 * len(collected))


def test_who_cannot_arrive_in_time_scores_0():
    assert oracle.optimum(find("realm-mini"), start=2, end=1, treasures=[4], max_step=3, flashes=False) == (
        0.0,
        0,
        [],
        0,
    )


def test_the_buff_is_a_detour_worth_its_steps():
    near = open_world(size=100, points={0: (30, 4), 1: (90, 4)})
    with_buff = oracle.optimum(near, start=2, end=1, treasures=[], max_step=2000, flashes=False)
    assert with_buff.route == [0, 1]
    far = open_world(size=100, points={0: (12, 90), 1: (90, 4)})
    assert oracle.optimum(far, start=2, end=1, treasures=[], max_step=2000, flashes=False).route == [1]
    assert with_buff.steps < oracle.optimum(far, start=2, end=1, treasures=[], max_step=2000, flashes=False).steps


def test_a_second_visit_of_the_buff_waits_until_it_is_back():
    before, ways = np.array([[10.0, 700.0]]), np.array([[0.0, 4900.0]])
    steps, parts = oracle._join(before, ways, 454.0)
    assert steps.tolist() == [[464.0, 464.0]]
    assert parts.tolist() == [[0, 0]]
    assert oracle._join(before, ways, 0.0)[0].tolist() == [[10.0, 15.0]]
    assert oracle._fast_steps(49_000.0 + 7000.0) == 60


# --- nobody beats it ---


def changed(actions, rng, highest):
    """64 variants of a sequence, in columns: actions changed, left out or repeated. The first is the sequence."""
    tries = np.repeat(np.array([*actions, *rng.integers(0, 8, 20)])[:, None], 64, 1)
    for column in range(1, 64):
        for _ in range(rng.integers(1, 4)):
            at, kind = rng.integers(len(actions)), rng.integers(3)
            if kind == 0:
                tries[at, column] = rng.integers(highest)
            elif kind == 1:
                tries[at:-1, column] = tries[at + 1 :, column].copy()
            else:
                tries[at + 1 :, column] = tries[at:-1, column].copy()
    return tries


@pytest.mark.parametrize("flashes", [False, True])
@given(seed=SEEDS, count=st.integers(0, 5))
@settings(max_examples=10, deadline=None)
def test_no_order_and_no_random_search_beats_it(flashes, seed, count):
    realm, treasures, max_step = generate(32, seed), draw(seed, count), 300
    best = oracle.optimum(realm, start=2, end=1, treasures=treasures, max_step=max_step, flashes=flashes)
    rng, record = np.random.default_rng(seed), []
    orders = [best.route[:-1]] + [list(rng.permutation(treasures)) for _ in range(5)]
    for order, worth in itertools.product(orders, [4000.0, 12_000.0, 20_000.0] if flashes else [np.inf]):
        for route in (order, [*order[:1], 0, *order[1:]]):
            way = best._replace(route=[int(point) for point in route] + [1])
            record.append(follow(realm, way, start=2, treasures=treasures, max_step=max_step, flash_from=worth))
    assert max(walk.score for walk in record) <= best.score + 1e-9
    actions = max(record, key=lambda walk: walk.score).actions
    for _ in range(15):  # hill climbing
        tries = changed(actions, rng, 16 if flashes else 8)
        scores = scores_of(realm, treasures, tries, max_step)
        actions = tries[:, scores.argmax()].tolist()
        assert scores.max() <= best.score + 1e-9


@given(seed=SEEDS, where=st.integers(0, 10**6), direction=st.integers(0, 7), point=st.integers(0, 15))
@settings(max_examples=100, deadline=None)
def test_no_flash_saves_more_than_the_legs_say(seed, where, direction, point):
    """From anywhere, in any direction: to the place, a flash, and on, is never shorter than the leg with one flash."""
    realm, rng = generate(32, seed), np.random.default_rng(where)
    walkable = realm.walkable.astype(np.uint8)
    rows, columns = np.nonzero(walkable)
    k = rng.integers(len(rows))
    x, z = (columns[k] + rng.random()) * 500, (rows[k] + rng.random()) * 500
    free = legs.ground(realm)
    circle = lattice.circle(32, legs.PER_CELL, realm.positions[2], core.REACH)
    goal = lattice.circle(32, legs.PER_CELL, realm.positions[point], core.REACH)
    landed = core.flash(walkable, x, z, direction)
    before = lattice.length_from(lattice.field(free, circle & lattice.corners(free)), legs.SIDE, x, z)
    after = lattice.length_from(lattice.field(free, goal & lattice.corners(free)), legs.SIDE, *landed)
    assert legs.legs(realm).between[1, 2, point] <= before + core.WALK + after + 1e-6


def test_a_flash_over_a_wall_is_worth_its_step():
    realm = open_world(walls=[(30, 1, 6, 60)], points={0: (50, 40), 1: (40, 4)})
    walked = oracle.optimum(realm, start=2, end=1, treasures=[], max_step=2000, flashes=False)
    flashed = oracle.optimum(realm, start=2, end=1, treasures=[], max_step=2000)
    assert (walked.flashes, flashed.flashes) == (0, 1)
    assert walked.steps > 70
    assert 4 < flashed.steps < 10, "16 of 28 cells are flown over"
    walk = follow(realm, flashed, start=2, treasures=[], max_step=2000, flash_from=20_000.0)
    assert flashed.steps <= len(walk.actions) <= 16


@pytest.mark.parametrize(
    ("walked", "with_flash", "steps", "flashes"),
    [(400, 100, 500, 1), (600, 100, 608, 2), (600, 550, 1100, 2), (300, 300, 600, 0)],
)
def test_a_second_flash_waits_607_steps(monkeypatch, walked, with_flash, steps, flashes):
    """Two legs, each of `walked` steps, or `with_flash` where a flash is used; the buff is out of the way."""
    between = np.full((2, 16, 16), 1e9)
    between[0, [2, 3], [3, 1]], between[1, [2, 3], [3, 1]] = walked * 700.0, with_flash * 700.0
    monkeypatch.setattr(oracle, "legs", lambda realm: legs.Legs(between, between))
    best = oracle.optimum(find("realm-mini"), start=2, end=1, treasures=[3], max_step=2000)
    assert (best.steps, best.flashes, best.route) == (steps, flashes, [3, 1])


def test_the_buff_may_be_visited_again(monkeypatch):
    """Everything is near the buff but far apart, so every fast walk counts: 49000 units each, 50 steps, not 70."""
    between = np.full((2, 16, 16), 400_000.0)
    between[:, 0, [3, 4, 1]] = between[:, [3, 4], 0] = 160_000.0
    between[:, 2, 0] = 0.0
    monkeypatch.setattr(oracle, "legs", lambda realm: legs.Legs(between, between))
    best = oracle.optimum(find("realm-mini"), start=2, end=1, treasures=[3, 4], max_step=2000, flashes=False)
    loop = 50 + (320_000 - 49_000) / 700  # buff, treasure, buff
    assert 454 > loop > 430
    assert best.route in ([0, 3, 0, 4, 0, 1], [0, 4, 0, 3, 0, 1])
    assert best.steps == math.ceil(2 * 454 + 50 + (160_000 - 49_000) / 700)


# --- and a script comes near ---


@pytest.mark.parametrize("flashes", [False, True])
@given(seed=SEEDS, count=st.integers(0, 13))
@settings(max_examples=20, deadline=None)
def test_a_player_on_its_route_comes_within_2_percent(flashes, seed, count):
    realm, treasures = generate(32, seed), draw(seed, count)
    best = oracle.optimum(realm, start=2, end=1, treasures=treasures, max_step=2000, flashes=flashes)
    worth = 12_000.0 if flashes else np.inf
    walk = follow(realm, best, start=2, treasures=treasures, max_step=2000, flash_from=worth)
    assert best.score >= walk.score >= 0.98 * best.score
    assert set(walk.reached) >= {*treasures, 1}


@pytest.mark.parametrize("flashes", [False, True])
@pytest.mark.parametrize(("seed", "count"), [(0, 9), (1, 13)])
def test_so_it_does_in_the_large_world(seed, count, flashes):
    realm, treasures = generate(128, seed), draw(seed, count)
    best = oracle.optimum(realm, start=2, end=1, treasures=treasures, max_step=2000, flashes=flashes)
    worth = 24_000.0 if flashes else np.inf
    walk = follow(realm, best, start=2, treasures=treasures, max_step=2000, flash_from=worth)
    assert best.score >= walk.score >= 0.98 * best.score
    game = Game(realm, treasure_id=treasures)
    results = [game.step(action) for action in walk.actions]
    assert results[-1][1]
    assert sum(reward for reward, _, _ in results) == pytest.approx(walk.score)
