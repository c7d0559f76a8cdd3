"""The learner's core, without a socket: waits for its trigger, draws a batch, has the agent learn, dumps the model.

    time        ----------------------------------------------------------------------------------->
    trainer     trigger | draw batch k | learn k | dump, if due | saves | trigger | draw batch k + 1
    reader      decodes batch k        | decodes batch k + 1 ......................................
    publisher                                                   | pushes the dump to the pool .....

Each line is a thread; only the trainer's uses the agent. On-policy, the trainer drops the stale samples after a learn,
and a dump ends only when the pool has the model.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kaimesh.config import Config
from kaimesh.config.check import active_trigger, fresh_samples
from kaimesh.contract.agent import user_code
from kaimesh.contract.arrays import Batch
from kaimesh.contract.columns import KEY, MODEL_VERSION, POSITIONS, PRIORITY, REPLAYED, for_learn
from kaimesh.contract.errors import AgentError, PeerError
from kaimesh.contract.structs import sample_list
from kaimesh.contract.user_agent import UserAgent
from kaimesh.learner.on_policy import CurrentRows
from kaimesh.learner.trigger import Reader, Trigger
from kaimesh.process.meter import Meter
from kaimesh.process.run_dir import RunDir
from kaimesh.training import Training
from kaimesh.training.training import Publish

_POLL_S = 0.01  # between two looks at a trigger that does not allow a learn yet
_NO_ANSWER_S = 0.5  # the pause after a buffer did not answer
_SHORT_S = 20.0  # on-policy: if no missing sample came for so long, a warning names possible reasons


class Trainer:
    """Trains the agent of `user` on the batches of `reader`. Call `start` once, then `step` repeatedly, then `close`.

    publish: called with the folder and the model after each dump; on-policy it returns when the pool has the model.
    clock: seconds, monotonic. sleep: waits for so many seconds. stop: see Training.
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
        self._trigger = Trigger(self._app, user.table, reader, clock, meter)
        on_policy = self._app.algorithm_on_policy_or_off_policy == "on-policy"
        self._current = CurrentRows(self._app.train_batch_size) if on_policy else None
        self._waiting = meter.phase("wait")
        self._short: tuple[int, float] | None = None  # missing samples of the current model; since when so many
        self._warned_of = -1

    @property
    def train_count(self) -> int:
        """The number of learns so far, which is also the current model's id."""
        return self._training.train_count

    @property
    def dumped_id(self) -> int:
        """The id of the newest dump."""
        return self._training.dumped_id

    @property
    def samples_short(self) -> int:
        """On-policy: the number of samples of model `train_count` that the next learn waits for; 0: for none.

        May be called from any thread.
        """
        short = self._short
        return 0 if short is None else short[0]

    def start(self) -> None:
        """Resumes, preloads or begins anew (see Training.start), and logs which trigger is active."""
        self._log.info("training trigger: %s", active_trigger(self._app))
        self._training.start()

    def step(self, timeout_s: float) -> bool:
        """Waits up to `timeout_s` for the trigger and a batch, then learns once. Returns whether it learned.

        Raises AgentError: `learn` raised, or returned a metric that is not finite; the model is not dumped then.
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
        self._trigger.learned(_positions(metrics, batch))
        if self._current is not None:
            self._drop_stale()  # before the new model is published, after which fresh samples come
        self._meter.keep()
        self._training.dump_if_due()
        return True

    def user_save(self) -> int:
        """See Training.user_save."""
        return self._training.user_save()

    def close(self) -> None:
        """Counts the samples that were drawn and not learned from; then see Training.close."""
        if self._current is not None:
            self._meter.count("samples_unfinished", len(self._current))
            self._meter.count("samples_stale", self._current.dropped)
            self._current = None
        self._training.close()

    def _lags(self, batch: Batch) -> list[float]:
        """By how many versions the samples are older than the model: the mean of the fresh ones, then, if there are
        replayed ones, the mean of these.
        """
        behind = self.train_count - batch.columns[MODEL_VERSION]
        if REPLAYED not in batch.columns:
            return [float(np.mean(behind))]
        replayed = batch.columns[REPLAYED]
        self._meter.count("samples_replayed", int(replayed.sum()))
        return [float(np.mean(behind[kind])) for kind in (~replayed, replayed) if kind.any()]

    def _next_batch(self, deadline: float) -> Batch | None:
        """The next batch, once the trigger allows it; None: not before `deadline`. Publishes what it waits for."""
        try:
            while reason := self._trigger.blocked_on():
                self._meter.state("waiting", reason)
                if (left_s := deadline - self._clock()) <= 0:
                    return None
                self._sleep(min(_POLL_S, left_s))
            while True:
                batch = self._reader.next_batch(max(0.0, deadline - self._clock()))
                if batch is None:
                    self._trigger.starved()
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
            self._note_short(wanted - len(self._current))
            return f"buffer: {len(self._current):,} of {wanted:,} samples of model {self.train_count}"
        return f"buffer: too few samples for a batch of {wanted:,} ({self._reader.size():,} in the table)"

    def _note_short(self, short: int) -> None:
        """Keeps how many samples are missing, for `samples_short`, and logs a warning if none came for _SHORT_S.

        The aisrv that have sent their share wait for the next model, so nothing would come if a sample was lost.
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
        """After an on-policy learn: drops all samples in the buffer, because an older model made them."""
        assert self._current is not None
        stale = self._current.dropped
        try:
            if self._reader.size() or stale:
                stale += self._reader.drop_all()
        except PeerError as error:  # CurrentRows drops the samples later, by their version
            self._log.warning(
                "the buffer could not be emptied after an on-policy learn; its stale samples are dropped when they are "
                "drawn: %s",
                error,
            )
        self._meter.count("samples_stale", stale)
        self._current.dropped = 0


def _checked(priorities: Any, samples: int) -> np.ndarray:
    """The PRIORITY that `learn` returned, float64 `[samples]`. Raises AgentError: it is invalid."""
    values = np.asarray(priorities, np.float64)
    if values.shape != (samples,) or not (np.isfinite(values) & (values > 0)).all():
        raise AgentError(
            f"Agent.learn returned {PRIORITY} of shape {values.shape}, least {values.min(initial=np.inf):g}, by which "
            f"no sample could be drawn; training ends here. Return one finite number above 0 for each of the {samples} "
            "samples."
        )
    return values


def _positions(metrics: Mapping[str, Any] | None, batch: Batch) -> int:
    """From how many positions a learn has learned. Raises AgentError: what it returned as POSITIONS is no number."""
    told = metrics.get(POSITIONS) if metrics else None
    if told is None:
        return int(batch.columns[POSITIONS].sum()) if POSITIONS in batch.columns else len(batch)
    if isinstance(told, bool) or not isinstance(told, int | np.integer) or told < 0:
        raise AgentError(
            f"Agent.learn returned {POSITIONS} = {told!r}, by which replay_ratio cannot be held; training ends here. "
            "Return the number of positions that it learned from, a whole number."
        )
    return int(told)
