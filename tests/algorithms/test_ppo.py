"""The PPO agent as the mesh calls it: shapes, masks, stops, faults, files, resume, determinism.

Shape legend: B trajectories, T steps.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kaimesh.algorithms import weights as model_file
from kaimesh.algorithms.ppo.agent import Agent
from kaimesh.algorithms.ppo.config import Config
from kaimesh.contract.arrays import Batch
from kaimesh.contract.errors import AgentError, SampleError
from kaimesh.contract.spaces import Spaces
from tests.algorithms.model_files import content_of
from tests.algorithms.trajectories import CONTINUOUS, DISCRETE, IMAGES, again, made, observations, saved, trajectories


def make(spaces: Spaces = DISCRETE, **config: Any) -> Agent:
    """A learner at its beginning, with `config` in place of defaults. Equal arguments give the same object again."""
    agent: Agent = again(Agent, spaces, **config)
    return agent


def new(spaces: Spaces = DISCRETE, agent_type: str = "learner", **config: Any) -> Agent:
    """Another one at each call."""
    agent: Agent = made(Agent, spaces, agent_type, **config)
    return agent


@pytest.mark.parametrize("spaces", [DISCRETE, CONTINUOUS, IMAGES], ids=["discrete", "continuous", "images"])
def test_predict_gives_columns_of_fixed_types(spaces: Spaces) -> None:
    agent = new(spaces, "actor")
    rng = np.random.default_rng(0)
    for count in (1, 7):
        batch = Batch(observations(spaces, rng, count))
        for answer in (agent.predict(batch), agent.exploit(batch)):
            shape = () if spaces.action_kind == "discrete" else (spaces.action_size,)
            assert {name: (c.dtype.str, c.shape) for name, c in answer.columns.items()} == {
                "action": ("<i4" if spaces.action_kind == "discrete" else "<f4", (count, *shape)),
                "log_prob": ("<f4", (count,)),
                "value": ("<f4", (count,)),
            }
        np.testing.assert_array_equal(agent.exploit(batch).action, agent.exploit(batch).action)


@pytest.mark.usefixtures("op_by_op")
@pytest.mark.parametrize("shared", ["shared", "separate"])
@pytest.mark.parametrize("spaces", [DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])
def test_learner_recomputes_what_the_actor_recorded(spaces: Spaces, shared: str) -> None:
    """With the actor's weights every ratio is 1, so the first gradient step sees no KL at all and clips nothing."""
    agent = make(spaces, torso=shared, epochs=1, minibatches=1)
    metrics = agent.learn(trajectories(agent, spaces))
    assert abs(metrics["approx_kl"]) < 1e-6
    assert metrics["clip_fraction"] == 0
    assert metrics["gradient_steps"] == 1
    assert all(isinstance(value, float) and np.isfinite(value) for value in metrics.values())
    assert {"total_loss", "policy_loss", "value_loss", "entropy", "approx_kl", "clip_fraction"} <= metrics.keys()
    assert {"explained_variance", "learning_rate", "grad_norm"} <= metrics.keys()


def test_the_optimised_policy_prefers_what_paid() -> None:
    agent = make(epochs=10, normalize_advantages=True, entropy_cost=0.0, target_kl=0.0)
    for seed in range(20):
        batch = trajectories(agent, DISCRETE, seed=seed)
        batch.columns["reward"][:] = batch.action[:, :-1] == 1
        agent.learn(batch)
    rng = np.random.default_rng(99)
    assert (agent.exploit(Batch(observations(DISCRETE, rng, 200))).action == 1).mean() > 0.95


@pytest.mark.parametrize("size", [1.0, 1e30, np.inf])
def test_garbage_in_masked_steps_changes_nothing(size: float, tmp_path: Path) -> None:
    """Also infinite garbage, where no finite check forbids it: the masked steps' rewards and flags are not read."""
    clean = trajectories(make(), DISCRETE)
    hidden = ~clean.mask
    assert hidden.any()
    rng = np.random.default_rng(1)
    dirty = {name: column.copy() for name, column in clean.columns.items()}
    dirty["reward"][hidden] = size
    dirty["action"][:, :-1][hidden] = rng.integers(0, 3, hidden.sum())
    for name in ("terminated", "truncated"):
        dirty[name][hidden] = rng.random(hidden.sum()) < 0.5
    if np.isfinite(size):
        dirty["log_prob"][:, :-1][hidden] = -size
        # Not the value: the step before may have been truncated, and then it bootstraps from this one.
        dirty["obs"][:, :-1][hidden] = size
    results = []
    for columns in (clean.columns, dirty):
        agent = make()
        metrics = agent.learn(Batch(columns))
        results.append((metrics, saved(agent, tmp_path, len(results))))
    assert results[0] == results[1]


