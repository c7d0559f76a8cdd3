"""wrapper_type = "local": the workflow gets the user's agent itself, and `learn` trains it in this process at once.

Four methods of the instance are replaced by ones that also do what the mesh guarantees. `learn` counts, checks metrics
and dumps every dump_model_freq learns; `load_model` accepts "latest" and "random"; answers of `predict` and `exploit`
are checked. The slots' threads use the agent one after another; after an error in one of them, every later call ends
with Stopped.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kaimesh.aisrv.links import Newest
from kaimesh.aisrv.policy import AgentPolicy
from kaimesh.contract import stacking
from kaimesh.contract.agent import user_code
from kaimesh.contract.answers import check_answered, check_numbers, columns_of
from kaimesh.contract.arrays import Batch
from kaimesh.contract.calls import Call
from kaimesh.contract.columns import for_learn
from kaimesh.contract.user_agent import UserAgent
from kaimesh.process.life import Context
from kaimesh.process.turn import Turn
from kaimesh.training import Training, checkpoint
from kaimesh.training.training import Publish


def train_in_place(
    user: UserAgent,
    context: Context,
    learned: Callable[[], None] = lambda: None,
    judge: Publish | None = None,
    pairs: bool = False,
) -> Training:
    """Replaces the agent's methods as described above, then resumes, preloads or begins a training.

    learned: called after each learn. judge: called after each dump, with its folder and the model. Returns the
    training; the caller closes it.

    An agent that was written for another framework may be given anything, and answer anything but None; its methods
    take any further arguments, and one that calls `exit` in `load_model` keeps its weights. pairs: its `predict` and
    `exploit` return (answer, version of the model).
    """
    agent: Any = user.agent
    load = agent.load_model
    training = Training(
        user,
        where="aisrv (local)",
        config=context.config,
        run=context.run,
        meter=context.meter,
        logger=context.logger,
        publish=judge or (lambda folder, info: None),  # no other process predicts
        stop=context.stop,
    )
    predicting, training_turn = Turn(), Turn()  # the workflow of each slot runs in a thread of its own

    def checked(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        """`method`, by one thread at a time. Its answer is checked as in an actor, and returned unchanged."""
        where = f"{user.name}.{name}"

        def call(list_obs_data: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
            with predicting(name), Call(where):
                answer = method(list_obs_data, *args, **kwargs)
            check_numbers(columns_of(answer, len(list_obs_data), where), where)
            return answer

        def call_foreign(list_obs_data: Any, *_args: Any, **_named: Any) -> Any:
            with predicting(name), Call(where):
                answer = method(list_obs_data)
            check_answered(answer, where)
            return (answer, training.train_count) if pairs and isinstance(list_obs_data, list | tuple) else answer

        return call_foreign if user.foreign else call

    def learn(list_sample_data: Any, *_args: Any, **_named: Any) -> Any:
        if _is_empty(list_sample_data):
            return None
        with training_turn("learn"):
            metrics = training.learn(list_sample_data)
            training.dump_if_due()
            learned()
        if not user.foreign:
            agent.train_count = training.train_count
        return metrics

    def load_model(path: str | None = None, id: str | int = "latest", *_args: Any, **_named: Any) -> None:
        folder = Path(path) if path else context.run.ckpt
        known = [info.id for info in checkpoint.models(folder)]
        if id in ("latest", "random"):
            if not known:
                context.logger.info("load_model(%r): %s has no model yet; the agent keeps its weights", id, folder)
                return
            id = known[-1] if id == "latest" else random.choice(known)
        with training_turn("load_model", harmless=True), user_code("aisrv (local): Agent.load_model"):
            try:
                load(str(folder), id)
            except SystemExit as error:
                if not user.foreign:
                    raise
                context.logger.error(
                    "%s.load_model(%r, %r) called exit(%r); the agent keeps its weights, and the workflow goes on. Is "
                    "there a model of that id?",
                    user.name,
                    str(folder),
                    id,
                    error.code,
                )

    training.start()
    agent.learn, agent.load_model = learn, load_model
    if user.foreign:
        agent.send_sample_data = learn
    else:
        agent.train_count = training.train_count
    agent.predict, agent.exploit = checked("predict", agent.predict), checked("exploit", agent.exploit)
    return training


def _is_empty(samples: Any) -> bool:
    try:
        return samples is None or len(samples) == 0
    except TypeError:  # no sequence
        return not samples


class LocalLinks:
    """Links (kaimesh.aisrv.links) to an agent that predicts and learns in this process; it is also their Sender."""

    def __init__(self, user: UserAgent, training: Training) -> None:
        self._user, self._training = user, training

    @property
    def sender(self) -> LocalLinks:
        """This object: see `put`."""
        return self

    def policy(self, slot: int) -> AgentPolicy:
        """A policy by which the agent itself predicts."""
        del slot
        return AgentPolicy(self._user, lambda: self._training.train_count)

    def save_model(self) -> int:
        """See Links. The model is saved at once."""
        return self._training.user_save()

    def models(self) -> Newest:
        """None that this process would not have: the agent itself learns."""
        raise NotImplementedError("an agent that learns in its own process follows no models")

    def samples_short(self, version: int) -> int:
        """0: `put` only returns after the learn, so no learn is ever waited for."""
        del version
        return 0

    def put(self, batch: Batch) -> None:
        """Learns from the samples at once."""
        self._user.agent.learn(for_learn(stacking.restored(batch)))

    def flush(self, timeout_s: float) -> bool:
        """True: after `put`, no sample is on its way."""
        del timeout_s
        return True

    def close(self) -> None:
        """Does nothing: whoever called train_in_place closes the training."""
