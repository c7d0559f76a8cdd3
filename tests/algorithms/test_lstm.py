"""The LSTM: NumPy and TensorFlow against Keras, unrolls against steps, and the agents that have one.

Shape legend: T steps, B trajectories, H units.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kaimesh.algorithms.actor_critic import model
from kaimesh.algorithms.impala.agent import Agent as Impala
from kaimesh.algorithms.networks import lstm, lstm_unroll
from kaimesh.algorithms.networks.differentiable import statistics, unroll
from kaimesh.algorithms.ppo.agent import Agent as PPO
from kaimesh.contract.arrays import Batch
from kaimesh.contract.errors import AgentError, SampleError
from kaimesh.contract.spaces import Spaces
from tests.algorithms.test_gae import random_trajectories
from tests.algorithms.trajectories import CONTINUOUS, DISCRETE, again, made, saved, trajectories

INPUTS, H = 3, 5
PIXELS = Spaces((4, 36, 36), "|u1", "discrete", 4)
AGENTS = pytest.mark.parametrize("agent_cls", [Impala, PPO], ids=["impala", "ppo"])


def cell() -> dict[str, np.ndarray]:
    weights = lstm.initial_weights(np.random.default_rng(0), "lstm", INPUTS, H)
    weights["lstm/b"] += np.random.default_rng(1).standard_normal(4 * H).astype(np.float32)
    return weights


def random_state(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.standard_normal((count, 2 * H)).astype(np.float32)


def step_by_step(weights: Any, x: np.ndarray, state: np.ndarray, reset: np.ndarray) -> np.ndarray:
    """Outputs [T, B, H] by the step that actors make."""
    outputs = []
    for t in range(len(x)):
        state = np.where(reset[t][:, None], np.float32(0), state)
        output, state = lstm.step(weights, "lstm", x[t], state)
        outputs.append(output)
    return np.stack(outputs)


def test_a_step_is_keras_step_in_both_libraries() -> None:
    weights, rng = cell(), np.random.default_rng(2)
    x, state = rng.standard_normal((7, INPUTS)).astype(np.float32), random_state(rng, 7)
    keras = tf.keras.layers.LSTMCell(H)
    keras.build((7, INPUTS))
    keras.set_weights([weights["lstm/w"][:INPUTS], weights["lstm/w"][INPUTS:], weights["lstm/b"]])
    wanted, (h, c) = keras(x, [tf.constant(state[:, :H]), tf.constant(state[:, H:])])
    for step in (lstm.step, lstm_unroll.step):
        output, after = step(weights, "lstm", x, state)
        np.testing.assert_allclose(output, wanted, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(after, tf.concat([h, c], 1), rtol=1e-5, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 20), st.integers(1, 5))
def test_an_unroll_is_its_steps(seed: int, length: int, count: int) -> None:
    """Over several episodes; the last entry is the bootstrap's."""
    rng, weights = np.random.default_rng(seed), cell()
    mask = random_trajectories(seed, length, count, ends=0.4).mask
    x, state = rng.standard_normal((length + 1, count, INPUTS)).astype(np.float32), random_state(rng, count)
    reset = lstm_unroll.resets(tf.constant(mask)).numpy()
    outputs = lstm_unroll.unroll(weights, "lstm", x, state, reset)
    np.testing.assert_allclose(outputs, step_by_step(weights, x, state, reset), rtol=1e-5, atol=1e-5)


def test_resets_come_after_the_masked_steps() -> None:
    mask = tf.constant([[True], [True], [False], [True]])
    np.testing.assert_array_equal(lstm_unroll.resets(mask)[:, 0], [False, False, False, True, False])


def test_nothing_flows_across_a_reset() -> None:
    rng, weights = np.random.default_rng(3), cell()
    x = tf.constant(rng.standard_normal((6, 1, INPUTS)).astype(np.float32))
    state = tf.constant(random_state(rng, 1))
    reset = np.zeros((6, 1), bool)
    reset[3] = True
    with tf.GradientTape() as tape:
        tape.watch([x, state])
        after = tf.reduce_sum(lstm_unroll.unroll(weights, "lstm", x, state, reset)[3:])
    of_x, of_state = tape.gradient(after, [x, state])
    assert (of_x.numpy()[:3] == 0).all()
    assert (of_x.numpy()[3:] != 0).all()
    assert (of_state.numpy() == 0).all()


