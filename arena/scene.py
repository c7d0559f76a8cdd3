"""Where an evaluation plays: the environment as it is played there, and what is to be said of it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from kaimesh import envs
from kaimesh.config import App
from kaimesh.contract.guard import environment
from kaimesh.contract.kaiwu import KaiwuEnv
from kaimesh.contract.user_agent import UserAgent


class Scene:
    """Makes the environments of an evaluation.

    changes: keys of env_conf that replace the configuration's. `notes`: sentences on other differences from training.
    """

    def __init__(self, configured: App, changes: Mapping[str, Any]) -> None:
        self.app, self.limit = configured.app, configured.max_episode_steps
        trained = dict(configured.env_conf)
        fair = envs.for_evaluation(self.app, trained)
        self.env_conf: dict[str, Any] = {**fair, **changes}
        self.notes = [
            f"played with {key} = {value!r}; training had {trained.get(key)!r}"
            for key, value in fair.items()
            if key in trained and value != trained[key] and key not in changes
        ]
        self.notes += envs.notes(self.app)

    def slot(self, user: UserAgent | None = None) -> envs.MeshEnv:
        """A vector environment of one slot, as the agent of `user` sees it; None: as it is."""
        unit = user is not None and user.unit_actions
        with environment("its constructor"):
            made = envs.make_vector(
                self.app, 1, env_conf=self.env_conf, max_episode_steps=self.limit, unit_actions=unit
            )
        return envs.featured(made, user.featured if user is not None else None)

    def facade(self, user: UserAgent, seed: int) -> KaiwuEnv:
        """One environment as Kaiwu's workflows see it; seed: of its first reset."""
        unit = user.unit_actions
        with environment("its constructor"):
            return envs.facade(
                self.app, env_conf=self.env_conf, seed=seed, max_episode_steps=self.limit, unit_actions=unit
            )

    @property
    def players(self) -> int:
        """How many players the game has."""
        return self._declared[0]

    def threshold(self) -> float | None:
        """The least return with which an episode counts as a success; None: the environment names none."""
        return self._declared[1]

    @cached_property
    def _declared(self) -> tuple[int, float | None]:
        with environment("its constructor"):
            env = envs.make(self.app, env_conf=self.env_conf)
        env.close()
        registered = env.spec.reward_threshold if env.spec else None
        offers = envs.Offers.of(env.metadata, self.app)
        return offers.players, registered if offers.success_return is None else offers.success_return
