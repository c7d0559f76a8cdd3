"""wrapper_type = "local": the user's agent itself, whose learn trains at once.

The instance stays the user's own; its learn, save_model and load_model are extended by what the mesh promises: counting
and checking, dumps every dump_model_freq, resume, "latest" and "random" as ids. The slots' threads take turns in it,
and an error in one is every later one's.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kaimesh.aisrv.policy import AgentPolicy
from kaimesh.contract import stacking
from kaimesh.contract.agent import user_code
from kaimesh.contract.answers import check_numbers, columns_of
from kaimesh.contract.arrays import Batch
from kaimesh.contract.columns import for_learn
from kaimesh.contract.user_agent import UserAgent
from kaimesh.process.life import Context
from kaimesh.process.turn import Turn
from kaimesh.training import Training, checkpoint


def train_in_place(user: UserAgent, context: Context) -> Training:
    """Extends the agent as above and resumes, preloads or begins anew; the caller closes what it returns."""
    agent: Any = user.agent
    load = agent.load_model
    training = Training(
        user,
        where="aisrv (local)",
        config=context.config,
        run=context.run,
        meter=context.meter,
        logger=context.logger,
        publish=lambda folder, info: None,  # nobody else predicts
        stop=context.stop,
    )
    predicting, training_turn = Turn(), Turn()  # every slot's workflow is a thread of its own

    def checked(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        """`method` in its turn; what it returns is checked as an actor checks it, and is the user's own."""
        where = f"{user.name}.{name}"

        def call(list_obs_data: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
            with predicting(name):
                answer = method(list_obs_data, *args, **kwargs)
            check_numbers(columns_of(answer, len(list_obs_data), where), where)
            return answer

        return call

    def learn(list_sample_data: Any) -> Any:
        if list_sample_data is None or len(list_sample_data) == 0:
            return None
        with training_turn("learn"):
            metrics = training.learn(list_sample_data)
            training.dump_if_due()
        agent.train_count = training.train_count
        return metrics

    def load_model(path: str | None = None, id: str | int = "latest") -> None:
        folder = Path(path) if path else context.run.ckpt
        known = [info.id for info in checkpoint.models(folder)]
        if id in ("latest", "random"):
            if not known:
                context.logger.info("load_model(%r): %s holds no model; the agent keeps its weights", id, folder)
                return
            id = known[-1] if id == "latest" else random.choice(known)
        with training_turn("load_model", harmless=True), user_code("aisrv (local): Agent.load_model"):
            load(str(folder), id)

    training.start()
    agent.learn, agent.load_model, agent.train_count = learn, load_model, training.train_count
    agent.predict, agent.exploit = checked("predict", agent.predict), checked("exploit", agent.exploit)
    return training


class LocalLinks:
    """kaimesh.aisrv.links.Links of a vectorised agent that trains in this process: its policy, its sender and its
    learner in one.
    """

    def __init__(self, user: UserAgent, training: Training) -> None:
        self._user, self._training = user, training

    @property
    def sender(self) -> LocalLinks:
        """Samples come to `put`."""
        return self

    def policy(self, slot: int) -> AgentPolicy:
        """Predictions of the agent itself."""
        del slot
        return AgentPolicy(self._user, lambda: self._training.train_count)

    def save_model(self) -> int:
        """A user save, at once."""
        return self._training.user_save()

    def samples_short(self, version: int) -> int:
        """None: `put` returns after the learn."""
        del version
        return 0

    def put(self, batch: Batch) -> None:
        """Trains at once."""
        self._user.agent.learn(for_learn(stacking.restored(batch)))

    def flush(self, timeout_s: float) -> bool:
        """Nothing is ever under way."""
        del timeout_s
        return True

    def close(self) -> None:
        """Nothing to close: the caller closes the training."""
