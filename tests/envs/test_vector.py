"""Every vector environment: NEXT_STEP resets, dtypes, seeds, limits, rewards, legal actions, bounds."""

from __future__ import annotations

import json

import gymnasium
import numpy as np
import pytest

from kaimesh import envs
from kaimesh.contract.errors import AgentError, ConfigError
from kaimesh.contract.spaces import Spaces
from tests.envs.own import Unbounded

# app, env_conf, step limit: each ends episodes quickly
APPS = [
    ("gym:CartPole-v1", {}, 0),  # its own vector environment
    ("gym:CartPole-v1", {}, 5),
    ("gym:MountainCar-v0", {}, 7),  # one after the other
    ("gym:Pendulum-v1", {}, 4),
    ("gym:LunarLander-v3", {}, 6),
    ("gym:FrozenLake-v1", {"is_slippery": False}, 5),  # one-hot observations
    ("cartpole-masked", {}, 5),
    ("catch", {}, 0),
    ("catch", {"rows": 20}, 4),
    ("realm-mini", {}, 9),
    ("realm", {"observation": "bytes"}, 7),
    ("tests.envs.own:Counter", {"length": 3}, 0),
    ("ale:pong", {}, 20),
    ("ale:breakout", {"episodic_life": True}, 0),
    ("procgen:coinrun", {}, 7),
    ("minigrid:LavaGapS5", {}, 9),
]
IDS = [f"{app}-{limit}" for app, _, limit in APPS]


def make(app, conf, limit, count=3, seed=1):
    return envs.make_vector(app, count, env_conf=conf, seed=seed, max_episode_steps=limit)


def actions_of(env, rng):
    spaces = envs.spaces_of(env)
    if spaces.action_kind == "discrete":
        return rng.integers(spaces.action_size, size=env.num_envs)
    return rng.normal(size=(env.num_envs, spaces.action_size)).astype(np.float32)


@pytest.mark.parametrize(("app", "conf", "limit"), APPS, ids=IDS)
def test_the_step_after_an_episode_is_the_reset_step(app, conf, limit):
    env, rng = make(app, conf, limit), np.random.default_rng(0)
    env.reset()
    lengths = np.zeros(env.num_envs, int)
    over = np.zeros(env.num_envs, bool)
    ends, resets = 0, 0
    for _ in range(400):
        _, reward, terminated, truncated, _ = env.step(actions_of(env, rng))
        assert not reward[over].any(), "a reset step has reward 0"
        assert not (terminated | truncated)[over].any(), "a reset step is not an end"
        resets += int(over.sum())
        lengths = np.where(over, 0, lengths + 1)
        over = terminated | truncated
        ends += int(over.sum())
        if limit:
            assert (lengths <= limit).all()
            assert (truncated == (over & ~terminated)).all() or (lengths[truncated] == limit).all()
        if ends > 6 and resets > 3:
            break
    assert ends > 6
    assert resets > 3
    env.close()


@pytest.mark.parametrize(("app", "conf", "limit"), APPS, ids=IDS)
def test_arrays_are_what_the_spaces_say(app, conf, limit):
    env, rng = make(app, conf, limit), np.random.default_rng(0)
    spaces = envs.spaces_of(env)
    observation, _ = env.reset()
    for _ in range(12):
        assert observation.shape == (3, *spaces.obs_shape)
        assert observation.dtype == np.dtype(spaces.obs_dtype)
        assert observation.dtype != np.float64
        observation, reward, terminated, truncated, _ = env.step(actions_of(env, rng))
        assert reward.dtype == env.true_rewards.dtype == np.float32
        assert (reward.shape, terminated.shape, truncated.shape) == ((3,), (3,), (3,))
        assert (terminated.dtype, truncated.dtype) == (bool, bool)
    assert Spaces.from_json(json.loads(json.dumps(spaces._asdict()))) == spaces
    env.close()


@pytest.mark.parametrize(("app", "conf", "limit"), APPS, ids=IDS)
def test_a_seed_makes_the_same_episodes_and_another_others(app, conf, limit):
    def roll(seed):
        env, rng = make(app, conf, limit, seed=seed), np.random.default_rng(0)
        seen = [env.reset()[0]]
        for _ in range(40):
            seen.append(env.step(actions_of(env, rng))[0].copy())
        env.close()
        return np.concatenate([array.reshape(-1) for array in seen])

    first = roll(7)
    assert np.array_equal(first, roll(7))
    if app != "gym:FrozenLake-v1":  # nothing random is left in it
        assert not np.array_equal(first, roll(8))


def test_observations_are_not_overwritten_by_the_next_step():
    for app, conf, limit in APPS:
        env, rng = make(app, conf, limit), np.random.default_rng(0)
        kept = [env.reset()[0]]
        copies = [kept[0].copy()]
        for _ in range(5):
            kept.append(env.step(actions_of(env, rng))[0])
            copies.append(kept[-1].copy())
        assert all(np.array_equal(a, b) for a, b in zip(kept, copies, strict=True)), app
        env.close()


def test_the_true_last_observation_is_seen():
    env = envs.make_vector("tests.envs.own:Counter", 2, env_conf={"length": 3})
    env.reset()
    counts = [env.step(np.zeros(2, np.int64))[0][0, 0] for _ in range(8)]
    assert counts == [1, 2, 3, 0, 1, 2, 3, 0]  # 3 is the last of an episode, 0 the first of the next