def test_valid_steps_do_matter(tmp_path: Path) -> None:
    batch = trajectories(make(), DISCRETE)
    results = []
    for extra in (0.0, 1.0):
        batch.columns["reward"][tuple(np.argwhere(batch.mask)[0])] += extra
        agent = make()
        agent.learn(batch)
        results.append(saved(agent, tmp_path, 0))
    assert results[0] != results[1]


def test_target_kl_stops_an_update() -> None:
    batch = trajectories(make(), DISCRETE)
    free = make(learning_rate=0.03, target_kl=0.0).learn(batch)
    stopped = make(learning_rate=0.03, target_kl=0.005).learn(batch)
    assert free["gradient_steps"] == 16
    assert 1 <= stopped["gradient_steps"] < 16
    stale = Batch({**batch.columns, "log_prob": batch.log_prob - 3})
    agent = make(target_kl=0.005)
    before = agent._learner.weights()
    assert agent.learn(stale)["gradient_steps"] == 0
    for name, value in agent._learner.weights().items():
        np.testing.assert_array_equal(value, before[name])


def test_linear_schedule_reaches_0() -> None:
    agent = make(learning_rate_schedule="linear", total_learner_steps=4, learning_rate=0.4, epochs=1)
    batch = trajectories(agent, DISCRETE)
    rates = [agent.learn(batch)["learning_rate"] for _ in range(6)]
    np.testing.assert_allclose(rates, [0.4, 0.3, 0.2, 0.1, 0.0, 0.0], atol=1e-7)


def test_reward_scale_is_a_factor_of_the_rewards(tmp_path: Path) -> None:
    batch = trajectories(make(), DISCRETE)
    scaled = make(reward_scale=0.25)
    scaled.learn(batch)
    plain = make()
    plain.learn(Batch({**batch.columns, "reward": batch.reward * np.float32(0.25)}))
    assert saved(scaled, tmp_path, 0) == saved(plain, tmp_path, 1)


def test_no_retrace_for_other_batch_sizes_lengths_and_masks() -> None:
    agent = make()
    for seed, (count, length) in enumerate([(8, 16), (8, 16), (3, 5), (1, 2)]):
        agent.learn(trajectories(agent, DISCRETE, seed=seed, count=count, length=length))
    assert agent._learner.traces == 1


@pytest.mark.parametrize("column", ["reward", "obs", "log_prob", "value"])
def test_nan_in_a_column_is_named_and_changes_nothing(column: str) -> None:
    agent = make()
    batch = trajectories(agent, DISCRETE)
    before = agent._learner.weights()
    b, t = np.argwhere(batch.mask)[10]
    batch.columns[column][b, t] = np.nan
    with pytest.raises(FloatingPointError, match=f"'{column}' is not finite in trajectory {b} .* step {t}"):
        agent.learn(batch)
    for name, value in agent._learner.weights().items():
        np.testing.assert_array_equal(value, before[name])


def test_an_infinite_loss_is_an_error_before_the_weights_change() -> None:
    agent = make(normalize_advantages=False)
    batch = trajectories(agent, DISCRETE)
    before = agent._learner.weights()
    batch.columns["reward"][:] = 1e30
    with pytest.raises(FloatingPointError, match=r"total_loss = inf in learn 0 .*value_loss = inf"):
        agent.learn(batch)
    for name, value in agent._learner.weights().items():
        np.testing.assert_array_equal(value, before[name])


