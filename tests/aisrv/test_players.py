"""The rollout with several players: columns, rewards of all, returns of every seat, features, failures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kaimesh import envs
from kaimesh.aisrv.rollout import Group
from kaimesh.algorithms.dqn.agent import Agent as Dqn
from kaimesh.algorithms.impala.agent import Agent as Impala
from kaimesh.algorithms.ppo.agent import Agent as Ppo
from kaimesh.contract.arrays import Batch
from kaimesh.contract.errors import AgentError
from kaimesh.contract.spaces import Spaces
from kaimesh.contract.user_agent import UserAgent, read_agent
from kaimesh.process.meter import Meter
from tests.envs.seated import PLAYERS, TURNS, Seated, earned

LENGTH = 4


class Asked:
    """Always takes action 0, and keeps what it was asked and what it was given to learn."""

    on_policy = False

    def __init__(self) -> None:
        self.asked: list[Batch] = []
        self.sent: list[Batch] = []

    @property
    def user(self) -> UserAgent:
        return read_agent(self)

    def send(self, batch: Batch) -> None:
        self.asked.append(Batch({name: column.copy() for name, column in batch.columns.items()}))

    def receive(self) -> tuple[Batch, int]:
        return Batch({"action": np.zeros(len(self.asked[-1]), np.int64)}), 1

    def learn(self, batch: Batch) -> None:
        self.sent.append(Batch({name: column.copy() for name, column in batch.columns.items()}))


class Halved:
    """Features of an observation, with rewards that are halved, for everyone."""

    def __init__(self, spaces: Spaces) -> None:
        self.spaces = spaces._replace(players=1)  # it need not know of them

    def reset(self, observations: np.ndarray) -> np.ndarray:
        return observations

    def step(self, observations: np.ndarray, actions: Any, rewards: np.ndarray, *_: Any) -> Any:
        return observations, rewards / 2


class Shaping:
    def features(self, count: int, spaces: Spaces) -> Any:
        return Halved(spaces)


def rolled(env: Any, steps: int) -> tuple[Asked, Meter]:
    agent, meter = Asked(), Meter("aisrv_0")
    group = Group(env, agent, LENGTH, meter, run_id=0, seed=1)
    for _ in range(steps):
        group.advance()
    env.close()
    return agent, meter


def test_columns_and_rewards_of_all_players() -> None:
    agent, _ = rolled(envs.make_vector("tests.envs.seated:Seated", 2), 9)
    movers = [*TURNS, TURNS[-1], *TURNS]  # the reset step, whose observation is the last of the episode
    for t, batch in enumerate(agent.asked[:9]):
        assert batch.to_play.dtype == np.int8
        assert batch.to_play.tolist() == [movers[t]] * 2
    first, second = agent.sent
    assert (first.reward.shape, first.reward.dtype) == ((2, LENGTH, PLAYERS), np.float32)
    assert (first.to_play.shape, first.to_play.dtype) == ((2, LENGTH + 1), np.int8)
    rewards = [earned(step) for step in range(1, 6)] + [np.zeros(PLAYERS), earned(1), earned(2)]
    np.testing.assert_array_equal(np.concatenate([first.reward[0], second.reward[0]]), rewards)
    np.testing.assert_array_equal(first.to_play[0], movers[:5])
    np.testing.assert_array_equal(second.to_play[0], movers[4:9])
    np.testing.assert_array_equal(second.mask[0], [True, False, True, True])


def test_returns_of_every_seat() -> None:
    _, meter = rolled(envs.make_vector("tests.envs.seated:Seated", 2), 13)
    told = meter.snapshot()
    whole = sum(earned(step) for step in range(1, 6))
    assert [(score, length) for _, score, length in told["recent_episodes"]] == [(whole[0], 5)] * 4
    assert {name: told["gauges"][name] for name in told["gauges"]} == {
        f"return_seat_{seat}": whole[seat] for seat in range(PLAYERS)
    }


def test_what_every_player_learns_from_is_shaped_and_what_counts_is_not() -> None:
    env = envs.featured(envs.make_vector("tests.envs.seated:Seated", 1), Shaping())
    assert env.spaces.players == PLAYERS
    agent, meter = rolled(env, 7)
    for t in range(LENGTH):
        np.testing.assert_array_equal(agent.sent[0].reward[0, t], earned(t + 1) / 2)
    assert meter.gauges["return_seat_1"] == 150.0, "true ones"


class OfWhoMoved(Halved):
    def step(self, observations: np.ndarray, actions: Any, rewards: np.ndarray, *_: Any) -> Any:
        return observations, rewards[:, 0]


def test_features_that_shape_for_one_player_alone_are_refused() -> None:
    class OfOne:
        def features(self, count: int, spaces: Spaces) -> Any:
            return OfWhoMoved(spaces)

    env = envs.featured(envs.make_vector("tests.envs.seated:Seated", 1), OfOne())
    env.reset(seed=1)
    with pytest.raises(AgentError, match=r"rewards of shape \[1\], .* has 3 players"):
        env.step(np.zeros(1, np.int64))
    env.close()


def test_an_episode_that_failed_leaves_nothing() -> None:
    def renew(slots: range, steps: int, verb: str, error: Exception, make: Any) -> Any:
        return make()

    Seated.lives.clear()
    conf = {"crash": True, "at": 3, "which": 1}
    agent, meter = rolled(envs.make_vector("tests.envs.seated:Seated", 2, env_conf=conf, renew=renew), 9)
    whole = sum(earned(step) for step in range(1, 6))
    assert [score for _, score, _ in meter.snapshot()["recent_episodes"]] == [whole[0]] * len(
        meter.snapshot()["recent_episodes"]
    )
    first = agent.sent[0]
    np.testing.assert_array_equal(first.mask[1], [True, True, False, False])
    np.testing.assert_array_equal(first.truncated[1], [False, True, False, False])
    assert not first.reward[1, 2:].any()


def test_one_player_has_no_column_of_it() -> None:
    agent, meter = rolled(envs.make_vector("catch", 2), 9)
    assert "to_play" not in {*agent.asked[0].columns, *agent.sent[0].columns}
    assert agent.sent[0].reward.shape == (2, LENGTH)
    assert not [name for name in meter.gauges if name.startswith("return_seat")]


@pytest.mark.parametrize("agent", [Ppo, Dqn, Impala])
@pytest.mark.parametrize("agent_type", ["aisrv", "actor", "learner"])
def test_algorithms_for_one_player_refuse_more(agent: Any, agent_type: str) -> None:
    with pytest.raises(AgentError, match=r"(PPO|DQN|IMPALA) learns what one player gets, .* has 2 players"):
        agent(agent_type).setup(Spaces((9,), "|i1", "discrete", 9, legal_actions=True, players=2))
