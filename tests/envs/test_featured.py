"""An environment as an agent's features show it."""

from __future__ import annotations

import numpy as np
import pytest

from kaimesh import envs
from kaimesh.algorithms.ppo.agent import Agent as PpoAgent
from kaimesh.algorithms.ppo.config import Config
from kaimesh.contract.errors import AgentError, ConfigError
from kaimesh.contract.spaces import Spaces
from kaimesh.envs.realm.map import PRESETS

COUNTER = (
    "tests.envs.own:Counter"  # observes (steps, 0 or a random start); 3 actions, reward 10 + action; not all are legal
)


class Doubled:
    """Features: twice the observation, and the sum of rewards so far. Rewards: 100 times the environment's."""

    def __init__(self, count: int, spaces: Spaces) -> None:
        self.spaces = spaces._replace(obs_shape=(3,))
        self._sums = np.zeros(count, np.float32)
        self.calls: list[tuple[np.ndarray, ...]] = []

    def reset(self, observations):
        self._sums[:] = 0
        return self._seen(observations)

    def step(self, observations, actions, rewards, terminated, truncated):
        self.calls.append((actions, rewards, terminated, truncated))
        self._sums += rewards
        return self._seen(observations), 100 * rewards

    def _seen(self, observations):
        return np.concatenate([2 * observations, self._sums[:, None]], 1)


class Agent:
    """Only what `featured` asks for."""

    def __init__(self, make) -> None:
        self.features = make


def counters(make=Doubled, length: int = 3):
    env = envs.make_vector(COUNTER, 2, env_conf={"length": length})
    return envs.featured(env, Agent(make))


def test_features_and_shaped_rewards_come_out_and_true_ones_stay():
    env = counters()
    env.reset(seed=1)
    seen, rewards, *_ = env.step(np.array([0, 2]))
    assert seen.tolist() == [[2, 0, 10], [2, 0, 12]]
    assert rewards.tolist() == [1000, 1200]
    assert env.true_rewards.tolist() == [10, 12]


def test_features_hear_of_everything_and_of_the_reset_step_too():
    made = []
    env = counters(lambda count, spaces: made.append(Doubled(count, spaces)) or made[0])
    env.reset(seed=1)
    flags = [env.step(np.array([1, 0]))[2].tolist() for _ in range(4)]
    assert flags == [[False] * 2, [False] * 2, [True] * 2, [False] * 2]
    (actions, rewards, terminated, truncated) = zip(*made[0].calls, strict=True)
    assert [one.tolist() for one in actions] == [[1, 0]] * 4
    assert [one.tolist() for one in rewards] == [[11, 10]] * 3 + [[0, 0]]
    assert [one.tolist() for one in terminated] == flags
    assert not np.any(truncated)


def test_spaces_are_the_features_in_every_respect():
    env = counters()
    plain = envs.make_vector(COUNTER, 2, env_conf={"length": 3})
    assert env.spaces == plain.spaces._replace(obs_shape=(3,))
    assert envs.spaces_of(env) == env.spaces
    assert env.single_action_space == plain.single_action_space
    observation, _ = env.reset(seed=1)
    assert env.observation_space.contains(observation)
    assert env.num_envs == 2


def test_legal_actions_are_the_environments():
    env = counters()
    env.reset(seed=1)
    assert env.legal_actions.tolist() == [[True, True, True]] * 2
    env.step(np.array([0, 0]))
    assert env.legal_actions.tolist() == [[True, False, True]] * 2


def test_an_agent_without_features_sees_the_environment_itself():
    env = envs.make_vector(COUNTER, 2)
    assert envs.featured(env, None) is env
    assert envs.featured(env, Agent(lambda _count, _spaces: None)) is env


def test_features_that_are_not_what_their_spaces_say_are_the_agents_error():
    class Wider(Doubled):
        def _seen(self, observations):
            return np.zeros((len(observations), 5), np.float32)

    class Double(Doubled):
        def _seen(self, observations):
            return np.zeros((len(observations), 3), np.float64)

    for wrong, told in ((Wider, r"float32 \[2, 5\]"), (Double, r"float64 \[2, 3\]")):
        env = counters(wrong)
        with pytest.raises(AgentError, match=rf"reset returned {told}, but its spaces say float32 \[2, 3\]"):
            env.reset(seed=1)


def test_what_features_raise_is_the_agents_error_with_its_cause():
    class Broken(Doubled):
        def step(self, *_):
            raise ZeroDivisionError("nothing is left")

    def no_features(_count, _spaces):
        raise ValueError("not for me")

    env = counters(Broken)
    env.reset(seed=1)
    with pytest.raises(AgentError, match=r"Agent.features: step raised ZeroDivisionError: nothing is left") as caught:
        env.step(np.array([0, 0]))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with pytest.raises(AgentError, match=r"Agent.features raised ValueError: not for me"):
        counters(no_features)


@pytest.fixture
def ppo():
    """PPO's agent as aisrv has it, with these features."""

    def make(name: str) -> PpoAgent:
        return PpoAgent(agent_type="aisrv", config=Config(features=name))

    return make


def test_the_realms_features_name_the_remedy_where_the_observation_is_another(ppo):
    env = envs.make_vector("realm-mini", 2)
    with pytest.raises(
        AgentError,
        match=r"not from <f4 \[108\]; .*Set env_conf = .observation = \"bytes\"., or the algorithm's features",
    ):
        envs.featured(env, ppo("realm-mini"))
    assert envs.featured(env, ppo("none")) is env


def test_the_realms_features_name_the_remedy_where_the_world_is_another(ppo):
    env = envs.featured(envs.make_vector("realm-mini", 2, env_conf={"observation": "bytes"}), ppo("realm"))
    with pytest.raises(
        AgentError, match=r"a world of 128 x 128 cells, and this is another.*Set the algorithm's features"
    ):
        env.reset(seed=1)


def test_features_that_nobody_knows_are_told(ppo):
    env = envs.make_vector("realm-mini", 2, env_conf={"observation": "bytes"})
    with pytest.raises(
        ConfigError, match="features = 'realms': realm-mini offers realm, realm-mini, realm-maps, realm-mini-maps; "
    ):
        envs.featured(env, ppo("realms"))


@pytest.mark.parametrize("app", sorted(PRESETS))
def test_an_episodes_true_rewards_are_its_score_and_flashes_wait(app, ppo):
    env = envs.featured(envs.make_vector(app, 3, env_conf={"observation": "bytes", "max_step": 80}), ppo(app))
    state, rng = env.unwrapped.state, np.random.default_rng(1)
    seen, _ = env.reset(seed=1)
    sums = np.zeros(3)
    for _ in range(200):
        assert env.observation_space.contains(seen)
        assert env.legal_actions[:, :8].all()
        assert (env.legal_actions[:, 8:] == (state.flash_wait == 0)[:, None]).all()
        actions = np.array([rng.choice(np.flatnonzero(row)) for row in env.legal_actions])
        seen, rewards, terminated, truncated, _ = env.step(actions)
        sums += env.true_rewards
        assert np.allclose(sums, state.score)
        assert rewards.dtype == np.float32
        assert (np.abs(rewards) < 5).all(), "what is learned from is not the score"
        sums[terminated | truncated] = 0


@pytest.mark.parametrize("features", [3, [], {"spaces": None}, object()])
def test_features_that_are_none_are_the_agents_error(features):
    env = envs.make_vector("gym:CartPole-v1", 2)
    with pytest.raises(AgentError, match=r"Agent\.features returned .*no Features"):
        envs.featured(env, Agent(lambda _count, _spaces: features))
    env.close()
