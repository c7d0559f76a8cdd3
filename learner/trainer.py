"""The trainer: draws a batch, lets the agent learn, dumps, resumes. No socket; one thread owns it and the agent.

Model ids are `train_count`, the number of learns. Dumps come with the training state, but where they follow each other
fast only once a second. The state is written first and the model listed last, and models with a state are spared by the
retention, so there is a consistent pair whenever the process is killed.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kaimesh import checkpoint
from kaimesh.agent import MODEL_VERSION, RUN_ID, sample_list, user_code
from kaimesh.arrays import Batch
from kaimesh.checkpoint import Keep, ModelInfo
from kaimesh.config import Config
from kaimesh.config.check import active_trigger
from kaimesh.errors import AgentError, ConfigError, PeerError, Refused
from kaimesh.metrics import Meter
from kaimesh.run import RunDir
from learner import state
from learner.on_policy import CurrentRows
from learner.scalars import Scalars
from learner.trigger import Reader, Trigger

_POLL_S = 0.01  # between two looks at a trigger that does not hold
_NO_ANSWER_S = 0.5  # before asking a buffer again that does not answer
_STATE_S = 1.0  # of training that a kill may cost where dumps come faster than that
_SYNC_S = 10.0  # the same for a power cut

Publish = Callable[[Path, ModelInfo], None]


class Trainer:
    """Trains `agent` on what `reader` delivers; call `start` once, then `step` for ever, then `close`.

    publish: called with the folder and the model after each dump; on-policy it returns when the pool has the model.
    clock: seconds, monotonic; sleep: waits so many seconds.
    """

    def __init__(
        self,
        agent: Any,
        reader: Reader,
        *,
        config: Config,
        run: RunDir,
        meter: Meter,
        logger: logging.Logger,
        publish: Publish,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._agent, self._reader, self._config, self._app = agent, reader, config, config.app
        self._run, self._meter, self._log, self._publish = run, meter, logger, publish
        self._clock, self._sleep = clock, sleep
        self._save_model = agent.save_model
        agent.save_model = self._save_from_learn  # the user's own calls, from inside learn(), are user saves
        self._trigger = Trigger(self._app, agent.table, reader, clock)
        on_policy = self._app.algorithm_on_policy_or_off_policy == "on-policy"
        self._current = CurrentRows(self._app.train_batch_size) if on_policy else None
        self._waiting, self._learning, self._dumping = meter.phase("wait"), meter.phase("learn"), meter.phase("dump")
        self._scalars: Scalars | None = None
        self._values: dict[str, float] = {}
        self._intact = (
            True  # False while a learn is under way, and after one that failed: such weights are never dumped
        )
        self._samples_learned = 0
        self._sync_due = self._state_due = clock()
        self._state_id = -1  # whose training state was saved last
        self.train_count = 0
        self.dumped_id = -1

    def start(self) -> None:
        """Resumes the run from its newest model, else loads `preload_model`, else dumps the fresh agent as id 0.

        Raises AgentError: the agent's save or load raised. ConfigError: no such preload model. MeshError: no model of the
        run is whole, or the disk is full.
        """
        self._log.info("training trigger: %s", active_trigger(self._app))
        if checkpoint.listed(self._run.ckpt):
            self._resume()
        else:
            if self._app.preload_model:
                self._preload()
            self._dump()
        done = self._meter.counters.get("learner_steps", 0)
        self._meter.count("learner_steps", max(0, self.train_count - done))
        self._scalars = Scalars(
            self._run.tensorboard / "learner", self._app.report_seconds, self.train_count, self._clock
        )

    def step(self, timeout_s: float) -> bool:
        """Waits up to `timeout_s` for the trigger and a batch, then learns once; True if it did.

        Raises AgentError: `learn` raised or returned a metric that is not finite; nothing of it is dumped.
        """
        with self._waiting:
            batch = self._next_batch(self._clock() + timeout_s)
        if batch is None:
            return False
        self._meter.state("working")
        self._learn(batch)
        self._trigger.learned()
        if self._current is not None:
            self._drop_stale()
        if self.train_count % self._app.dump_model_freq == 0:
            self._dump()
        if self._scalars is not None:
            self._scalars.write(self.train_count, self._values)
        return True

    def user_save(self) -> int:
        """Saves the current model into the run's user_ckpt; returns its id. Raises Refused: the limit is reached."""
        most = self._app.user_save_mode_max_count
        done = int(self._meter.counters.get("user_saves", 0))
        if 0 < most <= done:
            raise Refused(
                f"save_model: {done} models were saved in this run, user_save_mode_max_count = {most}; this one was not. "
                "Raise it, or set 0 for no limit."
            )
        with self._dumping:
            info = checkpoint.dump(self._run.user_ckpt, self.train_count, self._save)
        self._meter.count("user_saves")
        self._log.info("saved model %d for the user in %s", info.id, self._run.user_ckpt)
        return info.id

    def close(self) -> None:
        """Dumps what was learned since the last dump, unless a learn failed."""
        try:
            if self._intact and 0 <= self.dumped_id < self.train_count:
                self._sync_due = self._clock()
                self._dump()
            elif self._intact and 0 <= self._state_id < self.train_count:
                self._save_state(durable=True)
        finally:
            if self._scalars is not None:
                self._scalars.write(self.train_count, self._values, now=True)
                self._scalars.close()

    def _next_batch(self, deadline: float) -> Batch | None:
        """A batch as the trigger wants it, or None at the deadline; says what it waits for."""
        try:
            while reason := self._trigger.blocked_on():
                self._meter.state("waiting", reason)
                if (left_s := deadline - self._clock()) <= 0:
                    return None
                self._sleep(min(_POLL_S, left_s))
            while True:
                batch = self._reader.next_batch(max(0.0, deadline - self._clock()))
                if batch is None:
                    self._meter.state("waiting", self._missing())
                    return None
                if self._current is None:
                    return batch
                self._current.add(batch, self.train_count)
                if (rows := self._current.take()) is not None:
                    return rows
                if self._clock() >= deadline:
                    self._meter.state("waiting", self._missing())
                    return None
        except PeerError as error:
            self._meter.state("waiting", f"buffer: {error}")
            self._sleep(max(0.0, min(_NO_ANSWER_S, deadline - self._clock())))
            return None

    def _missing(self) -> str:
        wanted = self._app.train_batch_size
        if self._current is not None:
            return f"buffer: {len(self._current):,} of {wanted:,} samples of model {self.train_count}"
        return f"buffer: too few samples for a batch of {wanted:,} ({self._reader.size():,} in the table)"

    def _learn(self, batch: Batch) -> None:
        lag = float(np.mean(self.train_count - batch.columns[MODEL_VERSION]))
        columns = {name: column for name, column in batch.columns.items() if name not in (MODEL_VERSION, RUN_ID)}
        with user_code("learner: NumpyData2SampleData"):
            rows = sample_list(Batch(columns))
        self._intact = False
        with self._learning, user_code("learner: Agent.learn"):
            metrics = self._agent.learn(rows)
        self._values = {f"learn/{name}": self._finite(name, value) for name, value in _items(metrics)}
        self._intact = True
        self._values["policy_lag"] = lag
        for name, value in self._values.items():
            self._meter.gauge(name, value)
        self.train_count += 1
        self._samples_learned += len(batch)
        for counter, amount in (("learner_steps", 1), ("policy_lag_sum", lag), ("policy_lag_count", 1)):
            self._meter.count(counter, amount)

    def _finite(self, name: str, value: Any) -> float:
        with user_code(f"learner: the metric {name!r} that Agent.learn returned is not a number: float() of it"):
            number = float(value)
        if not math.isfinite(number):
            raise AgentError(
                f"Agent.learn returned {name} = {number} at learn {self.train_count + 1}; training ends here, nothing after "
                f"learn {self.dumped_id} was dumped. Look at the samples and the learning rate; the last good model is "
                f"{self._run.ckpt}/model.ckpt-{self.dumped_id}."
            )
        return number

    def _drop_stale(self) -> None:
        """After an on-policy learn every row that is left was made by an older model."""
        assert self._current is not None
        try:
            left = self._reader.size()
            if left or self._current.dropped:
                self._reader.drop_all()
                self._meter.count("samples_stale", left + self._current.dropped)
        except PeerError as error:  # what stays there is told apart by its version
            self._log.warning("could not empty the buffer after an on-policy learn: %s", error)
        self._current.dropped = 0

    def _dump(self) -> None:
        """Training state if it is due, then the model, out with old ones, and on to the pool."""
        now, app = self._clock(), self._app
        durable = now >= self._sync_due
        with self._dumping:
            if durable or now >= self._state_due:
                self._save_state(durable)
            keep = Keep(app.max_save_model_file_count, app.max_save_model_bytes, tuple(state.ids(self._states)))
            info = checkpoint.dump(self._run.ckpt, self.train_count, self._save, durable=durable, keep=keep)
        if durable:
            self._sync_due = now + _SYNC_S
        self._announce(info)

    def _save_state(self, durable: bool) -> None:
        counters = {"train_count": self.train_count, "samples_learned": self._samples_learned}
        state.save(self._states, self.train_count, counters, self._save_state_of_agent(), durable=durable)
        self._state_due, self._state_id = self._clock() + _STATE_S, self.train_count

    def _announce(self, info: ModelInfo) -> None:
        self.dumped_id = info.id
        self._meter.info["model_version"] = info.id
        self._meter.gauge("version", info.id)
        self._publish(self._run.ckpt, info)

    def _resume(self) -> None:
        """Loads the newest whole model and its training state; the count goes on from the highest id that ever was listed."""
        highest = checkpoint.listed(self._run.ckpt)[-1].id
        exact = hasattr(self._agent, "load_training_state")
        info, saved = state.newest_pair(self._run.ckpt, self._states, exact, self._log)
        with user_code("learner: Agent.load_model"):
            self._agent.load_model(path=str(self._run.ckpt), id=info.id)
        if saved is not None:
            self._samples_learned = int(saved.counters.get("samples_learned", 0))
        if saved is not None and exact:
            with user_code("learner: Agent.load_training_state"):
                self._agent.load_training_state(str(saved.folder))
        elif exact:
            self._log.warning("no training state of model %d; the optimizer begins anew", info.id)
        self._log.info("resumed from model %d of %s, where %d was the newest", info.id, self._run.ckpt, highest)
        if info.id == highest:
            self.train_count = highest
            self._state_id = -1 if saved is None else highest
            self._announce(info)
        else:  # ids never come twice: the pool and the actors take the highest for the newest
            self.train_count = highest + 1
            self._dump()

    def _preload(self) -> None:
        """Loads `preload_model_id`; training counts on from it."""
        app = self._app
        package = (self._config.algo.config or self._config.algo.learner_agent).split(".")[:-2]  # less module and class
        folder = Path(app.preload_model_dir.replace("{agent_name}", "/".join(package)))
        if not any(folder.glob(f"{checkpoint.prefix(app.preload_model_id)}*")):
            raise ConfigError(
                f"preload_model_dir = {app.preload_model_dir} ({folder.resolve()}) has no model.ckpt-{app.preload_model_id}.*; "
                "nothing was trained. Correct preload_model_dir or preload_model_id, or set preload_model = false."
            )
        with user_code("learner: Agent.load_model"):
            self._agent.load_model(path=str(folder), id=app.preload_model_id)
        self.train_count = app.preload_model_id
        self._log.info("preloaded model %d of %s; training counts on from there", self.train_count, folder)

    @property
    def _states(self) -> Path:
        return self._run.root / "training_state"

    def _save(self, path: str, id: int) -> None:
        with user_code("learner: Agent.save_model"):
            self._save_model(path=path, id=id)

    def _save_state_of_agent(self) -> Callable[[str], None] | None:
        if not hasattr(self._agent, "save_training_state"):
            return None

        def save(path: str) -> None:
            with user_code("learner: Agent.save_training_state"):
                self._agent.save_training_state(path)

        return save

    def _save_from_learn(self, *_arguments: Any, **_named: Any) -> None:
        """What `agent.save_model(...)` does inside `learn`; path and id are the mesh's, as in Kaiwu."""
        try:
            self.user_save()
        except Refused as error:
            self._log.warning("%s", error)


def _items(metrics: Any) -> list[tuple[str, Any]]:
    """The metrics that `learn` returned. Raises AgentError: not a dict."""
    if metrics is None:
        return []
    if not isinstance(metrics, Mapping):
        raise AgentError(f"Agent.learn returned {type(metrics).__name__}; return a dict of numbers, or None")
    return [(str(name), value) for name, value in metrics.items()]
