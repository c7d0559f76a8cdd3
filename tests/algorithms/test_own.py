"""A new algorithm is one value: tests/algorithms/own.py learns, is saved, and runs through a registry of one table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kaimesh.config import load
from kaimesh.contract.arrays import Batch
from kaimesh.contract.errors import AgentError, ConfigError
from kaimesh.contract.spaces import Spaces
from kaimesh.process.agents import make_agent
from tests.algorithms.own import Agent, Config
from tests.algorithms.trajectories import made, saved

SPACES = Spaces((3,), "<f4", "discrete", 4)
REGISTRY = """[own]
actor_agent = "tests.algorithms.own.Agent"
learner_agent = "tests.algorithms.own.Agent"
aisrv_agent = "tests.algorithms.own.Agent"
train_workflow = "kaimesh.aisrv.rollout.workflow"
config = "tests.algorithms.own.Config"
"""


def bandit(agent: Agent, rng: np.random.Generator, count: int = 16, length: int = 16) -> Batch:
    """Trajectories of a task whose action 2 is rewarded; each step is an episode."""
    obs = rng.standard_normal((count, length + 1, 3)).astype(np.float32)
    acts = agent.predict(Batch({"obs": obs.reshape(-1, 3)})).columns
    action, value = (acts[name].reshape(count, length + 1) for name in ("action", "value"))
    ends = np.ones((count, length), bool)
    flags = {"terminated": ends, "truncated": ~ends, "mask": ends}
    return Batch({"obs": obs, "action": action, "value": value, "reward": (action[:, :-1] == 2).astype("f"), **flags})


def test_it_learns_which_action_is_rewarded(tmp_path: Path) -> None:
    rng, agent = np.random.default_rng(0), made(Agent, SPACES)
    first = bandit(agent, rng).reward.mean()
    for _ in range(60):
        agent.learn(bandit(agent, rng))
    assert bandit(agent, rng).reward.mean() > 0.9 > 0.5 > first
    saved(agent, tmp_path, 60)
    actor = made(Agent, SPACES, "actor")
    actor.load_model(str(tmp_path), 60)
    rows = Batch({"obs": rng.standard_normal((50, 3)).astype(np.float32)})
    assert (actor.exploit(rows).action == 2).all()


def test_a_model_of_another_algorithm_is_refused(tmp_path: Path) -> None:
    from kaimesh.algorithms.ppo.agent import Agent as PPO

    saved(made(PPO, SPACES, "actor"), tmp_path, 1)
    with pytest.raises(AgentError, match="format is 'ppo 2' in the file and 'reinforce 1' here"):
        made(Agent, SPACES, "actor").load_model(str(tmp_path), 1)


def test_a_registry_of_one_table_is_all_that_it_takes(tmp_path: Path) -> None:
    (tmp_path / "algo.toml").write_text(REGISTRY)
    settings = {"algo": "own", "algo_conf": str(tmp_path / "algo.toml"), "own.gamma": "0.5"}
    agent = make_agent(load("conf/configure_app.toml", settings, {}), "actor")
    assert (agent.vectorised.unroll_length, agent.table.kind) == (16, "queue")  # type: ignore[union-attr]
    assert agent.agent.config == Config(gamma=0.5, seed=1)  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match=r"\[own\] unroll_length = 1: .* Set at least 2"):
        load("conf/configure_app.toml", {**settings, "own.unroll_length": "1"}, {})
