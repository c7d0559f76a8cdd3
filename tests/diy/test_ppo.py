"""The pieces of diy/: advantages, samples, the agent's promises."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diy.algorithm import agent as agent_module
from diy.algorithm.agent import Agent
from diy.algorithm.gae import gae
from diy.config import Config
from diy.feature.definition import (
    ActData,
    ObsData,
    Rewards,
    SampleData,
    action_process,
    observation_process,
    sample_process,
)
from diy.train_workflow import keep_newest, run_episode
from kaimesh import envs
from kaimesh.agent import AgentError
from kaimesh.contract.arrays import Batch
from kaimesh.contract.structs import Frame


def oracle(reward, value, length, gamma, lam):
    """A_t = sum over k of (gamma lam)^k delta_{t+k}, over the real steps; written from equation 16."""
    delta = [reward[t] + gamma * value[t + 1] - value[t] for t in range(length)]
    return [sum((gamma * lam) ** (k - t) * delta[k] for k in range(t, length)) for t in range(length)]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.floats(0.1, 1), st.floats(0, 1))
def test_advantages_are_the_equations(seed, width, gamma, lam):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, width + 1, size=5)
    reward = rng.normal(size=(5, width)).astype(np.float32)
    value = rng.normal(size=(5, width + 1)).astype(np.float32)
    mask = np.arange(width) < lengths[:, None]
    reward[~mask] = np.nan  # garbage in the padding changes nothing
    value[:, 1:][np.arange(1, width + 1) > lengths[:, None]] = np.inf
    with np.errstate(invalid="ignore"):
        advantage, returns = gae(reward, value, mask, gamma, lam)
    for row, length in enumerate(lengths):
        wanted = oracle(reward[row].astype(float), value[row].astype(float), length, gamma, lam)
        np.testing.assert_allclose(advantage[row, :length], wanted, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(returns[row, :length], wanted + value[row, :length], rtol=1e-4, atol=1e-4)
    assert not advantage[~mask].any()
    assert not returns[~mask].any()


def frames(count, terminated):
    return [
        Frame(
            feature=np.full(4, t, np.float32), legal_act=np.array([True, t % 2 == 0]), action=np.int64(t % 2),
            log_prob=np.float32(-t), value=np.float32(100 + t), reward=float(t),
            next_value=0.0 if terminated and t == count - 1 else 101.0 + t,
        )
        for t in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize("terminated", [True, False])
@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 11])
def test_samples_have_one_shape_and_lose_nothing(monkeypatch, count, terminated):
    monkeypatch.setattr(Config, "TRAJECTORY", 4)
    samples = sample_process(frames(count, terminated))
    assert len(samples) == -(-count // 4)
    assert all(type(sample) is SampleData for sample in samples)
    batch = Batch.of(samples)
    assert {name: column.shape[1:] for name, column in batch.columns.items()} == {
        "feature": (4, 4), "legal_act": (4, 2), "action": (4,), "log_prob": (4,), "reward": (4,), "value": (5,),
        "mask": (4,),
    }  # fmt: skip
    assert batch.mask.sum() == count
    assert batch.reward[batch.mask].tolist() == list(range(count))
    assert batch.feature[batch.mask][:, 0].tolist() == list(range(count))
    for row, sample in enumerate(samples):
        n = int(sample.mask.sum())
        first = 4 * row
        bootstrap = 0.0 if terminated and first + n == count else 100.0 + first + n
        assert sample.value.tolist() == [100.0 + first + t for t in range(n)] + [bootstrap] + [0.0] * (4 - n)


def made(agent_type="learner", app="gym:CartPole-v1"):
    env = envs.facade(app, seed=1)
    agent = Agent(agent_type)
    agent.setup(env.spaces)
    return env, agent


def test_one_batch_or_a_list_give_the_same_answers():
    env, agent = made()
    rows = [observation_process(env.reset()) for _ in range(5)]
    batch = Batch(Batch.of(rows).columns, ObsData)
    from_list, from_batch = agent.exploit(rows), agent.exploit(batch)
    assert [type(act) for act in from_list] == [ActData] * 5
    assert [(a.action, a.log_prob, a.value) for a in from_list] == [(a.action, a.log_prob, a.value) for a in from_batch]
    assert all(type(action_process(act)) is int for act in from_list)


def test_predict_draws_from_the_policy_and_never_what_is_forbidden():
    _, agent = made()
    rows = [ObsData(feature=np.zeros(4, np.float32), legal_act=np.array([True, True]))] * 400
    acts = agent.predict(rows)
    share = np.mean([act.action for act in acts])
    assert 0.35 < share < 0.65  # a fresh policy is nearly uniform
    np.testing.assert_allclose([act.log_prob for act in acts], np.log(0.5), atol=0.05)
    rows = [ObsData(feature=np.zeros(4, np.float32), legal_act=np.array([False, True]))] * 50
    assert {int(act.action) for act in agent.predict(rows)} == {1}


def test_padding_teaches_nothing(monkeypatch):
    """Metamorphic: garbage in masked steps leaves the same weights."""
    monkeypatch.setattr(Config, "TRAJECTORY", 8)
    results = []
    for garbage in (0.0, 7.0):
        _, agent = made()
        samples = sample_process(frames(11, True))
        assert [int(sample.mask.sum()) for sample in samples] == [8, 3]
        for sample in samples:
            sample.reward[~sample.mask] = garbage
            sample.feature[~sample.mask] = garbage
            sample.log_prob[~sample.mask] = garbage
        agent._rng = np.random.default_rng(1)
        metrics = agent.learn(samples)
        assert all(np.isfinite(list(metrics.values())))
        results.append(agent.model.get_weights())
    assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))


def test_a_model_and_the_training_state_come_back_exactly(tmp_path):
    env, one = made()
    parts = [sample for part in run_episode(env, one, env.reset(), Rewards()) for sample in sample_process(part)]
    one.learn(parts)
    one.save_model(str(tmp_path), 12)
    one.save_training_state(str(tmp_path))
    assert [path.name for path in tmp_path.glob("model.ckpt-*")] == ["model.ckpt-12.npz"]
    _, two = made()
    two.load_model(str(tmp_path), 12)
    two.load_training_state(str(tmp_path))
    one._rng, two._rng = np.random.default_rng(3), np.random.default_rng(3)
    assert one.learn(parts) == two.learn(parts)
    assert all(np.array_equal(a, b) for a, b in zip(one.model.get_weights(), two.model.get_weights(), strict=True))


@pytest.mark.parametrize("name", ["HIDDEN", "LEARNING_RATE", "CLIP", "STEPS_PER_LEARN"])
def test_numbers_that_would_learn_nothing_are_told(monkeypatch, name):
    assert Config.check() == []
    for value in (0, -1, *([1e-300] if name == "LEARNING_RATE" else [])):
        monkeypatch.setattr(Config, name, value)
        assert name in Config.check()[0]


def test_a_model_that_does_not_fit_is_refused_and_the_weights_stay(tmp_path):
    env, one = made()
    parts = [sample for part in run_episode(env, one, env.reset(), Rewards()) for sample in sample_process(part)]
    one.learn(parts)
    one.save_model(str(tmp_path), 1)
    before = one.model.get_weights()
    path = tmp_path / "model.ckpt-1.npz"
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    last = f"arr_{len(before) - 1}"
    array = arrays[last]
    for wrong in (array * np.nan, array.astype(np.float64), array[..., :-1], np.full(array.shape, "x")):
        np.savez(path, **{**arrays, last: wrong})
        with pytest.raises(ValueError, match=r"no finite float32|shape"):
            one.load_model(str(tmp_path), 1)
    np.savez(path, **{**arrays, "widths": (3, 2)})  # of another network, with weights that do not fit it
    with pytest.raises(ValueError, match="shape"):
        one.load_model(str(tmp_path), 1)
    np.savez_compressed(path, **arrays)  # the same model, in a file that could unpack to any size
    with pytest.raises(AgentError, match="it is compressed"):
        one.load_model(str(tmp_path), 1)
    assert all(np.array_equal(a, b) for a, b in zip(one.model.get_weights(), before, strict=True))
    one.learn(parts)


def test_a_training_state_that_does_not_fit_is_refused_and_the_optimizer_stays(tmp_path):
    env, one = made()
    parts = [sample for part in run_episode(env, one, env.reset(), Rewards()) for sample in sample_process(part)]
    one.learn(parts)
    one.save_training_state(str(tmp_path))
    before = [variable.numpy() for variable in one.model.optimizer.variables]
    path = tmp_path / "optimizer.npz"
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    last = f"arr_{len(before) - 1}"
    array = arrays.pop(last)
    wrong = (array * np.nan, array.astype(np.float64), array[..., :-1], np.full(array.shape, "x"), None)
    for other in wrong:
        np.savez(path, **{**arrays, "learn_count": 7}, **({} if other is None else {last: other}))
        with pytest.raises((ValueError, TypeError), match=r"does not fit this optimizer|isfinite"):
            one.load_training_state(str(tmp_path))
    np.savez_compressed(path, **{**arrays, "learn_count": 7, last: array})
    with pytest.raises(AgentError, match="it is compressed"):
        one.load_training_state(str(tmp_path))
    assert one.learn_count == 1
    after = [variable.numpy() for variable in one.model.optimizer.variables]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    np.savez(path, **arrays, **{last: array})
    one.load_training_state(str(tmp_path))


def _writer(barrier, name):
    barrier.wait()
    return agent_module.init_writer(name)


def test_two_threads_get_one_writer(tmp_path, monkeypatch):
    monkeypatch.setenv("KAIMESH_RUN_DIR", str(tmp_path))
    with ThreadPoolExecutor(16) as pool:
        for number in range(20):
            barrier = threading.Barrier(16)
            name = f"writer{number}"
            found = [pool.submit(_writer, barrier, name) for _ in range(16)]
            assert len({id(future.result()) for future in found}) == 1
    assert len(list((tmp_path / "tensorboard").iterdir())) == 20


def test_max_step_no_ends_episodes_early(monkeypatch):
    env, agent = made(app="gym:MountainCar-v0")
    monkeypatch.setenv("max_step_no", "9")
    parts = list(run_episode(env, agent, env.reset(), Rewards()))
    assert sum(map(len, parts)) == 9
    assert parts[-1][-1].next_value != 0.0, "cut off, not over: the bootstrap counts"


def test_only_the_newest_saves_are_kept(tmp_path):
    for id in (1, 2, 10, 30):
        (tmp_path / f"model.ckpt-{id}.npz").touch()
    (tmp_path / "manifest.json").touch()
    keep_newest(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "manifest.json", "model.ckpt-10.npz", "model.ckpt-30.npz"
    ]  # fmt: skip
    keep_newest(tmp_path / "missing", 2)


def test_contradictions_are_reported(monkeypatch):
    assert Config.check() == []
    monkeypatch.setattr(Config, "GAMMA", 1.5)
    monkeypatch.setattr(Config, "TRAJECTORY", 0)
    assert len(Config.check()) == 2
