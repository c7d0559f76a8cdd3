"""Who plays the episodes of an evaluation: an agent with a model, or chance."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from gymnasium.spaces import Box, Discrete

from kaimesh import envs
from kaimesh.arena.episodes import Kaiwu, Player, Vectorised, VectorisedPlay
from kaimesh.arena.models import Model
from kaimesh.arena.scene import Scene
from kaimesh.config import Config
from kaimesh.contract.agent import user_code
from kaimesh.contract.arrays import Batch
from kaimesh.contract.recurrence import RecurrentState
from kaimesh.contract.seeds import EVALUATION_END
from kaimesh.contract.spaces import Spaces
from kaimesh.contract.user_agent import UserAgent
from kaimesh.process.agents import make_agent, workflow_of
from kaimesh.process.logs import configure as configure_logging

RANDOM = "random"  # --model random


class Contestant(NamedTuple):
    """Who is evaluated.

    algo: the algorithm's name. model: the model's id. name: both in words. player: makes who plays in the scene; True:
    by `predict`, as in training; False: by `exploit`. unit_actions: continuous actions are in an agent's unit
    (contract/scaling).
    """

    algo: str
    model: int | str
    name: str
    player: Callable[[bool], Player]
    unit_actions: bool = False


def trained(config: Config, scene: Scene, model: Model) -> Contestant:
    """The agent of `config` with `model`. Raises AgentError: its code raised."""
    user = prepared(config, scene, configure_logging("evaluate", "WARNING"))
    return load(config, scene, user, model)


def prepared(config: Config, scene: Scene, logger: logging.Logger) -> UserAgent:
    """The agent of `config`, without a model yet. Raises AgentError: its code raised."""
    user = make_agent(config, "actor", device="cpu", logger=logger)
    if user.prepared is not None:
        slot = scene.slot(user)
        slot.close()
        with user_code("Agent.setup"):
            user.prepared.setup(slot.spaces)
    return user


def load(config: Config, scene: Scene, user: UserAgent, model: Model) -> Contestant:
    """The agent `user`, which `prepared` made, with `model` in place of the one that it had. Raises AgentError: its
    code raised.
    """
    with user_code(f"Agent.load_model({str(model.folder)!r}, {model.id})"):
        user.agent.load_model(path=str(model.folder), id=model.id)
    slots = config.app.aisrv_count * config.app.aisrv_connect_to_kaiwu_env_count

    def player(sampled: bool) -> Player:
        if not workflow_of(config).vectorised:
            return Kaiwu(user, partial(scene.facade, user), envs.episode_report, sampled=sampled)
        make = partial(scene.slot, user)
        return Vectorised(user, make, envs.episode_report, sampled_slots=slots if sampled else 0)

    name = config.algo.name
    return Contestant(name, model.id, f"{name}, model {model.id}", player, user.unit_actions)


def chance(scene: Scene) -> Contestant:
    """Any legal action, each with the same probability; continuous ones as gymnasium's Box draws them."""
    return Contestant(RANDOM, RANDOM, "chance", lambda _sampled: RandomPlayer(scene))


class RandomPlay(VectorisedPlay):
    """An episode whose actions are drawn by its own seed. salt: above 0 draws others by the same seed."""

    def __init__(self, env: envs.MeshEnv, seed: int, salt: int = 0) -> None:
        super().__init__(env, seed, envs.episode_report, RecurrentState(None, 1))
        self._space = _space(env.spaces)
        self._space.seed(seed + salt * EVALUATION_END)

    def draw(self) -> Batch:
        """An action, as an agent's answer."""
        legal = self.row().get("legal_act")
        if isinstance(self._space, Discrete) and legal is not None:
            return Batch({"action": np.array([self._space.sample(legal[0].astype(np.int8))])})
        return Batch({"action": np.asarray(self._space.sample())[None]})


class RandomPlayer:
    """A Player that plays RandomPlays. salt: theirs; two that meet each other need two of them."""

    def __init__(self, scene: Scene, salt: int = 0) -> None:
        self._scene, self._salt = scene, salt

    def start(self, seed: int) -> RandomPlay:
        """See Player."""
        return RandomPlay(self._scene.slot(), seed, self._salt)

    def act(self, plays: Sequence[RandomPlay]) -> list[Batch]:
        """See Player."""
        return [one.draw() for one in plays]


def _space(spaces: Spaces) -> Box | Discrete:
    if spaces.action_kind == "discrete":
        return Discrete(spaces.action_size)
    low, high = (np.array(bound, np.float32) for bound in (spaces.action_low, spaces.action_high))
    return Box(low, high)
