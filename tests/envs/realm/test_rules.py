"""Points, scores, ends, memory: contract 5.4 "Scoring" and 5.9 (b), (c), (e)."""

from __future__ import annotations

import numpy as np
import pytest

from kaimesh.envs.realm import core
from tests.envs.realm.game import EAST, FLASH, WEST, Game, open_world

# start 2 at cell (12, 4), end 1 at cell (4, 4): 4000 units to the West; 3 and 4 lie to the East on the same row


def test_an_episode_starts_at_its_start_with_nothing():
    game = Game(open_world(), treasure_id=[3, 4])
    assert game.position == (6250.0, 2250.0)
    assert (game.state.step[0], game.treasures, game.score) == (0, 0, 0.0)
    assert game.present.tolist() == [int(n in (3, 4)) for n in range(16)]
    assert (game.flash_wait, game.buff_left, game.buff_wait) == (0, 0, 0)


def test_arrival_is_150_and_a_fifth_of_each_step_left():
    game = Game(open_world(), max_step=2000)
    results = [game.step(WEST) for _ in range(5)]
    assert results[:4] == [(0.0, False, False)] * 4
    assert results[4] == (pytest.approx(150 + 0.2 * (2000 - 5)), True, False), "500 units away, nearer than 1000"
    assert game.score == pytest.approx(150 + 0.2 * 1995)


def test_who_is_within_1000_units_has_arrived_and_who_is_not_has_not():
    for gap, expected in [(1000.0, True), (1000.5, False)]:
        game = Game(open_world())
        game.place(2250.0 + gap, 2250.0 + 700)
        game.place(2250.0 + gap + 700, 2250.0)
        assert game.step(WEST)[1] is expected


def test_a_treasure_is_100_once():
    game = Game(open_world(), treasure_id=[3])
    rewards = [game.step(EAST)[0] for _ in range(8)] + [game.step(WEST)[0] for _ in range(3)]
    assert rewards == [0.0] * 4 + [100.0] + [0.0] * 6, "the treasure is 4000 units away; at 3500 it is near enough"
    assert (game.treasures, game.score) == (1, 100.0)
    assert not game.present.any()
    assert game.asked.sum() == 1


def test_the_whole_score():
    game = Game(open_world(), treasure_id=[3], max_step=100)
    total = sum(game.step(EAST)[0] for _ in range(5))
    steps = 5
    while True:
        reward, terminated, _ = game.step(WEST)
        total, steps = total + reward, steps + 1
        if terminated:
            break
    assert total == pytest.approx(150 + 0.2 * (100 - steps) + 100)


def test_timeout_is_zero_and_truncated():
    game = Game(open_world(), treasure_id=[3], max_step=7)
    rewards = [game.step(EAST)[0] for _ in range(6)]
    assert sum(rewards) == 100
    assert game.step(EAST) == (-100.0, False, True)
    assert game.score == 0.0


def test_arrival_in_the_last_step_is_an_arrival():
    game = Game(open_world(), max_step=5)
    for _ in range(4):
        game.step(WEST)
    assert game.step(WEST) == (150.0, True, False)


def test_the_step_after_an_end_starts_the_next_episode():
    game = Game(open_world(), treasure_id=[3], max_step=5)
    for _ in range(5):
        game.step(EAST)
    assert game.step(EAST) == (0.0, False, False)
    assert game.position == (6250.0, 2250.0)
    assert game.present.sum() == 1
    assert game.memory.sum() == 0
    assert game.state.step[0] == 0


def test_a_pickup_reaches_through_a_wall_and_a_flash_does_not_collect_on_its_way():
    game = Game(open_world(), treasure_id=[3])
    game.step(FLASH + EAST)  # from x = 6250 over the treasure at 10250 to 14250
    assert game.treasures == 0
    behind = Game(open_world(walls=[(18, 2, 1, 6)], points={3: (19, 4)}), treasure_id=[3])
    behind.place(8999.0, 2250.0)
    assert behind.step(EAST)[0] == 100.0


def test_the_memory_counts_a_visit_only_after_it_was_seen():
    game = Game(open_world())
    row, column = 4 + core.RADIUS, 12 + core.RADIUS
    assert game.memory.sum() == 0, "the first observation does not count its own cell"
    game.step(EAST)
    assert game.memory[row, column] == 1
    assert game.memory.sum() == 1, "where he stands now is not yet counted"
    game.step(WEST)
    for visits in range(2, 9):
        game.place(6250.0, 2250.0)
        game.step(EAST)
        assert game.memory[row, column] == min(visits, 5), "0.2 per visit, at most 1"


def test_treasures_are_drawn_without_repetition_start_and_end():
    game = Game(open_world(), treasure_random=1, treasure_num=9, start=6, end=9)
    sets, seen = set(), np.zeros(16, int)
    for _ in range(400):
        game.reset()
        assert game.present.sum() == 9
        seen += game.present
        sets.add(tuple(game.present))
    assert (seen[[0, 6, 9]] == 0).all()
    assert np.delete(seen, [0, 6, 9]).min() > 200, "each of 13 about 277 times"
    assert np.delete(seen, [0, 6, 9]).max() < 350
    assert len(sets) > 250


def test_a_number_of_treasures_may_be_drawn_too():
    game = Game(open_world(), treasure_random=1, treasure_num=[0, 13])
    counts = []
    for _ in range(300):
        game.reset()
        counts.append(int(game.present.sum()))
    assert set(counts) == set(range(14))


def test_a_batch_is_many_single_games():
    realm = open_world(walls=[(23, 0, 2, 50)])
    games = [Game(realm, seed=n + 1, treasure_random=1, treasure_num=5, max_step=60) for n in range(4)]
    state = core.new_state(4, realm.size)
    state.random[:] = np.arange(1, 5)
    world, task = games[0].world, games[0].task
    core.reset_all(world, state, task)
    rewards, terminated, truncated = np.zeros(4, np.float32), np.zeros(4, bool), np.zeros(4, bool)
    rng = np.random.default_rng(0)
    for _ in range(200):
        actions = rng.integers(0, 16, 4)
        core.step(world, state, task, actions, rewards, terminated, truncated)
        for i, game in enumerate(games):
            assert game.step(int(actions[i])) == (rewards[i], terminated[i], truncated[i])
    for name, values in state._asdict().items():
        for i, game in enumerate(games):
            assert np.array_equal(values[i], getattr(game.state, name)[0]), name
