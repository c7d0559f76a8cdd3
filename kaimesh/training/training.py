"""The training of one agent: counts and checks learns, dumps models with training state, limits the user's own saves.

A model's id is `train_count`, the number of learns so far. Each dump writes the training state first and lists the
model last. So whenever the process is killed, the newest listed model and its state belong together.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kaimesh.config import Config
from kaimesh.contract.agent import user_code
from kaimesh.contract.columns import POSITIONS, PRIORITY
from kaimesh.contract.errors import AgentError, ConfigError, Refused, Stopped
from kaimesh.contract.monitor import metric_name
from kaimesh.contract.user_agent import UserAgent
from kaimesh.process.disk import DiskTrouble
from kaimesh.process.meter import Meter
from kaimesh.process.run_dir import RunDir
from kaimesh.training import checkpoint, state
from kaimesh.training.checkpoint import Keep, ModelInfo
from kaimesh.training.scalars import Scalars

_STATE_S = 1.0  # dumps in quick succession save the training state this often: a kill costs no more than this
_SYNC_S = 10.0  # and call fsync this often: a power cut costs no more than this
_ROOM_S = 1.0  # between two tries on a full disk
_TOLD = (PRIORITY, POSITIONS)  # what `learn` tells the mesh among its metrics

Publish = Callable[[Path, ModelInfo], None]


class Training:
    """Trains the agent of `user` and dumps its models; used by one thread.

    Call `start`, then `learn` and `dump_if_due`, then `close`.

    The agent's `save_model` is replaced: called from inside `learn`, it makes a user save.
    where: names the process in errors. publish: called with the folder and the model after each dump.
    clock: seconds, monotonic. stop: while the disk is full, training pauses until there is room or `stop` is set; None:
    a full disk ends the training.
    """

    def __init__(
        self,
        user: UserAgent,
        *,
        where: str,
        config: Config,
        run: RunDir,
        meter: Meter,
        logger: logging.Logger,
        publish: Publish,
        clock: Callable[[], float] = time.monotonic,
        stop: threading.Event | None = None,
    ) -> None:
        agent: Any = user.agent
        self._resumable, self._where, self._config, self._app = user.resumable, where, config, config.app
        self._run, self._meter, self._log, self._publish, self._clock = run, meter, logger, publish, clock
        self._stop, self._foreign = stop, user.foreign
        self._odd: set[str] = set()  # metrics of a foreign agent that are no finite numbers
        self._learn_of_agent, self._save_model, self._load_model = agent.learn, agent.save_model, agent.load_model
        agent.save_model = self._save_from_learn
        self._learning, self._dumping = meter.phase("learn"), meter.phase("dump")
        self._scalars: Scalars | None = None
        self._values: dict[str, float] = {}
        # False during a learn or a dump, and after one that failed: then the weights are not dumped at the end.
        self._intact = True
        self._samples_learned = 0
        self._sync_due = self._state_due = clock()
        self._state_id = -1  # the model id whose training state was saved last
        self.train_count = 0
        self.dumped_id = -1

    def start(self) -> None:
        """Resumes from the run's newest model; if it has none, dumps a first one: `preload_model`, or the fresh agent.

        Raises AgentError: the agent's save or load raised. ConfigError: no such preload model. MeshError: no model of
        the run is whole, or the disk is full.
        """
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

    def learn(self, rows: Any, lag: float | None = None, replayed_lag: float | None = None) -> Any:
        """One learn of the agent on `rows`; returns its metrics.

        lag: how many model versions the fresh rows are behind, on average. replayed_lag: the same for the replayed
        rows, if there are any.

        Raises AgentError: `learn` raised, or returned a metric that is not finite; the weights are not dumped. Stopped:
        an earlier learn failed so; the workflow of another thread must not use the weights that it left.
        """
        if not self._intact:
            raise Stopped
        self._intact = False
        with self._learning, user_code(f"{self._where}: Agent.learn"):
            metrics = self._learn_of_agent(rows)
        if self._foreign:
            metrics = self._numbers_of(metrics)
        self._values = {f"learn/{name}": self._finite(name, value) for name, value in _items(metrics)}
        self._intact = True
        if lag is not None:
            self._values["policy_lag"] = lag
            self._meter.count("policy_lag_sum", lag)
            self._meter.count("policy_lag_count")
        if replayed_lag is not None:
            self._values["policy_lag_replayed"] = replayed_lag
        for name, value in self._values.items():
            self._meter.gauge(name, value)
        self.train_count += 1
        count = len(rows) if hasattr(rows, "__len__") else 1
        self._samples_learned += count
        self._meter.count("learner_steps")
        self._meter.count("samples_learned", count)
        return metrics

    def dump_if_due(self) -> None:
        """Dumps the model after every `dump_model_freq` learns; writes the curves. Raises DiskTrouble: see `stop`."""
        if self.train_count % self._app.dump_model_freq == 0:
            self._dump()
        if self._scalars is not None:
            self._scalars.write(self.train_count, self._values)

    def user_save(self) -> int:
        """Saves the current model into the run's user_ckpt; returns its id. Raises Refused: the limit is reached."""
        most = self._app.user_save_mode_max_count
        done = int(self._meter.counters.get("user_saves", 0))
        if 0 < most <= done:
            raise Refused(
                f"save_model: {done} models were saved in this run, user_save_mode_max_count = {most}; this one was "
                "not. Raise it, or set 0 for no limit."
            )
        with self._dumping:
            info = checkpoint.dump(self._run.user_ckpt, self.train_count, self._save)
        self._meter.count("user_saves")
        self._log.info("saved model %d for the user in %s", info.id, self._run.user_ckpt)
        return info.id

    def close(self) -> None:
        """Dumps the model if it has learned since the last dump, unless a learn or a dump failed."""
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

    def _numbers_of(self, metrics: Any) -> dict[str, float]:
        """Those of a foreign agent's metrics that are finite numbers; the others are told once."""
        found: dict[str, float] = {}
        for name, value in metrics.items() if isinstance(metrics, Mapping) else ():
            try:
                number = float(value)
            except (TypeError, ValueError, RuntimeError):
                number = math.nan
            if math.isfinite(number):
                found[name] = number
            elif name not in self._odd:
                self._odd.add(name)
                self._log.warning(
                    "learn %d: metric %r is %.80r, no finite number, and is not shown",
                    self.train_count + 1,
                    name,
                    value,
                )
        return found

    def _finite(self, name: str, value: Any) -> float:
        with user_code(f"{self._where}: the metric {name!r} that Agent.learn returned is not a number: float() of it"):
            number = float(value)
        if not math.isfinite(number):
            raise AgentError(
                f"Agent.learn returned {name} = {number} at learn {self.train_count + 1}; training ends here, nothing "
                f"after learn {self.dumped_id} was dumped. Look at the samples and the learning rate; the last good "
                f"model is {self._run.ckpt}/model.ckpt-{self.dumped_id}."
            )
        return number

    def _dump(self) -> None:
        """Saves the training state if it is due, dumps the model, removes old ones, and publishes it."""
        now, app = self._clock(), self._app
        durable = now >= self._sync_due
        self._intact = False
        with_state = durable or now >= self._state_due

        def dump() -> ModelInfo:
            if with_state:
                self._save_state(durable)
            keep = Keep(app.max_save_model_file_count, app.max_save_model_bytes, tuple(state.ids(self._states)))
            return checkpoint.dump(self._run.ckpt, self.train_count, self._save, durable=durable, keep=keep)

        with self._dumping:
            info = self._patiently(dump)
        self._intact = True
        if durable:
            self._sync_due = now + _SYNC_S
        self._announce(info)

    def _patiently(self, write: Callable[[], ModelInfo]) -> ModelInfo:
        """Calls `write` until the disk has room; training pauses meanwhile.

        Raises DiskTrouble: the process is stopping.
        """
        said = False
        while True:
            try:
                info = write()
            except DiskTrouble as error:
                if not said:
                    self._log.error(
                        "%s Training pauses, and goes on by itself once there is room.", error, exc_info=True
                    )
                said = True
                if self._stop is None or self._stop.is_set():
                    raise
                self._meter.state("waiting", f"room on the disk: {error}")
                self._stop.wait(_ROOM_S)
                continue
            if said:
                self._log.info("there is room again: model %d is kept, training goes on", info.id)
            return info

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
        """Loads the newest intact model and its training state; counts on from the highest id that was ever listed."""
        highest = checkpoint.listed(self._run.ckpt)[-1].id
        resumable = self._resumable
        info, saved = state.newest_pair(self._run.ckpt, self._states, resumable is not None, self._log)
        with user_code(f"{self._where}: Agent.load_model"):
            self._load_model(path=str(self._run.ckpt), id=info.id)
        if saved is not None:
            self._samples_learned = int(saved.counters.get("samples_learned", 0))
        if saved is not None and resumable is not None:
            with user_code(f"{self._where}: Agent.load_training_state"):
                resumable.load_training_state(str(saved.folder))
        elif resumable is not None:
            self._log.warning("no training state of model %d; the optimizer starts from scratch", info.id)
        self._log.info("resumed from model %d of %s, where %d was the newest", info.id, self._run.ckpt, highest)
        if info.id == highest:
            self.train_count = highest
            self._state_id = -1 if saved is None else highest
            self._announce(info)
        else:  # an id is never used twice, because the pool and the actors take the highest for the newest
            self.train_count = highest + 1
            self._dump()

    def _preload(self) -> None:
        """Loads `preload_model_id`; training counts on from it."""
        app = self._app
        entry = self._config.algo
        package = (entry.config or entry.learner_agent).split(".")[:-2]  # less module and class
        if self._foreign:
            package = package[:1]
        folder = Path(app.preload_model_dir.replace("{agent_name}", "/".join(package)))
        if not any(folder.glob(f"{checkpoint.prefix(app.preload_model_id)}*")):
            raise ConfigError(
                f"preload_model_dir = {app.preload_model_dir} ({folder.resolve()}) has no "
                f"model.ckpt-{app.preload_model_id}.*; nothing was trained. Correct preload_model_dir or "
                "preload_model_id, or set preload_model = false."
            )
        with user_code(f"{self._where}: Agent.load_model"):
            self._load_model(path=str(folder), id=app.preload_model_id)
        self.train_count = app.preload_model_id
        self._log.info("preloaded model %d of %s; training counts on from there", self.train_count, folder)

    @property
    def _states(self) -> Path:
        return self._run.root / "training_state"

    def _save(self, path: str, id: int) -> None:
        with user_code(f"{self._where}: Agent.save_model"):
            self._save_model(path=path, id=id)

    def _save_state_of_agent(self) -> Callable[[str], None] | None:
        resumable = self._resumable
        if resumable is None:
            return None

        def save(path: str) -> None:
            with user_code(f"{self._where}: Agent.save_training_state"):
                resumable.save_training_state(path)

        return save

    def _save_from_learn(self, *_arguments: Any, **_named: Any) -> None:
        """What `agent.save_model(...)` does inside `learn`: a user save; path and id are ignored, as in Kaiwu."""
        try:
            self.user_save()
        except (Refused, DiskTrouble) as error:
            self._log.warning("%s", error)


def _items(metrics: Any) -> list[tuple[str, Any]]:
    """The metrics that `learn` returned. Raises AgentError: not a dict."""
    if metrics is None:
        return []
    if not isinstance(metrics, Mapping):
        raise AgentError(
            f"Agent.learn returned {type(metrics).__name__}, which has no metrics to show; training ends here. Return "
            "a dict of numbers, or None."
        )
    return [(metric_name(name), value) for name, value in metrics.items() if name not in _TOLD]
