"""Targets from stored games against sums written from the equations, one position at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaimesh.algorithms.muzero.targets import Games, drawn, n_step, targets


def straightforward(
    reward: np.ndarray, value: np.ndarray, terminated: bool, i: int, gamma: float, n: int
) -> np.ndarray:
    """`z_i` float64 `[P]` of one game whose arrays `[length, P]` hold its positions alone."""
    length, total = len(reward), np.zeros(reward.shape[1])
    if i >= length:
        return total
    for j in range(n or length):
        if i + j == length:  # over
            return total
        if not terminated and i + j == length - 1:  # nothing is known of what comes behind
            break
        total = total + gamma**j * reward[i + j]
    else:
        j = n or length
    if i + j >= length:
        return total
    return total + gamma**j * value[i + j]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_values_are_those_of_the_equation(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    games, room, players = 4, data.draw(st.integers(1, 12)), data.draw(st.integers(1, 3))
    n, gamma = data.draw(st.integers(0, 14)), data.draw(st.sampled_from([0.0, 0.5, 0.997, 1.0]))
    length, terminated = rng.integers(1, room + 1, games), rng.random(games) < 0.5
    reward, value = (rng.standard_normal((games, room, players)).astype(np.float32) for _ in range(2))
    found = n_step(reward, length, terminated, gamma, n).values(value)
    for g, count in enumerate(length):
        for i in range(count):
            wanted = straightforward(reward[g, :count], value[g, :count], bool(terminated[g]), i, gamma, n)
            np.testing.assert_allclose(found[g, i], wanted, rtol=1e-5, atol=1e-5)


def two_games() -> tuple[Games, np.ndarray]:
    """A game of 3 moves that ended, of two players, and one that was cut after 3; with values of 1..4."""
    move = np.array([[2, 0, 1, 9], [1, 1, 0, 9]], np.int32)
    policy = np.eye(3, dtype=np.float32)[np.minimum(move, 2)]
    reward = np.array([[[0, 0], [0, 0], [1, -1], [9, 9]]] * 2, np.float32)
    to_play = np.array([[0, 1, 0, 9]] * 2, np.int8)
    value = np.repeat(np.arange(1, 5, dtype=np.float32)[None, :, None], 2, 0).repeat(2, 2)
    return Games(move, policy, reward, to_play, np.array([3, 3]), np.array([True, False])), value


def test_steps_beyond_the_end_are_absorbing_and_those_beyond_a_cut_unknown() -> None:
    games, value = two_games()
    found = targets(games, value, np.array([0, 1]), np.array([1, 1]), 4, np.random.default_rng(0))
    np.testing.assert_array_equal(found.action[:, :2], [[0, 1], [1, 0]])
    assert ((found.action >= 0) & (found.action < 3)).all()
    np.testing.assert_array_equal(found.policy_mask, [[True, True, False, False, False]] * 2)
    np.testing.assert_array_equal(found.value_mask, [[True] * 5, [True, True, False, False, False]])
    np.testing.assert_array_equal(found.reward_mask, [[True] * 4, [True, True, False, False]])
    np.testing.assert_array_equal(found.mover_mask, [[True, False, False, False]] * 2)
    np.testing.assert_array_equal(found.value[0, :, 0], [2, 3, 0, 0, 0])
    np.testing.assert_array_equal(found.reward[:, :, 1], [[0, -1, 0, 0]] * 2)  # step k's is of action t + k - 1
    assert found.mover[0, 0] == 0
    assert np.isfinite(found.policy).all()


def test_actions_beyond_the_end_are_all_drawn() -> None:
    games, value = two_games()
    start = np.full(300, 2)
    found = targets(games, value, np.zeros(300, int), start, 2, np.random.default_rng(0))
    assert set(found.action[:, 1]) == {0, 1, 2}


@pytest.mark.parametrize("count", [1, 7, 64, 1000])
def test_all_positions_are_drawn_alike(count: int) -> None:
    draws, rng = np.array([1, 64, 3]), np.random.default_rng(1)
    times = np.zeros((3, 64), int)
    for _ in range(4000 // count + 200):
        game, position = drawn(draws, count, rng)
        assert (position < draws[game]).all()
        assert (position >= 0).all()
        np.add.at(times, (game, position), 1)
    valid = np.arange(64) < draws[:, None]
    assert times[~valid].sum() == 0
    share = times[valid] / times.sum() * valid.sum()
    assert abs(share - 1).max() < (0.9 if count < 64 else 0.35)
