"""The DQN agent as the mesh calls it: targets, masks, stops, faults, files, resume, determinism.

Shape legend: B trajectories, T steps; A actions.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import rlax
from hypothesis import given, settings
from hypothesis import strategies as st

from kaimesh.algorithms.dqn import learning, model
from kaimesh.algorithms.dqn.acting import EPSILON
from kaimesh.algorithms.dqn.agent import Agent
from kaimesh.algorithms.dqn.config import Config
from kaimesh.contract.arrays import Batch
from kaimesh.contract.columns import PRIORITY, PROBABILITY
from kaimesh.contract.errors import AgentError, SampleError
from kaimesh.contract.spaces import Spaces
from tests.algorithms.trajectories import again, made, saved

LEGAL = Spaces((5,), "<f4", "discrete", 3, legal_actions=True)
PLAIN = Spaces((5,), "<f4", "discrete", 3)
IMAGES = Spaces((4, 84, 84), "|u1", "discrete", 6)
VARIANTS: list[dict[str, Any]] = [
    {},
    {"double": False, "dueling": False, "n_step": 1},
    {"atoms": 11, "value_min": -3.0, "value_max": 3.0},
    {"lstm_size": 8},
    {"normalize_observations": True, "target_rate": 0.1},
]
IDS = ["default", "plain", "c51", "lstm", "polyak"]


def make(spaces: Spaces = LEGAL, **config: Any) -> Agent:
    """A learner at its beginning, with `config` in place of defaults. Equal arguments give the same object again."""
    agent: Agent = again(Agent, spaces, **config)
    return agent


def new(spaces: Spaces = LEGAL, agent_type: str = "learner", **config: Any) -> Agent:
    """Another one at each call."""
    agent: Agent = made(Agent, spaces, agent_type, **config)
    return agent


def unrolls(agent: Agent, spaces: Spaces = LEGAL, *, seed: int = 0, count: int = 8, length: int = 12) -> Batch:
    """As the rollout makes them: random observations, the agent's own predictions, with ends and reset steps."""
    rng = np.random.default_rng(seed)
    rows = count * (length + 1)
    if spaces.obs_dtype == "|u1":
        obs = rng.integers(0, 256, (rows, *spaces.obs_shape)).astype(np.uint8)
    else:
        obs = rng.standard_normal((rows, *spaces.obs_shape)).astype(spaces.obs_dtype)
    entries = {"obs": obs}
    if spaces.legal_actions:
        entries["legal_act"] = rng.random((rows, spaces.action_size)) < 0.7
        entries["legal_act"][:, 1] = True
    acts = agent.predict(Batch({**entries, **agent.initial_state(rows)})).columns
    entries |= {name: acts[name] for name in ("action", "q", "value")}
    columns = {name: column.reshape(count, length + 1, *column.shape[1:]) for name, column in entries.items()}
    ends = rng.random((count, length)) < 0.2
    ends[:, 1:] &= ~ends[:, :-1]
    mask = np.ones((count, length), bool)
    mask[:, 1:] = ~ends[:, :-1]
    terminated = ends & (rng.random((count, length)) < 0.5)
    reward = rng.standard_normal((count, length)).astype(np.float32)
    flags = {"terminated": terminated, "truncated": ends & ~terminated, "mask": mask}
    return Batch({**columns, "reward": reward, **flags, **agent.initial_state(count)})


def samples(agent: Agent, spaces: Spaces = LEGAL, **arguments: Any) -> Batch:
    """As `learn` gets them."""
    columns = dict(agent.sample_of(unrolls(agent, spaces, **arguments)).columns)
    del columns[PRIORITY]
    return Batch({**columns, PROBABILITY: np.random.default_rng(1).uniform(0.2, 5, len(columns["mask"]))})


def values_of(agent: Agent, weights: dict[str, np.ndarray], batch: Batch) -> np.ndarray:
    """Q, `[B, T + 1, A]`, by the NumPy network."""
    obs = batch.obs.reshape(-1, 5)
    agent._take(weights, 0)
    q = model.action_values(agent._net, agent._player._forward(obs)[0])
    return q.reshape(*batch.obs.shape[:2], -1)


