"""The realm in diy: features from what the contest shows, rewards term by term, and a run that learns."""

from __future__ import annotations

import time

import numpy as np
import pytest

from diy.algorithm.agent import Agent
from diy.config import Config
from diy.feature.definition import ObsData, Rewards, observation_process, reward_process
from kaimesh import envs
from kaimesh.config import load
from tests.diy.training import train


@pytest.fixture(autouse=True)
def configured():
    """The hyper-parameters of realm-mini, as its presets say."""
    load("conf/configure_app.toml", {"app": "realm-mini", "algo": "diy"})


def facade(app="realm-mini", **conf):
    return envs.facade(app, seed=3, env_conf=conf)


@pytest.mark.parametrize("app", ["realm", "realm-mini"])
def test_the_presets_fit_the_world(app):
    load("conf/configure_app.toml", {"app": app, "algo": "diy"})
    assert facade(app).env.map.size == Config.WORLD
    assert observation_process(facade(app).reset()).feature.shape == (593,)


def test_features_stay_in_bounds_and_legal_actions_are_the_contests():
    env, rng = facade(), np.random.default_rng(0)
    raw_obs = env.reset()
    flashes = set()
    for _ in range(700):
        obs_data = observation_process(raw_obs)
        assert type(obs_data) is ObsData
        assert obs_data.feature.dtype == np.float32
        assert np.abs(obs_data.feature).max() <= 1
        assert obs_data.legal_act[:8].all()
        assert len(obs_data.legal_act) == 16
        flashes.add(tuple(obs_data.legal_act[8:]))
        _, raw_obs, _, terminated, truncated, _ = env.step(int(rng.integers(16)))
        if terminated or truncated:
            raw_obs = env.reset()
    assert flashes == {(True,) * 8, (False,) * 8}


def test_features_show_walls_sight_and_the_goals_of_flashes():
    """Against the map itself, from a few places."""
    env, rng = facade(), np.random.default_rng(1)
    raw_obs = env.reset()
    walkable = np.pad(env.env.map.walkable, 60)
    at_window = len(observation_process(raw_obs).feature) - 25 - 8 - 8 - 121
    for _ in range(60):
        column, row = raw_obs.feature.grid_pos.z + 60, raw_obs.feature.grid_pos.x + 60
        feature = observation_process(raw_obs).feature
        window = feature[at_window : at_window + 121].reshape(11, 11)
        np.testing.assert_array_equal(window, walkable[row - 5 : row + 6, column - 5 : column + 6])
        for direction, (up, right) in enumerate([(0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)]):
            free = 0
            while free < 25 and walkable[row + up * (free + 1), column + right * (free + 1)]:
                free += 1
            assert feature[at_window + 121 + direction] == pytest.approx(free / 25)
            far = 11 if up and right else 16  # 16 cells, by Pythagoras 11 in each direction
            assert feature[at_window + 129 + direction] == walkable[row + far * up, column + far * right]
        raw_obs = env.step(int(rng.integers(8)))[1]


