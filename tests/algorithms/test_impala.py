"""The IMPALA agent as the mesh calls it: what it learns from, what it must not see, faults, files, resume, determinism.

Shape legend: B trajectories, T steps.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kaimesh.algorithms.impala.agent import Agent
from kaimesh.algorithms.impala.config import Config
from kaimesh.contract.arrays import Batch
from kaimesh.contract.columns import PRIORITY, PROBABILITY
from kaimesh.contract.errors import AgentError, SampleError
from kaimesh.contract.spaces import Spaces
from tests.algorithms.trajectories import CONTINUOUS, DISCRETE, IMAGES, again, made, observations, saved, trajectories


def make(spaces: Spaces = DISCRETE, **config: Any) -> Agent:
    """A learner at its beginning, with `config` in place of defaults. Equal arguments give the same object again."""
    agent: Agent = again(Agent, spaces, **config)
    return agent


def new(spaces: Spaces = DISCRETE, agent_type: str = "learner", **config: Any) -> Agent:
    """Another one at each call."""
    agent: Agent = made(Agent, spaces, agent_type, **config)
    return agent


@pytest.mark.usefixtures("op_by_op")
@pytest.mark.parametrize("spaces", [DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])
@pytest.mark.parametrize("torso", ["shared", "separate"])
def test_the_learner_recomputes_what_the_actor_recorded(spaces: Spaces, torso: str) -> None:
    agent = make(spaces, torso=torso)
    metrics = agent.learn(trajectories(agent, spaces))
    assert abs(metrics["behaviour_kl"]) < 1e-6
    assert all(isinstance(value, float) and np.isfinite(value) for value in metrics.values())
    assert {"total_loss", "policy_loss", "value_loss", "entropy", "grad_norm", "learning_rate"} <= metrics.keys()


@pytest.mark.parametrize("network", ["impala", "resnet"])
def test_images_are_learned_by_the_papers_two_networks(network: str) -> None:
    agent = make(IMAGES, network=network)
    metrics = agent.learn(trajectories(agent, IMAGES, count=2, length=4))
    assert abs(metrics["behaviour_kl"]) < 1e-5
    assert np.isfinite(metrics["total_loss"])


@pytest.mark.parametrize("settings", [{}, {"optimizer": "rmsprop", "reduction": "sum", "max_grad_norm": 40.0}])
def test_the_policy_prefers_what_paid_though_another_one_acted(settings: dict[str, Any]) -> None:
    """The trajectories are those of the first policy throughout."""
    behaviour, agent = make(), make(learning_rate=3e-3, entropy_cost=0.0, **settings)
    for seed in range(80):
        batch = trajectories(behaviour, DISCRETE, seed=seed)
        batch.columns["reward"][:] = batch.action[:, :-1] == 1
        metrics = agent.learn(batch)
    rng = np.random.default_rng(99)
    assert (agent.exploit(Batch(observations(DISCRETE, rng, 200))).action == 1).mean() > 0.95
    assert metrics["behaviour_kl"] > 0.02


@pytest.mark.usefixtures("op_by_op")
@pytest.mark.parametrize("size", [30.0, np.inf])
def test_garbage_in_masked_steps_changes_nothing(size: float, tmp_path: Path) -> None:
    clean = trajectories(make(), DISCRETE)
    hidden = ~clean.mask
    assert hidden.any()
    rng = np.random.default_rng(1)
    dirty = {name: column.copy() for name, column in clean.columns.items()}
    dirty["reward"][hidden] = size
    dirty["action"][:, :-1][hidden] = rng.integers(0, 3, hidden.sum())
    for name in ("terminated", "truncated"):
        dirty[name][hidden] = rng.random(hidden.sum()) < 0.5
    dirty["log_prob"][:, :-1][hidden] = -30
    dirty["value"][:] = 7  # V-trace takes the network's own values
    after_terminal = np.zeros_like(hidden)  # the observation after a truncation is bootstrapped from
    after_terminal[:, 1:] = clean.terminated[:, :-1]
    assert after_terminal.any()
    dirty["obs"][:, :-1][after_terminal] = 30
    results = []
    for columns in (clean.columns, dirty):
        agent = make()
        results.append((agent.learn(Batch(columns)), saved(agent, tmp_path, len(results))))
    assert results[0] == results[1]


@pytest.mark.usefixtures("op_by_op")
def test_valid_steps_do_matter(tmp_path: Path) -> None:
    batch = trajectories(make(), DISCRETE)
    results = []
    for change in ("nothing", "reward", "log_prob", "obs"):
        columns = {name: column.copy() for name, column in batch.columns.items()}
        if change != "nothing":
            columns[change][tuple(np.argwhere(batch.mask)[5])] += 1  # a larger ratio would be clipped
        agent = make()
        agent.learn(Batch(columns))
        results.append(saved(agent, tmp_path, 0))
    assert len(set(results)) == 4


@pytest.mark.usefixtures("op_by_op")
@pytest.mark.parametrize(
    ("key", "value"), [("rho_bar", 0.2), ("c_bar", 0.1), ("pg_rho_bar", 0.2), ("vtrace_lambda", 0.3)]
)
def test_every_bound_of_v_trace_has_its_effect(key: str, value: float, tmp_path: Path) -> None:
    batch = trajectories(make(), DISCRETE)
    results = []
    for settings in ({}, {key: value}):
        agent = make(**settings)
        agent.learn(batch)
        results.append(saved(agent, tmp_path, 0))
    assert results[0] != results[1]


@pytest.mark.usefixtures("op_by_op")
def test_rewards_are_clipped_and_then_scaled(tmp_path: Path) -> None:
    batch = trajectories(make(), DISCRETE)
    batch.columns["reward"] *= 10
    clipped = make(reward_clip="abs_one", reward_scale=0.5)
    clipped.learn(batch)
    plain = make()
    plain.learn(Batch({**batch.columns, "reward": np.clip(batch.reward, -1, 1) * np.float32(0.5)}))
    assert saved(clipped, tmp_path, 0) == saved(plain, tmp_path, 1)


@pytest.mark.usefixtures("op_by_op")
@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_linear_schedule_reaches_0(optimizer: str, tmp_path: Path) -> None:
    agent = make(optimizer=optimizer, learning_rate_schedule="linear", total_learner_steps=4, learning_rate=0.4)
    batch = trajectories(agent, DISCRETE)
    rates = [agent.learn(batch)["learning_rate"] for _ in range(5)]
    np.testing.assert_allclose(rates, [0.4, 0.3, 0.2, 0.1, 0.0], atol=1e-7)
    before = saved(agent, tmp_path, 5)
    agent.learn(batch)
    assert saved(agent, tmp_path, 6) == before


@pytest.mark.usefixtures("op_by_op")
def test_the_gradient_is_clipped_to_its_norm(tmp_path: Path) -> None:
    """RMSProp's first step is linear in the gradient where epsilon is large, so its length shows the clipping."""
    batch = trajectories(make(), DISCRETE)
    lengths = []
    for norm in (0.0, 1e-2, 1e-3):
        agent = make(optimizer="rmsprop", rmsprop_epsilon=1e6, learning_rate=1e3, max_grad_norm=norm)
        before = agent._learner.weights()
        grad_norm = agent.learn(batch)["grad_norm"]
        moved = [np.sum((value - before[name]) ** 2) for name, value in agent._learner.weights().items()]
        lengths.append(float(np.sqrt(sum(moved))))
    np.testing.assert_allclose(lengths, [grad_norm, 1e-2, 1e-3], rtol=1e-2)


