"""The facade: facts of the contract of generation G1."""

from __future__ import annotations

import numpy as np
import pytest

from kaimesh import envs
from kaimesh.contract.errors import ConfigError


def test_step_gives_six_values_and_ints():
    env = envs.facade("gym:CartPole-v1", seed=1)
    obs = env.reset(usr_conf={"diy": {}})
    assert obs.feature.dtype == np.float32
    assert obs.feature.shape == (4,)
    assert obs.legal_act == [1, 1]
    for step in range(1, 4):
        frame_no, obs, score, terminated, truncated, env_info = env.step(1)
        assert type(frame_no) is int
        assert frame_no == step
        assert (type(terminated), type(truncated)) == (int, int)
        assert (terminated | truncated, np.logical_or(terminated, truncated)) == (0, False)
        assert score == 1.0
        assert env_info.game_info.total_score == env.score == float(step)
        assert obs.feature.shape == (4,)


@pytest.mark.parametrize("action", [1, np.int64(1), np.array(1), np.array([1]), [1], (1,), True, np.float32(1)])
def test_any_form_of_an_action(action):
    env = envs.facade("gym:CartPole-v1", seed=1)
    env.reset()
    obs = env.step(action)[1]
    other = envs.facade("gym:CartPole-v1", seed=1)
    other.reset()
    assert np.array_equal(other.step(1)[1].feature, obs.feature)
    assert not np.array_equal(other.step(0)[1].feature, env.step(1)[1].feature)


@pytest.mark.parametrize("action", [0.5, [0.5], np.array([0.5]), np.array([[0.5]])])
def test_continuous_actions(action):
    env = envs.facade("gym:Pendulum-v1", seed=1)
    assert env.reset().legal_act == []
    assert len(env.step(action)) == 6
    assert env.spaces.action_kind == "continuous"


def test_attributes_of_the_workflows_own():
    env = envs.facade("gym:CartPole-v1")
    env.F = {"0": 1}
    assert env.F == {"0": 1}


def test_a_seed_fixes_the_first_episode_and_those_after_it_differ():
    one, two = (envs.facade("gym:CartPole-v1", seed=5) for _ in range(2))
    starts = [env.reset().feature.tolist() for env in (one, two, one, two)]
    assert starts[0] == starts[1] != starts[2] == starts[3]
    assert one.reset().feature.tolist() != starts[2]


def test_usr_conf_is_the_environments_arguments_and_max_step():
    env = envs.facade("tests.envs.own:Counter", env_conf={"length": 5})

    def length(usr_conf):
        env.reset(usr_conf)
        for n in range(1, 100):
            _, _, _, terminated, truncated, _ = env.step(0)
            if terminated or truncated:
                return n, truncated
        return None

    assert length(None) == (5, 0)
    assert length({"diy": {"length": 3}}) == (3, 0)
    assert length({"env_conf": {"max_step": 2}}) == (2, 1)
    assert length({"length": 4}) == (4, 0)
    assert length(None) == (5, 0)
    with pytest.raises(ConfigError, match="colour"):
        env.reset({"diy": {"colour": "red"}})
    with pytest.raises(ConfigError, match="max_step = 'ten'"):
        env.reset({"diy": {"max_step": "ten"}})
    assert length(None) == (5, 0), "a refused usr_conf changes nothing"


def test_legal_act_and_flat_features_follow_the_environment():
    env = envs.facade("tests.envs.own:Counter")
    assert env.spaces.legal_actions
    assert env.reset().legal_act == [1, 1, 1]
    assert env.step(0)[1].legal_act == [1, 0, 1]
    assert envs.facade("gym:FrozenLake-v1").reset().feature.tolist() == [1] + [0] * 15
    assert envs.facade("ale:pong").reset().feature.shape == (4 * 84 * 84,)


def test_truncation_is_not_termination():
    env = envs.facade("gym:CartPole-v1", max_episode_steps=3)
    env.reset()
    assert [env.step(i % 2)[3:5] for i in range(3)] == [(0, 0), (0, 0), (0, 1)]
    env.reset()
    assert env.step(0, stop_game=True)[3:5] == (0, 1)
    assert env.score == 1.0


def test_an_environment_that_raises_is_not_hidden():
    env = envs.facade("tests.envs.own:Counter", env_conf={"crash_at": 1})
    env.reset()
    with pytest.raises(RuntimeError, match="the game crashed") as caught:
        env.step(0)
    assert caught.traceback[-1].path.name == "own.py"


def test_an_atari_score_is_not_clipped():
    env = envs.facade("ale:riverraid", seed=1)
    env.reset()
    assert max(env.step(1)[2] for _ in range(300)) >= 30