@pytest.mark.usefixtures("op_by_op")
@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("n", [1, 3])
def test_loss_and_errors_equal_those_of_the_definition(double: bool, n: int) -> None:
    """Step by step, with loops, from the equations of the papers; both networks differ."""
    agent = make(double=double, n_step=n, max_grad_norm=0.0, target_period=10**6)
    for seed in range(3):  # so that the target network is another one
        agent.learn(samples(agent, seed=seed))
    batch = samples(agent, seed=9)
    learner = agent._trained("")
    online = values_of(agent, learner.weights(), batch)
    target = values_of(agent, {name: variable.numpy() for name, variable in learner.variables.target.items()}, batch)
    assert np.abs(online - target).max() > 1e-3
    weight = batch.columns[PROBABILITY] ** -0.4
    weight /= weight.max()
    gamma, steps = agent.config.gamma, batch.mask.shape[1]
    total, count, errors = 0.0, 0, np.zeros(batch.mask.shape)
    for b, t in np.argwhere(batch.mask):
        reached, goal, factor = t, 0.0, 1.0
        while True:
            goal += factor * batch.reward[b, reached]
            factor *= gamma * (not batch.terminated[b, reached])
            over = batch.terminated[b, reached] or batch.truncated[b, reached]
            reached += 1
            if over or reached in (steps, t + n):
                break
        judge = np.where(batch.legal_act[b, reached], (online if double else target)[b, reached], -np.inf)
        goal += factor * target[b, reached, judge.argmax()]
        errors[b, t] = goal - online[b, t, batch.action[b, t]]
        size = abs(errors[b, t])
        total += weight[b] * (0.5 * size**2 if size <= 1 else size - 0.5)
        count += 1
    metrics = agent.learn(batch)
    assert metrics["total_loss"] == pytest.approx(total / count, rel=1e-4)
    size = np.abs(errors)
    mean = np.array([size[b, batch.mask[b]].mean() for b in range(len(batch))])
    np.testing.assert_allclose(metrics[PRIORITY], 0.9 * size.max(1) + 0.1 * mean + 1e-3, rtol=1e-4)


@pytest.mark.usefixtures("op_by_op")
def test_one_step_errors_equal_rlax() -> None:
    agent = make(PLAIN, n_step=1, importance_exponent=0.0, huber_delta=0.0, target_period=10**6, priority_floor=1e-9)
    for seed in range(3):
        agent.learn(samples(agent, PLAIN, seed=seed))
    batch = samples(agent, PLAIN, seed=9, length=1)  # so a priority is an error
    learner = agent._trained("")
    online = values_of(agent, learner.weights(), batch)
    target = values_of(agent, {name: variable.numpy() for name, variable in learner.variables.target.items()}, batch)
    discount = (0.99 * ~batch.terminated).astype(np.float32)
    wanted = jax.vmap(rlax.double_q_learning)(
        online[:, 0], batch.action[:, 0], batch.reward[:, 0], discount[:, 0], target[:, 1], online[:, 1]
    )
    np.testing.assert_allclose(agent.learn(batch)[PRIORITY], np.abs(wanted), rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("op_by_op")
def test_c51_loss_equals_rlax() -> None:
    agent = make(PLAIN, n_step=1, importance_exponent=0.0, target_period=10**6, **VARIANTS[2])
    for seed in range(3):
        agent.learn(samples(agent, PLAIN, seed=seed))
    batch = samples(agent, PLAIN, seed=9, length=1)
    learner, net = agent._trained(""), agent._net
    logits = []
    for weights in (learner.weights(), {name: variable.numpy() for name, variable in learner.variables.target.items()}):
        agent._take(weights, 0)
        heads = agent._player._forward(batch.obs.reshape(-1, 5))[0].reshape(-1, 4, 11)
        logits.append((heads[:, 3:] + heads[:, :3] - heads[:, :3].mean(1, keepdims=True)).reshape(-1, 2, 3, 11))
    (online, target), discount = logits, (0.99 * ~batch.terminated).astype(np.float32)
    judge = (np.asarray(jax.nn.softmax(online[:, 1])) * net.returns).sum(-1)  # [B, A]

    def loss(*row: Any) -> Any:
        return rlax.categorical_double_q_learning(net.returns, row[0], *row[1:4], net.returns, *row[4:])

    wanted = jax.vmap(loss)(online[:, 0], batch.action[:, 0], batch.reward[:, 0], discount[:, 0], target[:, 1], judge)
    assert agent.learn(batch)["total_loss"] == pytest.approx(float(np.mean(wanted)), rel=1e-4)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([np.nan, np.inf, -1e30, 3.0]), st.integers(-5, 10**6))