def test_samples_of_another_form_are_refused_by_name() -> None:
    agent = make()
    batch = trajectories(agent, DISCRETE)
    for change, message in (
        ({"value": batch.value[:, :-1]}, r"'value' is float32 \['B', 16\], but learning needs float32 \['B', 17\]"),
        ({"action": batch.action.astype(np.int64)}, "'action' is int64"),
        ({"obs": batch.obs[..., :4]}, "'obs' is"),
    ):
        with pytest.raises(SampleError, match=message):
            agent.learn(Batch({**batch.columns, **change}))
    with pytest.raises(SampleError, match="no column 'legal_act'"):
        agent.learn(Batch({name: c for name, c in batch.columns.items() if name != "legal_act"}))


@pytest.mark.parametrize("spaces", [DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])
def test_the_same_seed_gives_the_same_bytes(spaces: Spaces, tmp_path: Path) -> None:
    files = []
    for i, seed in enumerate((3, 3, 4)):
        agent = new(spaces, seed=seed)
        for step in range(3):
            agent.learn(trajectories(agent, spaces, seed=step))
        files.append(saved(agent, tmp_path, i))
    assert files[0] == files[1]
    assert files[0] != files[2]


def test_bytes_do_not_depend_on_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = make()
    first = saved(agent, tmp_path, 0)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(2e9))
    assert saved(agent, tmp_path, 1) == first


@pytest.mark.parametrize("config", [{}, {"normalize_observations": True}, {"torso": "shared"}])
def test_resume_is_exact(config: dict[str, Any], tmp_path: Path) -> None:
    straight = make(**config, learning_rate_schedule="linear", total_learner_steps=10)
    straight.save_model(str(tmp_path), 0)
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


@pytest.mark.parametrize("spaces", [DISCRETE, IMAGES], ids=["mlp", "cnn"])
def test_an_actor_predicts_with_the_model_that_it_loaded(spaces: Spaces, tmp_path: Path) -> None:
    learner, actor = make(spaces), new(spaces, "actor")
    batch = Batch(observations(spaces, np.random.default_rng(0), 6))
    np.testing.assert_array_equal(actor.exploit(batch).value, learner.exploit(batch).value)
    learner.learn(trajectories(learner, spaces, count=2, length=4))
    learner.save_model(str(tmp_path), 1)
    assert (actor.exploit(batch).value != learner.exploit(batch).value).any()
    actor.load_model(str(tmp_path), 1)
    np.testing.assert_array_equal(actor.exploit(batch).value, learner.exploit(batch).value)


@pytest.mark.usefixtures("op_by_op")
def test_normalised_observations_are_the_same_in_actor_and_learner(tmp_path: Path) -> None:
    learner = make(normalize_observations=True, epochs=1, minibatches=1)
    for seed in range(3):
        metrics = learner.learn(trajectories(learner, DISCRETE, seed=seed))
        assert abs(metrics["approx_kl"]) < 1e-6
    learner.save_model(str(tmp_path), 3)
    _, arrays = content_of(tmp_path / "model.ckpt-3.npz")
    np.testing.assert_allclose(arrays["obs/scale"], 1, atol=0.2)
    assert (arrays["obs/mean"] != 0).all()


def test_a_model_of_another_run_is_refused_with_names(tmp_path: Path) -> None:
    make().save_model(str(tmp_path), 1)
    agent = new(hidden_sizes=(32,), agent_type="actor")
    batch = Batch(observations(DISCRETE, np.random.default_rng(0), 3))
    before = agent.exploit(batch).value
    with pytest.raises(AgentError, match=r"hidden_sizes is \[16, 16\] in the file and \[32\] here .*set hidden"):
        agent.load_model(str(tmp_path), 1)
    with pytest.raises(AgentError, match=r"spaces is .*environment it was trained on"):
        make(CONTINUOUS).load_model(str(tmp_path), 1)
    np.testing.assert_array_equal(agent.exploit(batch).value, before)


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-200], lambda b: b"garbage", lambda b: b"", lambda b: b[:300] + b"x" + b[301:]]
)
def test_a_damaged_or_missing_model_is_refused(damage: Any, tmp_path: Path) -> None:
    agent = make()
    content = saved(agent, tmp_path, 1)
    (tmp_path / "model.ckpt-1.npz").write_bytes(damage(content))
    with pytest.raises(AgentError, match="damaged"):
        agent.load_model(str(tmp_path), 1)
    with pytest.raises(AgentError, match=r"no model .*model.ckpt-7"):
        agent.load_model(str(tmp_path), 7)
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "array.npy").rename(tmp_path / "model.ckpt-2.npz")
    with pytest.raises(AgentError, match="damaged"):
        agent.load_model(str(tmp_path), 2)


