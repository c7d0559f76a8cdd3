"""Agents of a few lines that train nothing, count what they learned, and break where Config.fault says."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np

from kaimesh.contract.agent import BaseAgent, TableSpec
from kaimesh.contract.arrays import Batch
from kaimesh.contract.structs import attached, create_cls
from tests.mesh.agents.config import Config

ObsData = attached(create_cls("ObsData", feature=None))
ActData = attached(create_cls("ActData", action=None))
SampleData = attached(create_cls("SampleData", feature=None, turn=None, reward=None))


class Toy(BaseAgent):
    """Always stays; its model is the number of its learns."""

    table = TableSpec(kind="queue")

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.learns = 0
        if Config.fault == "constructor" and self.agent_type == "learner":
            raise RuntimeError("broken on purpose: constructor")

    def predict(self, list_obs_data: Batch) -> list[Any]:
        if Config.fault == "predict":
            raise RuntimeError("broken on purpose: predict")
        return [ActData(action=1) for _ in list_obs_data]

    def learn(self, list_sample_data: Batch) -> dict[str, float]:
        self.learns += 1
        if Config.fault == "learn" and self.learns == 3:
            raise RuntimeError("broken on purpose: learn")
        if Config.fault == "hang" and self.learns == 3 and is_first_time():
            threading.Event().wait()
        return {"loss": float("nan") if Config.fault == "nan_loss" and self.learns == 3 else 0.5}

    def save_model(self, path: str | None = None, id: str | int = "1") -> None:
        if Config.fault == "save_model" and self.learns == 5:
            raise RuntimeError("broken on purpose: save_model")
        weights = "x" * 3_000_000 if Config.fault == "large_model" and self.learns >= 5 else ""
        Path(f"{path}/model.ckpt-{id}.txt").write_text(f"{self.learns} {weights}")

    def load_model(self, path: str | None = None, id: str | int = "1") -> None:
        if Config.fault == "load_model":
            raise RuntimeError("broken on purpose: load_model")
        self.learns = int(Path(f"{path}/model.ckpt-{id}.txt").read_text().split()[0])


class Replaying(Toy):
    """The same with a table that keeps its samples."""

    table = TableSpec(kind="replay")


class VectorisedToy(Toy):
    """The same for the vectorised workflow."""

    unroll_length = 4

    def predict(self, list_obs_data: Batch) -> Batch:  # type: ignore[override]
        return Batch({"action": np.ones(len(list_obs_data), np.int64)})


@attached
def workflow(envs: list[Any], agents: list[Any], logger: Any = None, monitor: Any = None) -> None:
    """Plays for ever; each episode's steps are samples."""
    env, agent, episodes = envs[0], agents[0], 0
    while True:
        samples, over = [], False
        obs = env.reset()
        while not over:
            act = agent.predict([ObsData(feature=obs.feature)])[0]
            turn, obs, score, terminated, truncated, _ = env.step(act.action)
            over = bool(terminated or truncated)
            samples.append(SampleData(feature=obs.feature, turn=turn, reward=score))
        episodes += 1
        if episodes == 2:
            spoil(samples[-1])
        agent.learn(samples)
        if Config.fault == "workflow" and episodes == 3:
            raise RuntimeError("broken on purpose: workflow")


@attached
def short_workflow(envs: list[Any], agents: list[Any], logger: Any = None, monitor: Any = None) -> None:
    """Plays one step and returns."""
    agents[0].predict([ObsData(feature=envs[0].reset().feature)])


def is_first_time() -> bool:
    """Whether nobody asked before in this run."""
    mark = Path(os.environ["KAIMESH_RUN_DIR"]) / "hung"
    if mark.exists():
        return False
    mark.touch()
    return True


def spoil(sample: Any) -> None:
    """Makes one sample what no sample may be."""
    if Config.fault == "shape":
        sample.feature = sample.feature[:-1]
    elif Config.fault == "dtype":
        sample.turn = 0.5
    elif Config.fault == "nan_sample":
        sample.reward = float("nan")


@attached
def stubborn_workflow(envs: list[Any], agents: list[Any], logger: Any = None, monitor: Any = None) -> None:
    """Catches whatever is raised, even a stop."""
    while True:
        try:
            workflow(envs, agents, logger, monitor)
        except BaseException:
            agents[0].swallowed = True