def test_garbage_in_masked_steps_changes_nothing(seed: int, reward: float, action: int) -> None:
    weights, priorities = [], []
    for dirty in (False, True):
        agent = make()
        batch = unrolls(agent, seed=seed)
        assert not batch.mask.all()
        if dirty:
            hidden = ~batch.mask
            batch.reward[hidden] = reward
            batch.columns["action"][:, :-1][hidden] = action
            batch.columns["q"][:, :-1][hidden] = 1e6
            batch.terminated[hidden] = True
            batch.columns["action"][:, -1] = action  # nobody took the last action yet
        stored = agent.sample_of(batch)
        first = stored.columns.pop(PRIORITY)
        with np.errstate(invalid="ignore"):
            metrics = agent.learn(stored)
        weights.append(agent._current_weights())
        priorities.append((first, metrics[PRIORITY]))
    for name, value in weights[0].items():
        np.testing.assert_array_equal(value, weights[1][name])
    np.testing.assert_array_equal(*priorities)


@pytest.mark.usefixtures("op_by_op")
@pytest.mark.parametrize("config", VARIANTS, ids=IDS)
def test_first_priorities_are_those_that_the_learner_would_give(config: dict[str, Any]) -> None:
    """With one network for all, and episodes as long as the trajectories: an actor's values are the learner's."""
    agent = make(PLAIN, **{**config, "lstm_size": 0})
    batch = unrolls(agent, PLAIN, seed=4)
    stored = dict(agent.sample_of(batch).columns)
    first = stored.pop(PRIORITY)
    assert not stored.keys() & {"q", "value"}
    found = agent.learn(Batch(stored))[PRIORITY]
    if config.get("atoms", 1) > 1:  # the projection cuts what lies outside the atoms
        inside = np.abs(batch.reward).max(1) < 1
        first, found = first[inside], found[inside]
    np.testing.assert_allclose(first, found, rtol=1e-3, atol=1e-4)


def test_what_is_stored_of_a_step_is_small() -> None:
    stored = make(PLAIN).sample_of(unrolls(make(PLAIN), PLAIN, length=8))
    step = 4 * 5 + 4 + 4 + 3  # an observation, action, reward, three flags
    assert stored.specs.row_bytes <= 8 * step + 4 * 5 + 4 + 4  # the last observation and action, the priority


@pytest.mark.usefixtures("op_by_op")
def test_the_target_network_follows_every_so_many_learns() -> None:
    agent = make(target_period=3, n_step=1)
    learner = agent._trained("")
    for learn in range(1, 8):
        before = {name: variable.numpy() for name, variable in learner.variables.target.items()}
        agent.learn(samples(agent, seed=learn))
        now = {name: variable.numpy() for name, variable in learner.variables.target.items()}
        wanted = learner.weights() if learn % 3 == 0 else before
        for name, value in wanted.items():
            np.testing.assert_array_equal(now[name], value)


@pytest.mark.usefixtures("op_by_op")
def test_polyak_goes_a_share_of_the_way_with_every_learn() -> None:
    agent = make(target_rate=0.25)
    learner = agent._trained("")
    before = {name: variable.numpy() for name, variable in learner.variables.target.items()}
    agent.learn(samples(agent))
    for name, value in learner.weights().items():
        np.testing.assert_allclose(
            learner.variables.target[name], 0.75 * before[name] + 0.25 * value, rtol=1e-5, atol=1e-7
        )


@pytest.mark.usefixtures("op_by_op")
def test_a_likely_sample_counts_less() -> None:
    """What is drawn twice as often as another, and weighs half of it, moves the weights as the two drawn alike do."""
    agent = make(importance_exponent=1.0)
    stored = dict(agent.sample_of(unrolls(agent, count=2)).columns)
    del stored[PRIORITY]
    agent = make(importance_exponent=1.0, max_grad_norm=0.0)
    uniform = agent.learn(Batch({**stored, PROBABILITY: np.ones(2)}))["total_loss"]
    thrice = {name: column[[0, 0, 1]] for name, column in stored.items()}
    agent = make(importance_exponent=1.0, max_grad_norm=0.0)
    weighted = agent.learn(Batch({**thrice, PROBABILITY: np.array([4 / 3, 4 / 3, 2 / 3])}))["total_loss"]
    valid = stored["mask"].sum(1)
    assert weighted * (2 * valid[0] + valid[1]) == pytest.approx(uniform * valid.sum(), rel=1e-4)


