"""The workflow with an environment and an agent in one process: what wrapper_type = "local" does, without the services."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest

import envs
from diy.algorithm import agent as agent_module
from diy.algorithm.agent import Agent
from diy.config import Config
from diy.train_workflow import workflow
from kaimesh.errors import Stopped


class Watched:
    """A facade that remembers finished episodes and stops the workflow when `enough` says so."""

    def __init__(self, facade, enough):
        self._facade, self._enough = facade, enough
        self.returns = []
        self.steps = 0

    def __getattr__(self, name):
        return getattr(self._facade, name)

    def reset(self, *args):
        if self._facade.frame_no:
            self.returns.append(self._facade.score)
            self.steps += self._facade.frame_no
        if self._enough(self):
            raise Stopped
        return self._facade.reset(*args)


@pytest.fixture
def run_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("KAIMESH_RUN_DIR", str(tmp_path))
    agent_module.init_writer.cache_clear()
    yield tmp_path
    agent_module.init_writer.cache_clear()


def train(app, enough, seed=1):
    env, agent = Watched(envs.facade(app, seed=seed), enough), Agent("learner")
    agent.setup(env.spaces)
    with pytest.raises(Stopped):
        workflow([env], [agent])
    return env, agent


def test_a_short_run_learns_saves_and_writes_curves(run_dir, monkeypatch):
    monkeypatch.setattr(Config, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(Config, "STEPS_PER_LEARN", 128)
    env, agent = train("gym:CartPole-v1", lambda env: env.steps > 1500)
    assert agent.learn_count >= 8
    assert [path.name for path in (run_dir / "user_ckpt").iterdir()] == ["model.ckpt-1.npz"]
    names = sorted(path.name.rsplit("_", 1)[0] for path in (run_dir / "tensorboard").iterdir())
    assert names == ["aisrv", "learner"]
    assert np.mean(env.returns[-10:]) > np.mean(env.returns[:10]), "it rises from the first thousand steps on"


def test_aisrv_needs_no_tensorflow():
    """The remote side: definitions, workflow and the agent of type aisrv, in a fresh interpreter."""
    code = (
        "import sys, envs; from diy.train_workflow import workflow; from diy.algorithm.agent import Agent; "
        "env = envs.facade('gym:CartPole-v1'); Agent('aisrv').setup(env.spaces); "
        "sys.exit('tensorflow' in sys.modules or 'reverb' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.learning
def test_cartpole_is_learned(run_dir):
    """Mean return of 20 episodes >= 200; here after about 15 s and 25,000 steps."""
    deadline = time.monotonic() + 240
    env, _ = train(
        "gym:CartPole-v1",
        lambda env: (len(env.returns) >= 20 and np.mean(env.returns[-20:]) >= 200) or time.monotonic() > deadline,
    )
    assert np.mean(env.returns[-20:]) >= 200