@pytest.mark.usefixtures("op_by_op")
@pytest.mark.parametrize("settings", [{}, {"lstm_size": 8, "torso": "shared"}])
def test_a_replayed_unroll_is_learned_from_as_a_fresh_one(settings: dict[str, Any], tmp_path: Path) -> None:
    """Drawn as likely as all others; with its behaviour's probabilities, and the state before its first step."""
    older = trajectories(make(**settings), DISCRETE, skip=5)
    results = []
    for columns in ({}, {PROBABILITY: np.ones(len(older))}):
        agent = make(**settings, importance_exponent=1.0)
        for seed in (1, 2):
            agent.learn(trajectories(make(**settings), DISCRETE, seed=seed))
        metrics = agent.learn(Batch({**older.columns, **columns}))
        priority = metrics.pop(PRIORITY, None)
        assert (priority is None) == (not columns)
        results.append((metrics, saved(agent, tmp_path, len(results))))
    assert results[0] == results[1]
    assert priority.shape == (len(older),)
    assert (priority > 0).all()


@pytest.mark.usefixtures("op_by_op")
def test_an_unroll_that_is_drawn_too_often_weighs_less(tmp_path: Path) -> None:
    batch = trajectories(make(), DISCRETE)
    often = np.where(np.arange(len(batch)) < 4, 1.0, 8.0)
    results = {}
    for exponent in (0.0, 0.5, 1.0):
        agent = make(importance_exponent=exponent)
        agent.learn(Batch({**batch.columns, PROBABILITY: often}))
        results[exponent] = saved(agent, tmp_path, 0)
    plain = make()
    plain.learn(batch)
    assert results[0.0] == saved(plain, tmp_path, 1)
    assert len(set(results.values())) == 3


@pytest.mark.usefixtures("op_by_op")
def test_unrolls_with_larger_advantages_get_larger_priorities() -> None:
    batch = trajectories(make(), DISCRETE)
    batch.columns["reward"][:4] = 0.01
    batch.columns["reward"][4:] = 50
    priority = make().learn(Batch({**batch.columns, PROBABILITY: np.ones(8)}))[PRIORITY]
    assert priority[4:].min() > 2 * priority[:4].max()


