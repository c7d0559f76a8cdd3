"""The learner's core: waits for its trigger, draws a batch, lets the agent learn.

No socket; one thread owns it and the agent.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from kaimesh.config import Config
from kaimesh.config.check import active_trigger, fresh_samples
from kaimesh.contract.agent import user_code
from kaimesh.contract.arrays import Batch
from kaimesh.contract.columns import KEY, MODEL_VERSION, PRIORITY, REPLAYED, for_learn
from kaimesh.contract.errors import AgentError, PeerError
from kaimesh.contract.structs import sample_list
from kaimesh.contract.user_agent import UserAgent
from kaimesh.learner.on_policy import CurrentRows
from kaimesh.learner.trigger import Reader, Trigger
from kaimesh.process.meter import Meter
from kaimesh.process.run_dir import RunDir
from kaimesh.training import Training
from kaimesh.training.training import Publish

_POLL_S = 0.01  # between two looks at a trigger that does not hold
_NO_ANSWER_S = 0.5  # before asking a buffer again that does not answer
_SHORT_S = 20.0  # on-policy: when none of the samples that a batch lacks came for so long, it says why that may be


class Trainer:
    """Trains the agent of `user` on what `reader` delivers; call `start` once, then `step` for ever, then `close`.

    publish: called with the folder and the model after each dump; on-policy it returns when the pool has the model.
    clock: seconds, monotonic; sleep: waits so many seconds. stop: as Training's.
    """

    def __init__(
        self,
        user: UserAgent,
        reader: Reader,
        *,
        config: Config,
        run: RunDir,
        meter: Meter,
        logger: logging.Logger,
        publish: Publish,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        stop: threading.Event | None = None,
    ) -> None:
        self._reader, self._app, self._meter, self._log = reader, config.app, meter, logger
        self._clock, self._sleep = clock, sleep
        self._training = Training(
            user,
            where="learner",
            config=config,
            run=run,
            meter=meter,
            logger=logger,
            publish=publish,
            clock=clock,
            stop=stop,
        )
        self._trigger = Trigger(self._app, user.table, reader, clock)
        on_policy = self._app.algorithm_on_policy_or_off_policy == "on-policy"
        self._current = CurrentRows(self._app.train_batch_size) if on_policy else None
        self._waiting = meter.phase("wait")
        self._short: tuple[int, float] | None = (
            None  # samples of the current model that are missing, since when so many
        )
        self._warned_of = -1

    @property
    def train_count(self) -> int:
        """Learns done, which is the current model's id."""
        return self._training.train_count

    @property
    def dumped_id(self) -> int:
        """The newest dump's id."""
        return self._training.dumped_id

    @property
    def samples_short(self) -> int:
        """On-policy: samples of model `train_count` that the next learn lacks; 0: it does not wait for any.

        From any thread.
        """
        short = self._short
        return 0 if short is None else short[0]

    def start(self) -> None:
        """Resumes, preloads or begins anew, as Training.start does; says which trigger holds."""
        self._log.info("training trigger: %s", active_trigger(self._app))
        self._training.start()

    def step(self, timeout_s: float) -> bool:
        """Waits up to `timeout_s` for the trigger and a batch, then learns once; True if it did.

        Raises AgentError: `learn` raised or returned a metric that is not finite; nothing of it is dumped.
        """
        with self._waiting:
            batch = self._next_batch(self._clock() + timeout_s)
        if batch is None:
            return False
        self._short = None
        self._meter.state("working")
        lags = self._lags(batch)
        with user_code("learner: NumpyData2SampleData"):
            rows = sample_list(for_learn(batch))
        metrics = self._training.learn(rows, *lags)
        if metrics and PRIORITY in metrics and KEY in batch.columns:
            self._reader.prioritise(batch, _checked(metrics[PRIORITY], len(batch)))
        self._trigger.learned()
        if self._current is not None:
            self._drop_stale()  # before the new model is out: what comes after that is fresh
        self._training.dump_if_due()
        return True

    def user_save(self) -> int:
        """As Training.user_save."""
        return self._training.user_save()

    def close(self) -> None:
        """As Training.close. Samples that were drawn for a batch that the end came before are counted."""
        if self._current is not None:
            self._meter.count("samples_unfinished", len(self._current))
            self._meter.count("samples_stale", self._current.dropped)
            self._current = None
        self._training.close()

    def _lags(self, batch: Batch) -> list[float]:
        """How many model versions the fresh samples are behind, on average; and the same of replayed ones, if any."""
        behind = self.train_count - batch.columns[MODEL_VERSION]
        if REPLAYED not in batch.columns:
            return [float(np.mean(behind))]
        replayed = batch.columns[REPLAYED]
        self._meter.count("samples_replayed", int(replayed.sum()))
        return [float(np.mean(behind[kind])) for kind in (~replayed, replayed) if kind.any()]

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
        wanted = fresh_samples(self._app)
        if self._current is not None:
            self._say_short(wanted - len(self._current))
            return f"buffer: {len(self._current):,} of {wanted:,} samples of model {self.train_count}"
        return f"buffer: too few samples for a batch of {wanted:,} ({self._reader.size():,} in the table)"

    def _say_short(self, short: int) -> None:
        """An aisrv that has sent its share waits for the next model, so what is missing must not be waited for in
        silence.
        """
        now = self._clock()
        if self._short is None or self._short[0] != short:
            self._short = (short, now)
        elif now - self._short[1] >= _SHORT_S and self._warned_of != self.train_count:
            self._warned_of = self.train_count
            self._log.warning(
                "on-policy: %d samples of model %d are missing for a batch of %d, and none came for %.0f s. An aisrv "
                "that has sent its share waits for model %d, asks the learner, and sends more of model %d in a few "
                "seconds. If none comes then: is an aisrv running (tools/status.sh), and what does it wait for?",
                short, self.train_count, self._app.train_batch_size, _SHORT_S, self.train_count + 1, self.train_count,
            )  # fmt: skip

    def _drop_stale(self) -> None:
        """After an on-policy learn every row that is left was made by an older model."""
        assert self._current is not None
        stale = self._current.dropped
        try:
            if self._reader.size() or stale:
                stale += self._reader.drop_all()
        except PeerError as error:  # what stays there is told apart by its version
            self._log.warning("could not empty the buffer after an on-policy learn: %s", error)
        self._meter.count("samples_stale", stale)
        self._current.dropped = 0


def _checked(priorities: Any, samples: int) -> np.ndarray:
    """What `learn` returned as PRIORITY. Raises AgentError."""
    values = np.asarray(priorities, np.float64)
    if values.shape != (samples,) or not (np.isfinite(values) & (values > 0)).all():
        raise AgentError(
            f"Agent.learn returned {PRIORITY} of shape {values.shape}, least {values.min(initial=np.inf):g}, by which "
            f"no sample could be drawn; training ends here. Return one finite number above 0 for each of the {samples} "
            "samples."
        )
    return values