def test_no_retrace_for_other_batch_sizes_lengths_and_masks() -> None:
    agent = make()
    for count, length in ((8, 12), (3, 12), (8, 5)):
        agent.learn(samples(agent, count=count, length=length))
    assert agent._trained("").traces == 1


@pytest.mark.parametrize("config", VARIANTS, ids=IDS)
def test_resume_is_exact(config: dict[str, Any], tmp_path: Path) -> None:
    straight = make(**config, target_period=3)
    batches = [samples(straight, seed=seed) for seed in range(6)]
    for batch in batches[:4]:
        straight.learn(batch)
    straight.save_training_state(str(tmp_path))
    saved(straight, tmp_path, 4)
    resumed = new(**config, target_period=3)
    resumed.load_model(str(tmp_path), 4)
    resumed.load_training_state(str(tmp_path))
    for batch in batches[4:]:
        np.testing.assert_array_equal(straight.learn(batch)[PRIORITY], resumed.learn(batch)[PRIORITY])
    assert saved(straight, tmp_path, 5) == saved(resumed, tmp_path, 6)


@pytest.mark.usefixtures("op_by_op")
@pytest.mark.parametrize(
    ("spaces", "config"),
    [*((LEGAL, config) for config in VARIANTS), (IMAGES, {}), (IMAGES, {"lstm_size": 8, "atoms": 5})],
    ids=[*IDS, "images", "images, lstm, c51"],
)
def test_an_actor_predicts_with_the_model_that_it_loaded(spaces: Spaces, config: Any, tmp_path: Path) -> None:
    learner = make(spaces, **config)
    learner.learn(samples(learner, spaces, count=2, length=4))
    saved(learner, tmp_path, 1)
    actor = new(spaces, "actor", **config)
    actor.load_model(str(tmp_path), 1)
    batch = unrolls(learner, spaces, count=2, length=4)
    rows = {name: batch.columns[name][:, 0] for name in ("obs", "legal_act") if name in batch.columns}
    rows |= learner.initial_state(2)
    mine, others = learner.exploit(Batch(rows)).columns, actor.exploit(Batch(rows)).columns
    assert mine["action"].dtype == np.int32
    assert {"action", "q", "value", *learner.initial_state(1)} == set(mine)
    for name, column in mine.items():
        np.testing.assert_allclose(column, others[name], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(mine["q"], mine["value"])


@pytest.mark.parametrize("spaces", [LEGAL, IMAGES], ids=["mlp", "cnn"])
def test_an_lstm_unrolled_equals_step_by_step(spaces: Spaces) -> None:
    """What the learner computes along a trajectory, over resets, is what the actor computed on the way."""
    agent = make(spaces, lstm_size=8, n_step=1)
    count, length = 3, 6
    batch = unrolls(agent, spaces, count=count, length=length)
    state = np.random.default_rng(0).standard_normal((count, 16)).astype(np.float32)
    batch.columns["lstm"] = state
    heads = []
    for t in range(length + 1):
        if t:
            state = np.where(batch.mask[:, t - 1, None], state, 0)
        out, state = agent._player._forward(batch.obs[:, t], state)
        heads.append(model.action_values(agent._net, out))
    learner = agent._trained("")
    columns = {name: np.swapaxes(batch.columns[name], 0, 1) for name in ("obs", "mask")} | {
        "lstm": batch.columns["lstm"]
    }
    q = learning._q_values(agent._net, learner.variables.online, columns)[..., 0]
    np.testing.assert_allclose(q, np.stack(heads), rtol=1e-4, atol=1e-5)


def test_a_request_says_how_much_its_slot_explores() -> None:
    agent = make(PLAIN)
    rows = {"obs": np.zeros((2000, 5), np.float32)}
    best = agent.exploit(Batch(rows)).action[0]
    for epsilon in (0.0, 0.9):
        column = np.full(2000, epsilon, np.float32)
        action = agent.predict(Batch({**rows, EPSILON: column})).action
        assert np.mean(action != best) == pytest.approx(epsilon * 2 / 3, abs=0.05)


def test_predictions_depend_on_seed_and_calls_alone() -> None:
    rows = Batch({"obs": np.random.default_rng(0).standard_normal((64, 5)).astype(np.float32)})
    one, two, other = new(PLAIN, "actor"), new(PLAIN, "actor"), new(PLAIN, "actor", seed=5)
    np.testing.assert_array_equal(one.predict(rows).action, two.predict(rows).action)
    assert (one.predict(rows).action != other.predict(rows).action).any()


@pytest.mark.parametrize("column", ["obs", "reward"])
def test_nan_in_a_column_is_named_and_changes_nothing(column: str) -> None:
    agent = make()
    batch = samples(agent)
    before = agent._current_weights()
    batch.columns[column][0, 0] = np.nan
    batch.mask[0, 0] = True
    with pytest.raises(FloatingPointError, match=column):
        agent.learn(batch)
    for name, value in agent._current_weights().items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.usefixtures("op_by_op")
def test_an_infinite_loss_is_an_error_before_the_weights_change() -> None:
    agent = make(huber_delta=0.0)
    batch = samples(agent)
    batch.reward[batch.mask] = 3e38
    before = agent._current_weights()
    with pytest.raises(FloatingPointError, match="not applied"):
        agent.learn(batch)
    for name, value in agent._trained("").weights().items():
        np.testing.assert_array_equal(value, before[name])


def test_samples_of_another_form_are_refused_by_name() -> None:
    agent = make()
    batch = samples(agent)
    with pytest.raises(SampleError, match="'legal_act'"):
        agent.learn(Batch({name: column for name, column in batch.columns.items() if name != "legal_act"}))
    with pytest.raises(SampleError, match="'action'"):
        agent.learn(Batch({**batch.columns, "action": batch.action.astype(np.int64)}))


def test_a_model_of_another_run_is_refused_with_names(tmp_path: Path) -> None:
    agent = make()
    saved(agent, tmp_path, 1)
    for config, name in (
        ({"dueling": False}, "dueling"),
        ({"atoms": 5}, "atoms"),
        ({"hidden_sizes": (8,)}, "hidden_sizes"),
    ):
        with pytest.raises(AgentError, match=rf"{name}.*set {name}"):
            new(agent_type="actor", **config).load_model(str(tmp_path), 1)


def test_continuous_actions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"continuous.*ppo"):
        new(Spaces((5,), "<f4", "continuous", 2, (-1.0, -1.0), (1.0, 1.0)))


