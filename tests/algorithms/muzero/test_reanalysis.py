"""Fresh copies of stored games: each position gets the answer to its own question, and nothing else changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaimesh.algorithms.muzero import games, reanalysis
from kaimesh.algorithms.muzero.agent import Agent
from kaimesh.algorithms.muzero.config import Config
from kaimesh.algorithms.muzero.games import Collector
from kaimesh.algorithms.muzero.synchronous import Rounds
from kaimesh.contract.arrays import Batch, Columns
from kaimesh.contract.columns import MODEL_VERSION, POSITIONS, PRIORITY, TO_PLAY
from kaimesh.contract.stacking import FRAMES
from kaimesh.contract.user_agent import read_agent
from tests.algorithms.muzero.stream import board, unrolls
from tests.algorithms.muzero.test_acting import BOARD, ROWS, SMALL, requests
from tests.algorithms.muzero.test_games import collected, episodes_of
from tests.algorithms.muzero.test_targets import straightforward
from tests.algorithms.trajectories import made

FROM_SEARCHES = {"policy", "root_value", MODEL_VERSION, PRIORITY}


def answer(obs: np.ndarray, players: int) -> tuple[np.ndarray, np.ndarray, int]:
    """What a search of one position might find, and the version of its model: of the observation alone."""
    rng = np.random.default_rng(obs.astype(int))
    return rng.dirichlet(np.ones(3)), rng.standard_normal(players), int(rng.integers(5, 100))


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_each_position_gets_the_answer_to_its_own_question(data: st.DataObject) -> None:
    players, n = data.draw(st.integers(1, 3)), data.draw(st.integers(0, 4))
    window = data.draw(st.integers(1, 12)) if n else 30
    config = Config(window=window, n_step=n, unroll_steps=2, gamma=0.9)
    stored = collected(Collector(board(players), config), list(unrolls(episodes_of(data, 3), players, 5)))
    before = {name: column.copy() for name, column in stored.items()}
    there = [(g, i) for g, length in enumerate(stored["length"]) for i in range(length)]
    asked = reanalysis.questions(stored)
    assert set(asked) == ({"obs"} if players == 1 else {"obs", TO_PLAY})
    for name, rows in asked.items():
        np.testing.assert_array_equal(rows, [stored[name][g, i] for g, i in there])
    answers = [answer(obs, players) for obs in asked["obs"]]
    policy, value = (np.array(column, np.float32) for column in list(zip(*answers, strict=True))[:2])
    fresh = reanalysis.copies(config, stored, policy, value, np.array([version for _, _, version in answers]))
    games.check(fresh, games.specs(board(players), config))
    for name, column in stored.items():
        np.testing.assert_array_equal(column, before[name], err_msg="what is stored does not change")
        if name not in FROM_SEARCHES:
            np.testing.assert_array_equal(fresh[name], column, err_msg=name)
    for g, length in enumerate(stored["length"]):
        of_game = [answer(stored["obs"][g, i], players) for i in range(length)]
        np.testing.assert_allclose(fresh["policy"][g, :length], [one[0] for one in of_game], rtol=1e-6)
        np.testing.assert_allclose(fresh["root_value"][g, :length], [one[1] for one in of_game], rtol=1e-6)
        assert not fresh["policy"][g, length:].any()
        assert not fresh["root_value"][g, length:].any()
        assert fresh[MODEL_VERSION][g] == min(one[2] for one in of_game)
        reward, found = stored["reward"][g, :length], fresh["root_value"][g, :length]
        over = bool(stored["terminated"][g])
        errors = [
            np.abs(straightforward(reward, found, over, i, 0.9, n) - found[i]).mean()
            for i in range(stored[POSITIONS][g])
        ]
        wanted = 0.9 * max(errors) + 0.1 * np.mean(errors) + 1e-3
        np.testing.assert_allclose(fresh[PRIORITY][g], wanted, rtol=1e-4)


@pytest.mark.parametrize("config", [{}, {"search": "gumbel"}])
def test_it_searches_as_long_as_play_does_and_without_noise(config: dict[str, Any]) -> None:
    agent = made(Agent, BOARD, "actor", **{**SMALL, "exploit_simulations": 30, **config})
    same = made(Agent, BOARD, "actor", **{**SMALL, **config})
    assert read_agent(agent).reanalysing is agent
    batch = requests()
    found, again, exploited = agent.reanalyse(batch), agent.reanalyse(batch), same.exploit(batch)
    assert set(found.columns) == {"policy", "root_value"}
    for name, column in found.columns.items():
        np.testing.assert_array_equal(column, again.columns[name])
        np.testing.assert_array_equal(column, exploited.columns[name])
    assert not np.array_equal(found.policy, agent.exploit(batch).policy), "of 30 simulations, not of 8"
    assert not np.array_equal(found.policy, agent.predict(batch).policy), "without noise"


def test_a_share_of_the_kept_games_is_searched_again_each_round() -> None:
    rounds = Rounds(Config(sync_memory=40, sync_learns=1, sync_batch=400, sync_reanalyse=0.25))
    asked: list[np.ndarray] = []

    def again(columns: Any) -> Columns:
        asked.append(columns["number"].copy())
        return {"number": columns["number"], "age": columns["age"] + 1}

    def update(columns: Any) -> dict[str, Any]:
        drawn = dict(zip(columns["number"].tolist(), columns["age"].tolist(), strict=True))
        assert drawn == {number: sum(number in one for one in asked) for number in drawn}
        return {"games": len(drawn)}

    for first in (0, 20, 40):
        numbers = first + np.arange(20)
        rounds.learn(Batch({"number": numbers, "age": np.zeros(20, int)}), update, again)
    assert [len(one) for one in asked] == [5, 10]
    assert all(len(set(one)) == len(one) for one in asked)
    assert set(asked[1]) <= set(range(40))


def test_in_one_process_games_are_searched_by_the_weights_of_now() -> None:
    agent = made(
        Agent, board(2), "actor", simulations=4, latent_size=8, window=6, n_step=0, unroll_steps=2, sync_reanalyse=1.0
    )
    data = {"length": np.array([2, 6]), "obs": np.random.default_rng(0).standard_normal((2, 6, 2)).astype(np.float32)}
    data |= {"action": np.zeros((2, 6), np.int32), TO_PLAY: np.zeros((2, 6), np.int8)}
    data |= {"policy": np.zeros((2, 6, 3), np.float32), "root_value": np.zeros((2, 6, 2), np.float32)}
    fresh = agent._again(data)
    whole = agent.reanalyse(agent.questions(Batch(data)))
    np.testing.assert_array_equal(fresh["policy"][0, :2], whole.policy[:2])
    np.testing.assert_array_equal(fresh["root_value"][1], whole.root_value[2:])
    assert len(whole) == 8 < ROWS


def test_stacks_of_frames_are_asked_about_whole_and_stored_once() -> None:
    rng = np.random.default_rng(1)
    frames = rng.standard_normal((2, 5 + 3, 2)).astype(np.float32)  # rows of 6 positions, stacks of 3
    plain = {"length": np.array([6, 4]), "action": np.zeros((2, 6), np.int32), "policy": np.zeros((2, 6, 3))}
    plain |= {"root_value": np.zeros((2, 6, 1))}
    stored = {**plain, FRAMES: frames, "mask": np.ones((2, 5), bool)}
    stacks = np.stack([frames[:, i : i + 3] for i in range(6)], 1)
    asked = reanalysis.questions(stored)
    np.testing.assert_array_equal(asked["obs"], [*stacks[0], *stacks[1, :4]])
    fresh = reanalysis.copies(Config(), stored, np.ones((10, 3)), np.ones((10, 1)), np.zeros(10, int))
    assert set(fresh) == set(stored)
    np.testing.assert_array_equal(fresh[FRAMES], frames)