@pytest.mark.parametrize("low", [-1.0, -float("inf"), -2.0, 0.0])
def test_a_model_from_before_actions_had_a_unit_is_refused_where_they_would_be_scaled(
    tmp_path: Path, low: float
) -> None:
    high = {-1.0: 1.0, -2.0: 2.0, 0.0: 1000.0}.get(low, -low)
    agent = new(CONTINUOUS._replace(action_low=(-1.0, low), action_high=(1.0, high)), "actor")
    agent.save_model(str(tmp_path), 1)
    agent.load_model(str(tmp_path), 1)
    file = tmp_path / "model.ckpt-1.npz"
    header, arrays = content_of(file)
    del header["action_unit"]
    model_file.save(file, header, arrays)
    if low in (-1.0, -float("inf")):  # nothing is scaled there
        agent.load_model(str(tmp_path), 1)
        return
    before = agent.exploit(Batch({"obs": np.ones((1, 5), np.float32)})).action
    for check in (agent.load_model, agent.check_model):
        with pytest.raises(
            AgentError, match=r"action_unit is 'environment' in the file and 'bounds' here \(an earlier"
        ):
            check(str(tmp_path), 1)
    np.testing.assert_array_equal(agent.exploit(Batch({"obs": np.ones((1, 5), np.float32)})).action, before)


def test_predictions_depend_on_seed_and_calls_alone() -> None:
    rng = np.random.default_rng(0)
    batches = [Batch(observations(DISCRETE, rng, 16)) for _ in range(4)]
    first, second = new(seed=5, agent_type="actor"), new(seed=5, agent_type="actor")
    other = new(seed=6, agent_type="actor")
    actions = [[agent.predict(b).action.tolist() for b in batches] for agent in (first, second, other)]
    assert actions[0] == actions[1]
    assert actions[0] != actions[2]


def test_images_learn_in_reasonable_time() -> None:
    agent = make(IMAGES, epochs=1, minibatches=2)
    batch = trajectories(agent, IMAGES, count=4, length=8)
    agent.learn(batch)  # traces
    start = time.perf_counter()
    metrics = agent.learn(batch)
    assert np.isfinite(metrics["total_loss"])
    assert time.perf_counter() - start < 5  # 32 images; some 0.05 s on a core of its own


@pytest.mark.parametrize("agent_type", ["aisrv", "actor"])
def test_tensorflow_is_imported_by_the_learner_only(agent_type: str) -> None:
    script = f"""
import sys
import numpy as np
from kaimesh.algorithms.ppo.agent import Agent
from kaimesh.agent import Spaces
from kaimesh.contract.arrays import Batch
agent = Agent({agent_type!r})
assert agent.unroll_length == 64 and agent.table.kind == "queue"
agent.setup(Spaces((4,), "<f4", "discrete", 2))
if {agent_type!r} == "actor":
    agent.predict(Batch({{"obs": np.zeros((3, 4), np.float32)}}))
assert "tensorflow" not in sys.modules and "jax" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2], timeout=120)


def test_config_reports_contradictions() -> None:
    assert Config().check() == []
    wrong = Config(
        network="mpl",
        epochs=0,
        gamma=1.5,
        clip=float("nan"),
        unroll_length=1,
        hidden_sizes=(),
        value_clip=-1.0,
        learning_rate_schedule="linear",
    )
    report = "\n".join(wrong.check())
    for key in (
        "network",
        "epochs",
        "gamma",
        "clip",
        "unroll_length",
        "hidden_sizes",
        "value_clip",
        "total_learner_steps",
    ):
        assert key in report
    assert len(wrong.check()) == 8


def test_a_cnn_for_vectors_is_refused() -> None:
    with pytest.raises(ValueError, match=r"network = 'nature' with observations <f4 \[5\]"):
        make(network="nature")


def test_only_a_learner_learns() -> None:
    actor = new(agent_type="actor")
    with pytest.raises(AgentError, match="only the learner's can learn"):
        actor.learn(trajectories(actor, DISCRETE))