def test_only_a_learner_learns(tmp_path: Path) -> None:
    actor = new(agent_type="actor")
    with pytest.raises(AgentError, match="'actor'"):
        actor.learn(samples(make()))
    with pytest.raises(AgentError, match="'actor'"):
        actor.save_training_state(str(tmp_path))


@pytest.mark.parametrize("agent_type", ["aisrv", "actor", "learner"])
def test_tensorflow_is_imported_by_the_learner_only(agent_type: str) -> None:
    code = (
        "import sys, numpy as np\n"
        "from kaimesh.algorithms.dqn.agent import Agent\n"
        "from kaimesh.agent import Spaces\n"
        "from kaimesh.contract.arrays import Batch\n"
        f"agent = Agent({agent_type!r})\n"
        "agent.setup(Spaces((5,), '<f4', 'discrete', 3))\n"
        "agent.slot_columns(np.arange(3), 6)\n"
        f"if {agent_type!r} != 'aisrv':\n"
        "    agent.predict(Batch({'obs': np.zeros((2, 5), np.float32)}))\n"
        "print('tensorflow' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip().splitlines()[-1] == str(agent_type == "learner")


def test_config_reports_contradictions() -> None:
    assert Config().check() == []
    wrong: dict[str, Any] = {
        "unroll_length": 0, "n_step": 0, "gamma": 1.1, "epsilon": -0.1, "network": "vgg", "activation": "gelu",
        "atoms": 0, "learning_rate": 0.0, "huber_delta": -1.0, "priority_max_share": 2.0,
        "hidden_sizes": (), "target_period": 0,
    }  # fmt: skip
    for key, value in wrong.items():
        found = Config(**{key: value}).check()
        assert any(key in text for text in found), (key, found)
    assert "no weight, a float32, would ever change" in Config(learning_rate=1e-300).check()[0]
    assert "adam_epsilon = 1e-300: in float32" in Config(adam_epsilon=1e-300).check()[0]
    assert "n_step = 9" in Config(n_step=9).check()[0]
    assert "value_min" in Config(atoms=51, value_min=1.0, value_max=0.0).check()[0]
    assert "total_learner_steps" in Config(learning_rate_schedule="linear").check()[0]