def test_no_retrace_for_other_batch_sizes_lengths_and_masks() -> None:
    agent = make()
    agent.learn(Batch({**trajectories(agent, DISCRETE).columns, PROBABILITY: np.full(8, 0.5)}))
    for seed, (count, length) in enumerate([(8, 16), (8, 16), (3, 5), (1, 2)]):
        agent.learn(trajectories(agent, DISCRETE, seed=seed, count=count, length=length))
    assert agent._learner.traces == 1


def test_nan_and_foreign_columns_are_named_and_change_nothing() -> None:
    agent = make()
    batch = trajectories(agent, DISCRETE)
    before = agent._learner.weights()
    b, t = np.argwhere(batch.mask)[10]
    broken = Batch({**batch.columns, "reward": batch.reward.copy()})
    broken.columns["reward"][b, t] = np.nan
    with pytest.raises(FloatingPointError, match=f"'reward' is not finite in trajectory {b} .* step {t}"):
        agent.learn(broken)
    with pytest.raises(SampleError, match=r"'action' is int64 .*, but learning needs int32"):
        agent.learn(Batch({**batch.columns, "action": batch.action.astype(np.int64)}))
    broken.columns["reward"][:] = 1e30
    with pytest.raises(FloatingPointError, match=r"total_loss = inf in learn 0 .*Lower .*learning_rate"):
        agent.learn(broken)
    for name, value in agent._learner.weights().items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("config", [{}, {"optimizer": "rmsprop"}, {"normalize_observations": True}])
def test_resume_is_exact(config: dict[str, Any], tmp_path: Path) -> None:
    straight = make(**config, learning_rate_schedule="linear", total_learner_steps=10)
    batches = [trajectories(straight, DISCRETE, seed=i) for i in range(5)]
    for i, batch in enumerate(batches):
        straight.learn(batch)
        if i == 1:
            straight.save_model(str(tmp_path), 2)
            straight.save_training_state(str(tmp_path))
    resumed = new(**config, learning_rate_schedule="linear", total_learner_steps=10)
    resumed.load_model(str(tmp_path), 2)
    resumed.load_training_state(str(tmp_path))
    for batch in batches[2:]:
        metrics = resumed.learn(batch)
    assert metrics["learning_rate"] == pytest.approx(1e-3 * 0.6)
    assert saved(resumed, tmp_path, 5) == saved(straight, tmp_path, 6)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    files = []
    for i, seed in enumerate((3, 3, 4)):
        agent = new(seed=seed)
        for step in range(3):
            agent.learn(trajectories(agent, DISCRETE, seed=step))
        files.append(saved(agent, tmp_path, i))
    assert files[0] == files[1]
    assert files[0] != files[2]


def test_a_model_of_ppo_is_refused(tmp_path: Path) -> None:
    from kaimesh.algorithms.ppo.agent import Agent as PPO

    made(PPO).save_model(str(tmp_path), 1)
    with pytest.raises(AgentError, match="format is 'ppo 2' in the file and 'impala 1' here"):
        make().load_model(str(tmp_path), 1)


@pytest.mark.parametrize("agent_type", ["aisrv", "actor"])
def test_tensorflow_is_imported_by_the_learner_only(agent_type: str) -> None:
    script = f"""
import sys
import numpy as np
from kaimesh.algorithms.impala.agent import Agent
from kaimesh.algorithms.impala.config import Config
from kaimesh.agent import PRIORITY, PROBABILITY, Spaces
from kaimesh.contract.arrays import Batch
agent = Agent({agent_type!r}, config=Config(lstm_size=8))
assert agent.unroll_length == 20 and agent.table.kind == "queue"
agent.setup(Spaces((4,), "<f4", "discrete", 2))
if {agent_type!r} == "actor":
    agent.predict(Batch({{"obs": np.zeros((3, 4), np.float32), **agent.initial_state(3)}}))
assert "tensorflow" not in sys.modules and "jax" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2], timeout=120)


def test_config_reports_contradictions() -> None:
    assert Config().check() == []
    wrong: dict[str, Any] = {
        "reward_clip": "yes",
        "optimizer": "sgd",
        "reduction": "max",
        "vtrace_lambda": 1.5,
        "rho_bar": 0.0,
        "lstm_size": -1,
        "unroll_length": 1,
        "rmsprop_epsilon": 0.0,
        "learning_rate_schedule": "linear",
    }
    report = Config(**wrong).check()
    for key in wrong:
        assert any(line.startswith(f"{key} = ") for line in report), key
    assert len(report) == len(wrong) + 1  # c_bar is above rho_bar
    assert Config(lstm_size=4, torso="separate").check() != []