def test_the_rewards_are_what_the_table_says():
    """Each term, recomputed from the game's own state."""
    env, rng = facade(), np.random.default_rng(2)
    for episode in range(3):
        raw_obs = env.reset({"max_step": 400})
        rewards = reward_process(raw_obs)
        state, world = env.env.state, env.env.world

        def way(point, state=state, world=world):
            cells = int(world.distances[point, int(state.z[0] / 500), int(state.x[0] / 500)])
            return min(cells, 63)

        def target(state=state, way=way):
            present = np.flatnonzero(state.present[0])
            return min(present, key=way) if len(present) else int(state.end[0])

        done = False
        while not done:
            goal, before, taken, bumps, flashes = (
                target(), way(target()), int(state.treasures[0]), int(state.bumps[0]), int(state.flashes[0])
            )  # fmt: skip
            totals = dict(rewards.totals)
            action = int(rng.integers(16)) if episode else walking_to(env, goal, rng)
            _, raw_obs, score, terminated, truncated, env_info = env.step(action)
            reward = rewards.reward(raw_obs, score, terminated, truncated, env_info)
            term = {name: value - totals.get(name, 0.0) for name, value in rewards.totals.items()}
            gone = goal != state.end[0] and not state.present[0, goal]
            saved = before - (0 if gone else way(goal))
            flashed = state.flashes[0] > flashes
            assert term["treasure"] == pytest.approx(state.treasures[0] - taken)
            assert term["arrival"] == pytest.approx(1.5 * terminated)
            assert term["timeout"] == pytest.approx(-state.treasures[0] * truncated)
            assert term["step"] == pytest.approx(-0.002)
            assert term["progress"] == pytest.approx(0.03 * saved)
            assert term["flash"] == pytest.approx(-0.1 if flashed and saved < 8 else 0)
            if len(totals):  # the first observation tells no place
                assert term["bump"] == pytest.approx(-0.01 * (state.bumps[0] - bumps))
            visits = state.memory[0, 25 + int(state.z[0] / 500), 25 + int(state.x[0] / 500)]
            assert term["repetition"] == pytest.approx(-0.001 * visits)
            assert reward == pytest.approx(sum(term.values()))
            done = bool(terminated or truncated)
        assert rewards.totals["treasure"] == env.env.state.treasures[0]


def walking_to(env, goal, rng):
    """Mostly along the shortest way, so that treasures are taken and the end is reached."""
    state, world = env.env.state, env.env.world
    row, column = int(state.z[0] / 500), int(state.x[0] / 500)
    sides = [(row, column + 1), (row + 1, column), (row, column - 1), (row - 1, column)]
    best = min(range(4), key=lambda side: int(world.distances[goal][sides[side]]))
    return int(rng.integers(16)) if rng.random() < 0.1 else 2 * best


def test_walking_in_circles_gains_nothing():
    env = facade()
    rewards = reward_process(env.reset())
    for _ in range(20):
        for action in (0, 2, 4, 6):
            _, raw_obs, score, terminated, truncated, env_info = env.step(action)
            rewards.reward(raw_obs, score, terminated, truncated, env_info)
    assert rewards.totals["treasure"] == 0, "choose another seed"
    assert rewards.totals["progress"] <= 0.1


def test_an_episode_remembers_nothing_of_the_one_before():
    """The same episode gives the same rewards, whoever else plays in between."""

    def play(env, other):
        env.env.reset(seed=9)
        raw_obs = env.reset({"treasure_id": [3, 9, 4]})
        rewards = reward_process(raw_obs)
        found = []
        for action in [6, 7, 0, 0, 15, 7, 0, 0, 0, 6]:
            if other:
                other_rewards.reward(*other.step(0)[1:])
            found.append(rewards.reward(*env.step(action)[1:]))
        return found

    env, other = facade(), facade()
    other_rewards = reward_process(other.reset())
    first = play(env, None)
    assert play(env, other) == first
    assert play(env, None) == first


def test_other_environments_keep_their_rewards():
    env = envs.facade("gym:CartPole-v1", seed=1)
    raw_obs = env.reset()
    rewards = reward_process(raw_obs)
    assert type(rewards) is Rewards
    assert rewards.reward(*env.step(0)[1:]) == 1.0
    assert rewards.totals == {}


def test_a_refused_usr_conf_ends_the_workflow_with_words():
    from diy.train_workflow import workflow

    class Refusing:
        def reset(self, usr_conf=None):
            return None

    with pytest.raises(RuntimeError, match="usr_conf"):
        workflow([Refusing()], [Agent("aisrv")])


@pytest.mark.learning
@pytest.mark.timeout(600)
def test_realm_mini_is_learned(run_dir):
    """One treasure and the end: mean score of 20 episodes >= 500 of about 640."""
    deadline = time.monotonic() + 500
    enough = lambda env: (len(env.returns) >= 20 and np.mean(env.returns[-20:]) >= 500) or time.monotonic() > deadline  # noqa: E731
    env, _ = train("realm-mini", enough, env_conf={"treasure_num": 1})
    assert np.mean(env.returns[-20:]) >= 500
