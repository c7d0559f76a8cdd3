"""Updates from games: what they learn from, that they learn, and that a resumed one goes on to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kaimesh.algorithms.muzero.agent import Agent
from kaimesh.algorithms.muzero.games import Collector
from kaimesh.contract.arrays import Batch
from kaimesh.contract.columns import POSITIONS, PRIORITY, PROBABILITY, for_learn
from tests.algorithms.muzero.stream import Episode, board, unrolls
from tests.algorithms.trajectories import again, made

SMALL: dict[str, Any] = {"window": 8, "n_step": 3, "unroll_steps": 2, "latent_size": 8, "positions_per_game": 2}


def games_of(agent: Agent, players: int = 2, slots: int = 4) -> Batch:
    """A batch of 2 games a slot, one that ended and one that was cut."""
    ends = ("terminated", "truncated")
    episodes = [[Episode(slot, k, 3 + slot + k, ends[k]) for k in range(2)] for slot in range(slots)]
    collect = Collector(board(players), agent.config)
    rows = [collect(unroll) for unroll in unrolls(episodes, players, 4)]
    whole = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    keep = whole["obs"][:, 0, 0] % 1000 < 2  # not the last episodes, which have no end
    return for_learn(Batch({name: column[keep] for name, column in whole.items()}))


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({}, marks=pytest.mark.long),
        {"scalar_support_size": 5, "bootstrap": "target", "target_period": 10},
    ],
)
def test_it_learns_what_is_always_the_same(config: dict[str, Any]) -> None:
    agent = again(Agent, board(2), **SMALL, **config, learning_rate=5e-3)
    batch = games_of(agent)
    first = agent.learn(batch)
    for _ in range(150):
        last = agent.learn(batch)
    for name in ("policy_loss", "value_loss", "mover_loss"):
        assert last[name] < first[name] - 0.02, name
    assert last["total_loss"] < first["total_loss"] - 0.3
    assert first[POSITIONS] == 2 * len(batch)
    assert first[PRIORITY].shape == (len(batch),)
    assert agent._learner.traces == 1


def test_the_average_of_the_weights_is_what_is_dumped(op_by_op: None) -> None:
    agent = made(Agent, board(1), **SMALL, weight_average=0.6)
    batch, learner = games_of(agent, 1), agent._learner
    wanted = learner.weights()
    for rate in (1, 2 / 3, 0.5, 0.4, 0.4):  # 2 / (learns + 2), and 0.4 from there on
        agent.learn(batch)
        for name, variable in learner.variables.online.items():
            wanted[name] = wanted[name] + np.float32(rate) * (variable.numpy() - wanted[name])
    for name, array in learner.weights().items():
        np.testing.assert_allclose(array, wanted[name], rtol=1e-5, atol=1e-6)
    assert not np.allclose(wanted["dynamics/0/w"], learner.variables.online["dynamics/0/w"].numpy())


def test_one_player_has_no_head_for_who_plays_next(op_by_op: None) -> None:
    agent = made(Agent, board(1), **SMALL)
    assert agent.learn(games_of(agent, 1))["mover_loss"] == 0


def test_what_lies_behind_a_game_changes_nothing(op_by_op: None) -> None:
    learned = []
    for garbage in (False, True):
        agent = made(Agent, board(2), **SMALL)
        batch = games_of(agent)
        if garbage:
            behind = np.arange(agent.config.row_length) >= batch.length[:, None]
            for name in ("obs", "action", "policy", "root_value", "reward", "to_play"):
                batch.columns[name][behind] = 1
        agent.learn(batch)
        learned.append(agent._learner.weights())
    for name, array in learned[0].items():
        np.testing.assert_array_equal(array, learned[1][name])


def test_a_resumed_learner_goes_on_to_the_bit(tmp_path: Path, op_by_op: None) -> None:
    config = {**SMALL, "bootstrap": "target", "target_period": 2, "weight_average": 0.5}
    agent = made(Agent, board(2), **config)
    batch = games_of(agent)
    for _ in range(3):
        agent.learn(batch)
    agent.save_model(str(tmp_path), 3)
    agent.save_training_state(str(tmp_path))
    other = made(Agent, board(2), **config, seed=9)
    other.load_model(str(tmp_path), 3)
    other.load_training_state(str(tmp_path))
    for _ in range(3):
        one, same = agent.learn(batch), other.learn(batch)
        assert one["total_loss"] == same["total_loss"]
        np.testing.assert_array_equal(one[PRIORITY], same[PRIORITY])
    for name, array in agent._learner.weights().items():
        np.testing.assert_array_equal(array, other._learner.weights()[name])


def test_importance_weights_are_those_of_the_games(op_by_op: None) -> None:
    """A game that is drawn twice as often as it should be counts half."""
    agent = made(Agent, board(2), **SMALL, importance_exponent=1.0)
    batch = games_of(agent)
    probability = np.ones(len(batch))
    probability[0] = 2.0
    batch.columns[PROBABILITY] = probability
    found = agent.learn(batch)
    drawn = round((1 - found["importance_weight"]) * 2 * found[POSITIONS])  # how many positions counted half
    assert 1 <= drawn <= 3


def test_the_priority_of_a_game_is_of_its_positions(op_by_op: None) -> None:
    agent = made(Agent, board(2), **SMALL, priority_floor=0.25, learning_rate=1e-9)
    batch = games_of(agent)
    found = agent.learn(batch)
    assert (found[PRIORITY] > 0.25).all()
    assert found[PRIORITY].dtype == np.float32
    assert len(set(found[PRIORITY])) > 4


def test_little_entropy_is_told_once() -> None:
    said: list[str] = []

    class Logger:
        def warning(self, text: str, *_values: Any) -> None:
            said.append(text)

    agent = Agent("aisrv", logger=Logger())
    for entropy in (0.5, 0.01, 0.001):
        agent._look_at(entropy)
    assert len(said) == 1
    assert "root_entropy = %.4f nats" in said[0]
