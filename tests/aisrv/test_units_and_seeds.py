"""What an aisrv gives its environments: scaled actions, whose samples keep the agent's; and seeds of training alone."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kaimesh import envs
from kaimesh.aisrv.rollout import Group
from kaimesh.aisrv.service import AisrvService
from kaimesh.arena.arguments import SEED
from kaimesh.config import load
from kaimesh.contract.agent import BaseAgent
from kaimesh.contract.arrays import Batch
from kaimesh.contract.monitor import Monitor
from kaimesh.contract.seeds import evaluation_seeds
from kaimesh.contract.user_agent import read_agent
from kaimesh.process.life import Context
from kaimesh.process.meter import Meter
from kaimesh.process.run_dir import RunDir
from tests.envs.own import Boxed

BOXED = "tests.envs.own:Boxed"


class Links:
    """Those of an aisrv that nobody answers."""

    def policy(self, slot: int) -> None:
        """None."""

    def save_model(self) -> int:
        """Never called."""
        raise AssertionError


def seeds_of(folder: Path, algo: str, index: int, **settings: str) -> list[int]:
    """The seeds of the first episodes in one life of an aisrv; `folder` is the run's."""
    config = load("conf/configure_app.toml", {"app": BOXED, "algo": algo, "random_seed": "1", **settings}, {})
    run, name = RunDir(folder), f"aisrv_{index}"
    run.prepare()
    meter = Meter(name, run.status / f"{name}.json")
    meter.publish()
    context = Context(name, index, config, run, "token", 1, meter, logging.getLogger(), threading.Event())
    service = AisrvService(context, make_links=lambda context, spaces: Links())  # type: ignore[arg-type]
    Boxed.seeds.clear()
    for env in service._envs:
        env.reset()
    for env in service._envs:
        env.close()
    return list(Boxed.seeds)


@pytest.mark.parametrize("groups", ["1", "2"])
def test_no_aisrv_and_no_life_plays_the_episodes_of_an_evaluation(tmp_path: Path, groups: str) -> None:
    """With seeds that counted on from random_seed + 1,000,000 x the index, 14 of 20 were met."""
    played: list[int] = []
    for index in range(3):
        for _life in range(2):
            played += seeds_of(tmp_path, "ppo", index, aisrv_env_groups=groups, aisrv_connect_to_kaiwu_env_count="16")
    assert len(set(played)) == len(played) == 3 * 2 * 16
    assert not set(played) & set(evaluation_seeds(SEED, 20))
    again = seeds_of(tmp_path / "b", "ppo", 0, aisrv_env_groups="1", aisrv_connect_to_kaiwu_env_count="16")
    assert again == played[:16], "the same run draws the same, in however many groups"


def test_kaiwu_style_slots_have_the_same_seeds(tmp_path: Path) -> None:
    settings = {"aisrv_connect_to_kaiwu_env_count": "4"}
    assert seeds_of(tmp_path / "a", "diy", 1, **settings) == seeds_of(tmp_path / "b", "ppo", 1, **settings)


class Steady(BaseAgent):
    """Always answers 0.4, in its own unit."""

    unroll_length = 4
    unit_actions = True
    on_policy = False

    def __init__(self) -> None:
        super().__init__()
        self.user, self.sent, self.rows = read_agent(self), [], 0

    def send(self, batch: Batch) -> None:
        self.rows = len(batch)

    def receive(self) -> tuple[Batch, int]:
        return Batch({"action": np.full((self.rows, 1), 0.4, np.float32)}), 0

    def learn(self, list_sample_data: Any) -> None:
        self.sent.append(list_sample_data)


def test_a_sample_keeps_the_agents_action_and_the_environment_gets_the_scaled_one() -> None:
    agent = Steady()
    env = envs.make_vector(BOXED, 2, unit_actions=agent.user.unit_actions)
    Boxed.taken.clear()
    group = Group(env, agent, 4, Meter("aisrv_0"), run_id=0, seed=0)  # type: ignore[arg-type]
    for _ in range(5):
        group.advance()
    (sample,) = agent.sent
    np.testing.assert_array_equal(sample.columns["action"], np.full((2, 5, 1), 0.4, np.float32))
    np.testing.assert_allclose(np.ravel(Boxed.taken), 700.0, rtol=1e-6)
    np.testing.assert_allclose(sample.columns["reward"], 1.0, atol=1e-6)


def test_two_actors_and_two_lives_of_one_do_not_explore_alike() -> None:
    from kaimesh.algorithms.ppo.agent import Agent
    from kaimesh.contract.spaces import Spaces

    def explored(*whose: int) -> bytes:
        actor = Agent("actor", monitor=Monitor(lambda name, value: None, whose))  # type: ignore[arg-type]
        actor.setup(Spaces((2,), "<f4", "continuous", 1, (0.0,), (1000.0,)))
        return bytes(actor.predict(Batch({"obs": np.ones((64, 2), np.float32)})).columns["action"].tobytes())

    assert len({explored(0, 0), explored(1, 0), explored(0, 1)}) == 3
    assert explored(0, 0) == explored(0, 0)
