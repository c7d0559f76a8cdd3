"""The workflow with an environment and an agent in one process, as with wrapper_type = "local", without services."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest

from diy.config import Config
from tests.diy.training import train


@pytest.mark.learning
def test_a_short_run_learns_saves_and_writes_curves(run_dir, monkeypatch):
    monkeypatch.setattr(Config, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(Config, "STEPS_PER_LEARN", 128)
    env, agent = train("gym:CartPole-v1", lambda env: env.steps > 4000)
    assert agent.learn_count >= 8
    assert [path.name for path in (run_dir / "user_ckpt").iterdir()] == ["model.ckpt-1.npz"]
    names = sorted(path.name.rsplit("_", 1)[0] for path in (run_dir / "tensorboard").iterdir())
    assert names == ["aisrv", "learner"]
    first, last = np.mean(env.returns[:10]), np.mean(env.returns[-10:])
    assert last > 2 * first, env.returns  # of any seed it is four times as much


def test_aisrv_needs_no_tensorflow():
    """The remote side: definitions, workflow and the agent of type aisrv, in a fresh interpreter."""
    code = (
        "import sys; from kaimesh import envs; from diy.train_workflow import workflow; "
        "from diy.algorithm.agent import Agent; "
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