def test_cartpole_uses_its_own_vector_environment_and_others_the_loop():
    assert type(make("gym:CartPole-v1", {}, 0).env).__name__ == "CartPoleVectorEnv"
    assert isinstance(make("gym:LunarLander-v3", {}, 0).env, gymnasium.vector.SyncVectorEnv)
    # ale-py registers its preprocessing vector environment under the raw game's id
    env = make("gym:ALE/Pong-v5", {}, 0)
    assert isinstance(env.env, gymnasium.vector.SyncVectorEnv)
    assert envs.spaces_of(env).obs_shape == (210, 160, 3)


def test_legal_actions_follow_the_environment():
    env = envs.make_vector("tests.envs.own:Counter", 2, env_conf={"length": 3})
    assert envs.spaces_of(env).legal_actions
    env.reset()
    assert env.legal_actions.tolist() == [[True, True, True]] * 2
    env.step(np.zeros(2, np.int64))
    assert env.legal_actions.tolist() == [[True, False, True]] * 2
    env.step(np.zeros(2, np.int64))
    env.step(np.zeros(2, np.int64))
    env.step(np.zeros(2, np.int64))  # the reset step
    assert env.legal_actions.tolist() == [[True, True, True]] * 2


def test_the_masked_cartpole_is_cartpole_without_its_velocities():
    whole, masked = envs.make_vector("gym:CartPole-v1", 3), envs.make_vector("cartpole-masked", 3)
    seen, _ = whole.reset(seed=4)
    hidden, _ = masked.reset(seed=4)
    rng = np.random.default_rng(0)
    for _ in range(100):
        np.testing.assert_array_equal(hidden, seen[:, [0, 2]])
        action = rng.integers(0, 2, 3)
        seen, *told, _ = whole.step(action)
        hidden, *told_masked, _ = masked.step(action)
        np.testing.assert_array_equal(told, told_masked)
    assert masked.spaces.obs_shape == (2,)


def test_catch_forbids_the_walls_only_if_asked():
    assert envs.make_vector("catch", 2).legal_actions is None
    env = envs.make_vector("catch", 1, env_conf={"legal_actions": True, "columns": 3})
    env.reset()
    assert env.legal_actions.tolist() == [[True, True, True]]
    env.step(np.array([0]))
    assert env.legal_actions.tolist() == [[False, True, True]]


def test_declared_but_missing_legal_actions_are_an_error():
    env = envs.make_vector("tests.envs.own:Counter", 2, env_conf={"legal": False})
    with pytest.raises(ConfigError, match="info had no 'legal_act'"):
        env.reset()


def test_atari_clips_what_is_learned_from_and_keeps_the_score():
    env = envs.make_vector("ale:riverraid", 2, seed=3)  # scores of 30 and more
    assert envs.spaces_of(env).obs_shape == (4, 84, 84)
    assert envs.spaces_of(env).obs_dtype == "|u1"
    env.reset()
    clipped, true = [], []
    for _ in range(300):
        _, reward, *_ = env.step(np.ones(2, np.int64))
        clipped.append(reward)
        true.append(env.true_rewards)
    assert np.max(clipped) == 1
    assert np.max(true) >= 30
    assert np.array_equal(np.clip(true, -1, 1), clipped)
    raw = envs.make_vector("ale:riverraid", 2, env_conf={"reward_clipping": False}, seed=3)
    raw.reset()
    rewards = [raw.step(np.ones(2, np.int64))[1] for _ in range(300)]
    assert np.array_equal(rewards, true)


@pytest.mark.parametrize("action", [[0, 6], [-1, 0], [0.5, 0]])
@pytest.mark.parametrize("app", ["ale:pong", "gym:CartPole-v1", "catch"])
def test_an_action_outside_the_space_is_the_agents_error(app, action):
    env = envs.make_vector(app, 2)
    env.reset()
    with pytest.raises(AgentError, match="action"):
        env.step(np.array(action))


def test_actions_count_from_zero_whatever_the_space_says():
    env = envs.make_vector("tests.envs.own:Counter", 2, env_conf={"first_action": 5})
    env.reset()
    assert env.step(np.array([0, 2], np.int32))[1].tolist() == [15.0, 17.0]


def test_continuous_actions_are_clipped_and_take_the_spaces_shape():
    env = envs.make_vector("tests.envs.own:Unbounded", 2)
    assert envs.spaces_of(env)[2:6] == ("continuous", 2, (-1.0, 0.0), (1.0, 4.0))
    env.reset()
    env.step(np.array([[-7, -7], [7, 7]], np.float32))
    inner = [one for one in env.env.envs if isinstance(one.unwrapped, Unbounded)]
    assert [one.unwrapped.taken[0].tolist() for one in inner] == [[[-1], [0]], [[1], [4]]]
    with pytest.raises(AgentError, match="NaN"):
        env.step(np.full((2, 2), np.nan, np.float32))


def test_an_environment_that_raises_is_seen_with_its_own_traceback():
    env = envs.make_vector("tests.envs.own:Counter", 2, env_conf={"crash_at": 2})
    env.reset()
    env.step(np.zeros(2, np.int64))
    with pytest.raises(RuntimeError, match="the game crashed") as caught:
        env.step(np.zeros(2, np.int64))
    assert caught.traceback[-1].path.name == "own.py"