def recomputed(agent: Any, batch: Batch, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values and log-probabilities `[B, T + 1]` as the learner unrolls them; `mask` `[B, T]` tells the episodes."""
    learner = agent._learner
    columns = {name: np.swapaxes(batch.columns[name], 0, 1) for name in ("obs", "action", "log_prob")}
    reset = lstm_unroll.resets(tf.constant(mask.T))
    weights, forward = learner.variables.online, partial(model.forward, agent._net)
    head, value = unroll(forward, weights, columns["obs"], batch.columns["lstm"], reset)
    head, action = (tf.reshape(tensor, [-1, *tensor.shape[2:]]) for tensor in (head, columns["action"]))
    legal = batch.columns.get("legal_act")
    if legal is not None:
        legal = np.swapaxes(legal, 0, 1).reshape(-1, legal.shape[-1])
    now = statistics(head, weights.get("policy/log_std"), action, legal)
    return value.numpy().T, now.log_prob.numpy().reshape(value.shape).T


@AGENTS
@pytest.mark.parametrize("spaces", [DISCRETE, CONTINUOUS, PIXELS], ids=["discrete", "continuous", "images"])
def test_the_learner_unrolls_what_the_actors_stepped(agent_cls: Any, spaces: Spaces) -> None:
    """From the state that comes with the sample, over several episodes: values and log-probabilities to 1e-5."""
    agent = made(agent_cls, spaces, lstm_size=8, unroll_length=12)
    batch = trajectories(agent, spaces, count=5, length=12, skip=7)
    assert (~batch.mask).any()
    assert (batch.columns["lstm"] != 0).any(1).sum() >= 3
    value, log_prob = recomputed(agent, batch, batch.mask)
    np.testing.assert_allclose(value, batch.value, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(log_prob, batch.log_prob, rtol=1e-5, atol=1e-5)

    one_late = np.concatenate([np.ones_like(batch.mask[:, :1]), batch.mask[:, :-1]], 1)
    for wrong in (np.ones_like(batch.mask), one_late, ~(batch.terminated | batch.truncated)):
        value, _ = recomputed(agent, batch, wrong)
        assert np.abs(value - batch.value).max() > 1e-3, "a reset at another step must be seen"
    forgotten = Batch({**batch.columns, "lstm": np.zeros_like(batch.columns["lstm"])})
    assert np.abs(recomputed(agent, forgotten, batch.mask)[0] - batch.value).max() > 1e-3


@pytest.mark.usefixtures("op_by_op")
@AGENTS
def test_learns_agree_with_the_actors_about_what_happened(agent_cls: Any) -> None:
    """Before the first gradient step the policy is the one that acted: no ratio differs from 1."""
    whole_update = {"epochs": 1, "minibatches": 1} if agent_cls is PPO else {}
    agent = again(agent_cls, lstm_size=8, **whole_update)
    metrics = agent.learn(trajectories(agent, DISCRETE, skip=5))
    assert abs(metrics["approx_kl" if agent_cls is PPO else "behaviour_kl"]) < 1e-6


@AGENTS
def test_all_of_the_network_is_trained_and_resumed_exactly(agent_cls: Any, tmp_path: Any) -> None:
    agent = again(agent_cls, lstm_size=8)
    before = agent._learner.weights()
    batches = [trajectories(agent, DISCRETE, seed=seed, skip=3) for seed in range(4)]
    for batch in batches[:2]:
        agent.learn(batch)
    for name, value in agent._learner.weights().items():
        assert (value != before[name]).any(), name
    agent.save_model(str(tmp_path), 2)
    agent.save_training_state(str(tmp_path))
    resumed = made(agent_cls, lstm_size=8)
    resumed.load_model(str(tmp_path), 2)
    resumed.load_training_state(str(tmp_path))
    for batch in batches[2:]:
        agent.learn(batch)
        resumed.learn(batch)
    assert saved(agent, tmp_path, 4) == saved(resumed, tmp_path, 5)


@AGENTS
def test_one_trace_serves_every_batch(agent_cls: Any) -> None:
    agent = again(agent_cls, lstm_size=8)
    for seed, (count, length) in enumerate([(8, 16), (8, 16), (3, 5)]):
        agent.learn(trajectories(agent, DISCRETE, seed=seed, count=count, length=length))
    assert agent._learner.traces == 1


@AGENTS
def test_what_is_under_a_mask_changes_nothing(agent_cls: Any, tmp_path: Any) -> None:
    clean = trajectories(again(agent_cls, lstm_size=8), DISCRETE)
    hidden = ~clean.mask
    assert hidden.any()
    dirty = {name: column.copy() for name, column in clean.columns.items()}
    dirty["reward"][hidden] = np.inf
    dirty["log_prob"][:, :-1][hidden] = -50
    dirty["terminated"][hidden] = True
    after_terminal = np.zeros_like(hidden)  # the observation after a truncation is bootstrapped from
    after_terminal[:, 1:] = clean.terminated[:, :-1]
    dirty["obs"][:, :-1][after_terminal] = 30
    results = []
    for columns in (clean.columns, dirty):
        agent = again(agent_cls, lstm_size=8)
        results.append((agent.learn(Batch(columns)), saved(agent, tmp_path, len(results))))
    assert results[0] == results[1]


@AGENTS
def test_a_sample_without_its_state_is_refused(agent_cls: Any) -> None:
    agent = again(agent_cls, lstm_size=8)
    batch = trajectories(agent, DISCRETE)
    with pytest.raises(SampleError, match=r"no column 'lstm' \(float32 \['B', 16\]\)"):
        agent.learn(Batch({name: column for name, column in batch.columns.items() if name != "lstm"}))
    batch.columns["lstm"][3, 2] = np.nan
    with pytest.raises(FloatingPointError, match="'lstm' is not finite in trajectory 3 of the batch before its first"):
        agent.learn(batch)


def test_models_with_and_without_an_lstm_are_not_mixed_up(tmp_path: Any) -> None:
    made(Impala, lstm_size=8).save_model(str(tmp_path), 1)
    with pytest.raises(AgentError, match=r"lstm_size is 8 in the file and 0 here \(set lstm_size\)"):
        made(Impala, torso="shared").load_model(str(tmp_path), 1)


def test_the_state_is_declared_where_environments_are() -> None:
    agent = made(Impala, agent_type="aisrv", lstm_size=8)
    state = agent.initial_state(3)
    assert {name: (column.dtype, column.shape) for name, column in state.items()} == {"lstm": (np.float32, (3, 16))}
    assert made(Impala, agent_type="aisrv").initial_state(3) == {}
