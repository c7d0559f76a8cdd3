"""The agent that a workflow sees, and the gate that keeps on-policy training in step."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kaimesh.aisrv.links import Links
from kaimesh.aisrv.policy import Policy
from kaimesh.contract.arrays import Batch, Specs
from kaimesh.contract.columns import MODEL_VERSION, with_origin, with_run_id
from kaimesh.contract.errors import PeerError, Stopped
from kaimesh.contract.structs import protocol, sample_columns
from kaimesh.contract.user_agent import UserAgent
from kaimesh.process.meter import Meter

_POLL_S = 0.002
_FLUSH_S = 60.0
ASK_S = 5.0  # samples under way have arrived by then, so that nobody asks for nothing


class OnPolicyGate:
    """Holds an aisrv once it has sent its share of a batch, until the model made from that batch predicts.

    share: samples that this aisrv owes per model version: train_batch_size / aisrv_count, rounded up.

    Samples can be lost on the way: by a buffer or a learner that was killed, or because one was refused. Then the
    learner waits for samples and the gate for a model. So the gate asks the learner now and then, and where it says
    twice that it lacks as many samples of this very model, it lets the aisrv make more with that model. Counter
    on_policy_refills.
    """

    def __init__(
        self,
        share: int,
        stop: threading.Event,
        meter: Meter,
        ask_s: float = ASK_S,
        logger: logging.Logger | None = None,
    ) -> None:
        self._share, self._stop, self._meter, self._ask_s = share, stop, meter, ask_s
        self._log = logger or logging.getLogger("aisrv")
        self._lock = threading.Lock()
        self._version, self._sent = -1, 0

    def pass_through(self, samples: int, version: int, links: Links, current: Callable[[], int]) -> None:
        """Counts `samples` made with `version`; returns at once, or after the next version is there. Raises Stopped."""
        with self._lock:
            if version > self._version:
                self._version, self._sent = version, 0
            self._sent += samples
            if self._sent < self._share:
                return
        links.sender.flush(_FLUSH_S)
        self._await_model(version, links, current)
        self._meter.state("working")

    def _await_model(self, version: int, links: Links, current: Callable[[], int]) -> None:
        waits_for, short = f"learner: model {version + 1}, on-policy ({self._sent} samples of {version} sent)", 0
        ask_at = time.monotonic() + self._ask_s
        while current() <= version:
            self._meter.state("waiting", waits_for)
            if self._stop.wait(_POLL_S):
                raise Stopped
            if time.monotonic() < ask_at:
                continue
            before, short = short, self._ask(version, links)
            ask_at = time.monotonic() + self._ask_s
            if short and short == before:
                self._meter.count("on_policy_refills")
                self._log.warning(
                    "on-policy: this aisrv sent %d samples of model %d and waits for model %d; the learner lacks %d samples of model %d and "
                    "waits for them: some were lost on the way, or refused (samples_lost and samples_refused of each aisrv; was a buffer or "
                    "the learner restarted?). More are made with model %d now.",
                    self._sent, version, version + 1, short, version, version,
                )  # fmt: skip
                return

    def _ask(self, version: int, links: Links) -> int:
        try:
            return links.samples_short(version)
        except PeerError as error:
            self._meter.state("waiting", f"learner: {error}")
            return 0


class WorkflowAgent:
    """predict, exploit and load_model go to the policy, learn to the sender, save_model to the learner; the rest is
    `user`'s own.

    In remote mode these are an actor, the buffer and the learner's process; in local mode all are in this one.

    Attributes that a workflow reads or sets are the local instance's: they never reach the actor's or the learner's.
    """

    _OWN = frozenset(
        {
            "_gate",
            "_links",
            "_local",
            "_policy",
            "_run_id",
            "_save",
            "_send_size",
            "_specs",
            "_version",
            "on_policy",
            "user",
        }
    )

    def __init__(
        self,
        user: UserAgent,
        links: Links,
        policy: Policy,
        *,
        save: Callable[[], None],
        run_id: int,
        send_size: int,
        gate: OnPolicyGate | None,
    ) -> None:
        self.user, self._local, self._links, self._policy = user, user.agent, links, policy
        self._save, self._run_id, self._send_size, self._gate = save, run_id, send_size, gate
        self._specs: Specs | None = None
        self._version = -1
        self.on_policy = gate is not None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._local, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._OWN:
            object.__setattr__(self, name, value)
        else:
            setattr(self._local, name, value)

    def send(self, batch: Batch) -> None:
        """Asks for predictions of the rows of `batch` and goes on; `receive` fetches the answer."""
        self._policy.send(batch)

    def receive(self) -> tuple[Batch, int]:
        """The answer to `send` (valid until the next one) and the model version that made it."""
        acts, self._version = self._policy.receive()
        return acts, self._version

    def predict(self, list_obs_data: Sequence[Any]) -> list[Any]:
        """One ActData per observation, from the actor's predict."""
        return self._ask(list_obs_data, exploit=False)

    def exploit(self, list_obs_data: Sequence[Any]) -> list[Any]:
        """One ActData per observation, from the actor's exploit."""
        return self._ask(list_obs_data, exploit=True)

    def learn(self, list_sample_data: Sequence[Any]) -> None:
        """Sends the samples to the buffer and returns; blocks under back-pressure, and on-policy until the next model."""
        if list_sample_data is None or len(list_sample_data) == 0:
            return
        batch = sample_columns(list_sample_data)
        if MODEL_VERSION not in batch.columns:  # an unroll has its own
            batch = with_origin(
                batch.columns, self._full(len(batch), self._version), self._full(len(batch), self._run_id)
            )
        stopped = False
        for start in range(0, len(batch), self._send_size):
            try:
                self._links.sender.put(batch[start : start + self._send_size])
            except Stopped:  # the sender counts what it no longer takes, so it is offered the rest as well
                stopped = True
        if stopped:
            raise Stopped
        if self._gate is not None:
            oldest = int(batch.columns[MODEL_VERSION].min())
            self._gate.pass_through(len(batch), oldest, self._links, self._policy.version)

    def save_model(self, path: str | None = None, id: str | int = "1") -> None:
        """Asks the learner to save; path and id are its own to choose, as in Kaiwu. A refusal is a warning in the log."""
        del path, id
        self._save()

    def load_model(self, path: str | None = None, id: str | int = "latest") -> None:
        """Asks the actor to predict with "latest", "random" or a numbered model of the pool."""
        del path
        self._version = self._policy.load_model(id)

    def _ask(self, rows: Sequence[Any], exploit: bool) -> list[Any]:
        batch = Batch.of(rows, self._specs)
        if self._specs is None:
            self._specs = batch.specs
        self._policy.send(with_run_id(batch.columns, self._full(len(batch), self._run_id)), exploit)
        answer, self._version = self._policy.receive()
        return list(Batch({name: column.copy() for name, column in answer.columns.items()}, protocol("ActData")))

    @staticmethod
    def _full(count: int, value: int) -> np.ndarray:
        return np.full(count, value, np.int64)
