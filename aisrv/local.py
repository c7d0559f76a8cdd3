"""wrapper_type = "local": the user's agent itself, whose learn trains at once.

The instance stays the user's own; its learn, save_model and load_model are extended by what the mesh promises: counting and
checking, dumps every dump_model_freq, resume, "latest" and "random" as ids. The slots' threads take turns in it, and an error
in one is every later one's.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kaimesh.contract.agent import user_code
from kaimesh.process.life import Context
from kaimesh.process.turn import Turn
from kaimesh.training import Training, checkpoint


def train_in_place(agent: Any, context: Context) -> Training:
    """Extends `agent` as above and resumes, preloads or begins anew; the caller closes what it returns."""
    load = agent.load_model
    training = Training(
        agent,
        where="aisrv (local)",
        config=context.config,
        run=context.run,
        meter=context.meter,
        logger=context.logger,
        publish=lambda folder, info: None,  # nobody else predicts
        stop=context.stop,
    )
    predicting, training_turn = Turn(), Turn()  # every slot's workflow is a thread of its own

    def in_turn(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            with predicting(name):
                return method(*args, **kwargs)

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
    agent.predict, agent.exploit = in_turn("predict", agent.predict), in_turn("exploit", agent.exploit)
    return training
