"""wrapper_type = "local": the slots' threads take turns in the agent, and what ended one ends all."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kaimesh.aisrv.local import LocalLinks, train_in_place
from kaimesh.aisrv.proxy import WorkflowAgent
from kaimesh.aisrv.rollout import Group
from kaimesh.aisrv.slots import run_slots
from kaimesh.config import load
from kaimesh.contract.agent import BaseAgent
from kaimesh.contract.arrays import Batch
from kaimesh.contract.errors import AgentError, Stopped
from kaimesh.contract.user_agent import read_agent
from kaimesh.process.life import Context
from kaimesh.process.meter import Meter
from kaimesh.process.run_dir import RunDir
from tests.aisrv.test_rollout import Counter

SLOTS = 4


class Locking(BaseAgent):
    """Its predict holds a lock and keeps it when it raises, as a tf.function of TensorFlow 2.15 does."""

    def __init__(self) -> None:
        super().__init__("learner")
        self.lock, self.calls = threading.Lock(), 0

    def predict(self, list_obs_data: Any) -> list[Any]:
        self.lock.acquire()
        self.calls += 1
        if self.calls == 10:
            raise ValueError("593 features came to a network for 594")
        self.lock.release()
        return [SimpleNamespace(action=0) for _ in list_obs_data]

    def exploit(self, list_obs_data: Any) -> list[Any]:
        return self.predict(list_obs_data)

    def learn(self, list_sample_data: Any) -> dict[str, float]:
        raise OSError("broken on purpose")

    def save_model(self, path: str | None = None, id: str | int = "1") -> None:
        Path(f"{path}/model.ckpt-{id}.txt").write_text("x")

    def load_model(self, path: str | None = None, id: str | int = "1") -> None:
        raise FileNotFoundError(f"{path}/{id}")


@pytest.fixture
def context(tmp_path: Path) -> Context:
    config = load("conf/configure_app.toml", {"wrapper_type": "local", "aisrv_count": "1"}, {})
    run = RunDir(tmp_path)
    run.prepare()
    return Context("aisrv_0", 0, config, run, "token", 1, Meter("aisrv_0"), logging.getLogger(), threading.Event())


def test_an_error_in_one_slots_predict_is_every_slots_error(context: Context) -> None:
    agent = Locking()
    training = train_in_place(read_agent(agent), context)
    caught: list[BaseException] = []

    def workflow(envs: Any, agents: Any, logger: Any, monitor: Any) -> None:
        try:
            while True:
                agents[0].exploit([0])
        except BaseException as error:
            caught.append(error)
            raise

    with pytest.raises(AgentError, match="593 features came to a network for 594"):
        run_slots(workflow, [None] * SLOTS, [agent] * SLOTS, context.logger, None, context.stop)
    training.close()
    (original,) = (error for error in caught if isinstance(error, ValueError))
    assert [error.__cause__ for error in caught if error is not original] == [original] * (SLOTS - 1), (
        "every slot ended"
    )


def test_a_failed_learn_is_told_to_the_slots_that_come_after(context: Context) -> None:
    agent = Locking()
    train_in_place(read_agent(agent), context)
    with pytest.raises(AgentError, match=r"Agent\.learn raised OSError: broken on purpose") as first:
        agent.learn([1])
    for _ in range(2):
        with pytest.raises(Stopped) as later:
            agent.learn([1])
        assert later.value.__cause__ is first.value


def test_a_model_that_cannot_be_loaded_is_the_callers_own_trouble(context: Context) -> None:
    agent = Locking()
    train_in_place(read_agent(agent), context)
    for _ in range(2):
        with pytest.raises(AgentError, match="FileNotFoundError"):
            agent.load_model(path=str(context.run.ckpt), id=7)
    assert [act.action for act in agent.predict([1, 2])] == [0, 0]


class Enders(Locking):
    """Its samples are the unrolls in which an episode ends."""

    unroll_length = 2

    def __init__(self) -> None:
        super().__init__()
        self.learned: list[int] = []

    def predict(self, list_obs_data: Any) -> Any:
        return {"action": np.zeros(len(list_obs_data), np.int64)}

    def sample_of(self, unrolls: Batch) -> Batch:
        return unrolls.take(np.flatnonzero((unrolls.terminated | unrolls.truncated).any(1)))

    def learn(self, list_sample_data: Any) -> dict[str, float]:
        self.learned.append(len(list_sample_data))
        return {}


def test_each_unrolls_samples_are_learned_from_and_no_samples_are_no_learn(context: Context) -> None:
    agent = Enders()
    user = read_agent(agent)
    training = train_in_place(user, context)
    links = LocalLinks(user, training)
    face = WorkflowAgent(user, links, links.policy(0), save=lambda: None, run_id=0, send_size=100, gate=None)
    group = Group(Counter(2), face, 2, context.meter, run_id=0, seed=0)
    for _ in range(13):  # episodes of 3 steps and of 4, and a reset after each
        group.advance()
    assert agent.learned == [2, 1, 1, 1]
    assert training.train_count == 4
