"""The bandit and the game of three: what they pay, who is best, and how far a policy is from an equilibrium."""

from __future__ import annotations

import itertools
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from kaimesh import envs
from kaimesh.contract.errors import ConfigError
from kaimesh.envs import three
from kaimesh.envs.bandit import Bandit


def test_the_best_arm_pays_most_and_is_told() -> None:
    env = Bandit(500, arms=5, pulls=3)
    env.reset(seed=1)
    paid = np.zeros(5)
    for arm in range(5):
        for _ in range(3):
            _, rewards, terminated, _, _ = env.step(np.full(500, arm))
            paid[arm] += rewards.mean() / 3
        assert terminated.all()
        assert env.episode_report(7)["share_of_best_arm"] == (arm == env.best)
        _, rewards, terminated, _, _ = env.step(np.full(500, env.best))
        assert not rewards.any()
        assert not terminated.any()
    np.testing.assert_allclose(paid, env.chances, atol=0.06)
    assert paid.argmax() == env.best
    assert env.chances.max() == 0.9


def test_another_arm_seed_is_another_bandit_and_nonsense_none() -> None:
    assert not np.array_equal(Bandit(arm_seed=0).chances, Bandit(arm_seed=1).chances)
    for conf in ({"arms": 1}, {"pulls": 0}):
        with pytest.raises(ConfigError, match="there would be nothing to choose"):
            envs.make_vector("bandit", 1, env_conf=conf)


@pytest.mark.parametrize("app", ["bandit", "three"])
@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_gymnasium_s_own_check(app: str) -> None:
    env = envs.make(app)
    assert isinstance(env, gymnasium.Env)
    check_env(env, skip_render_check=True)


def outcome(choices: tuple[int, ...]) -> np.ndarray:
    """What all get in one game, step by step."""
    node, total = 0, np.zeros(three.PLAYERS)
    for choice in choices:
        total += three.rewards()[node, choice]
        node = 2 * node + 1 + choice
    return total


def test_the_environment_pays_what_the_table_says() -> None:
    games = list(itertools.product((0, 1), repeat=three.MOVES))
    env = envs.make_vector("three", len(games), seed=1)
    seen, _ = env.reset()
    total = np.zeros((len(games), three.PLAYERS))
    nodes = np.zeros(len(games), int)
    for step, mover in enumerate(three.TURNS):
        assert env.to_play is not None
        assert (env.to_play == mover).all()
        np.testing.assert_array_equal(seen, three.observations(nodes))
        actions = np.array([game[step] for game in games])
        seen, rewards, terminated, _, _ = env.step(actions)
        assert env.player_rewards is not None
        total += env.player_rewards
        nodes = 2 * nodes + 1 + actions
        np.testing.assert_array_equal(rewards, env.player_rewards[:, mover])
    assert terminated.all()
    np.testing.assert_allclose(total, [outcome(game) for game in games], rtol=1e-5, atol=1e-6)
    env.close()


def test_every_node_looks_different() -> None:
    seen = three.observations(np.arange(2 * three.NODES + 1))
    assert len(np.unique(seen, axis=0)) == len(seen)


def value(policy: np.ndarray, player: int) -> float:
    """What a player gets on average, by listing all games."""
    total = 0.0
    for game in itertools.product((0, 1), repeat=three.MOVES):
        node, chance = 0, 1.0
        for choice in game:
            chance *= policy[node, choice]
            node = 2 * node + 1 + choice
        total += chance * outcome(game)[player]
    return total


@pytest.mark.parametrize("seed", range(2))
def test_the_gap_is_what_the_best_of_a_player_s_policies_would_win(seed: int) -> None:
    """Found by listing games: of its nodes, from the last ones up, each gets the choice with which it wins more."""
    policy = np.random.default_rng(seed).dirichlet([1, 1], three.NODES)
    gap = three.best_response_gap(policy)
    for player in range(three.PLAYERS):
        better = policy.copy()
        for node in reversed(range(three.NODES)):
            if three.TURNS[three.depth_of(node)] == player:
                worth = [value(np.vstack([better[:node], one, better[node + 1 :]]), player) for one in np.eye(2)]
                better[node] = np.eye(2)[int(np.argmax(worth))]
        assert gap[player] == pytest.approx(value(better, player) - value(policy, player))
    assert (gap >= 0).all()


def test_the_equilibrium_has_no_gap_and_is_the_only_one_of_its_kind() -> None:
    choices, values = three.equilibrium()
    policy = np.eye(2)[choices]
    np.testing.assert_allclose(three.best_response_gap(policy), 0, atol=1e-12)
    ahead = np.zeros((2 * three.NODES + 1, three.PLAYERS))
    ahead[: three.NODES] = values
    for node in range(three.NODES):
        worth = three.rewards()[node] + ahead[2 * node + 1 : 2 * node + 3]
        own = worth[:, three.TURNS[three.depth_of(node)]]
        assert abs(own[0] - own[1]) >= three.MARGIN
        assert own.argmax() == choices[node]
    uniform = np.full((three.NODES, 2), 0.5)
    assert three.best_response_gap(uniform).max() > 0.5


def test_who_takes_others_for_enemies_plays_badly() -> None:
    """A player that also wants the next one to get little, as a search for two players would."""
    values = np.zeros((2 * three.NODES + 1, three.PLAYERS))
    policy = np.zeros((three.NODES, 2))
    for node in reversed(range(three.NODES)):
        depth = three.depth_of(node)
        worth = three.rewards()[node] + values[2 * node + 1 : 2 * node + 3]
        enemy: Any = three.TURNS[(depth + 1) % three.MOVES]
        pick = int((worth[:, three.TURNS[depth]] - worth[:, enemy] * (enemy != three.TURNS[depth])).argmax())
        policy[node, pick], values[node] = 1, worth[pick]
    assert three.best_response_gap(policy).max() > 0.1
