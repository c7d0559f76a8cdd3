"""WorkflowAgent, the agent that a workflow gets; and OnPolicyGate, which makes aisrv and learner alternate."""

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
from kaimesh.contract.calls import OurCode
from kaimesh.contract.columns import MODEL_VERSION, with_origin, with_run_id
from kaimesh.contract.errors import PeerError, Stopped
from kaimesh.contract.structs import protocol, sample_columns
from kaimesh.contract.user_agent import UserAgent
from kaimesh.process.meter import Meter

_POLL_S = 0.002
_FLUSH_S = 60.0
# Between two questions to the learner. Samples on their way arrive in less, so that none seem to be missing
ASK_S = 5.0


class OnPolicyGate:
    """On-policy: stops an aisrv that has sent its share of a batch until the model learned from this batch predicts.

        time      ------------------------------------------------------------------------------->
        aisrv     makes samples of v | waits in the gate ................ | makes samples of v + 1
        learner   waits for a batch .....| learns | dumps, pushes | waits for a batch ............
        actor     predicts with v ................................| loads | predicts with v + 1 ..

    share: the number of samples that this aisrv must send per model: train_batch_size / aisrv_count, rounded up.

    Samples can be lost on the way, by a killed buffer or learner, or be refused. Then the learner would wait for
    samples and the gate for a model, for ever. Therefore the gate asks the learner every `ask_s` seconds how many
    samples of model v it still waits for. If two answers in a row are the same number above 0, no sample is on its way
    any more, and the gate lets the aisrv make more samples with model v. Counter on_policy_refills.
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
        """Counts `samples` that were made with model `version`. Once the share is sent, waits for the next model.

        Those of an older model than others before them are not counted: nothing is learned from them.
        current: returns the version that predicts now. Raises Stopped.
        """
        with self._lock:
            if version > self._version:
                self._version, self._sent = version, 0
            if version == self._version:
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
            before, short = short, self._samples_short(version, links)
            ask_at = time.monotonic() + self._ask_s
            if short and short == before:
                self._meter.count("on_policy_refills")
                self._log.warning(
                    "on-policy: this aisrv sent %d samples of model %d and waits for model %d; the learner lacks %d "
                    "samples of model %d and waits for them. Some were lost on the way, or refused, so neither would "
                    "continue; this aisrv now makes more samples with model %d. If it happens again, look at "
                    "samples_lost and samples_refused of each aisrv, and whether a buffer or the learner was "
                    "restarted.",
                    self._sent, version, version + 1, short, version, version,
                )  # fmt: skip
                return

    def _samples_short(self, version: int, links: Links) -> int:
        """What the learner answers; 0 if it does not answer."""
        try:
            return links.samples_short(version)
        except PeerError as error:
            self._meter.state("waiting", f"learner: {error}")
            return 0


class WorkflowAgent:
    """The agent that a workflow gets in place of the user's own instance, to which it passes everything else.

        predict, exploit, load_model   to the policy: an actor, or in local mode this process
        learn                          to the sender: the buffer, or in local mode this process
        save_model                     to the learner, or in local mode this process
        all other attributes           read from and set on the local instance of the user's class

    An attribute that a workflow sets therefore never reaches the instances in the actor and the learner.
    save: asks for a user save; see UserSaves.
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
        """Asks for predictions for the rows of `batch` and returns at once; see Policy.send."""
        self._policy.send(batch)

    def receive(self) -> tuple[Batch, int]:
        """The oldest answer and the version of the model that made it; see Policy.receive."""
        acts, self._version = self._policy.receive()
        return acts, self._version

    def predict(self, list_obs_data: Sequence[Any]) -> list[Any]:
        """One ActData per observation, by the `predict` of the agent in the actor."""
        return self._predict(list_obs_data, exploit=False)

    def exploit(self, list_obs_data: Sequence[Any]) -> list[Any]:
        """One ActData per observation, by the `exploit` of the agent in the actor."""
        return self._predict(list_obs_data, exploit=True)

    def learn(self, list_sample_data: Sequence[Any]) -> None:
        """Sends the samples to the buffer. Blocks while it is full, and on-policy until the next model predicts."""
        if list_sample_data is None or len(list_sample_data) == 0:
            return
        with OurCode():
            self._send_samples(list_sample_data)

    def _send_samples(self, samples: Sequence[Any]) -> None:
        batch = sample_columns(samples)
        if MODEL_VERSION not in batch.columns:  # unrolls bring it along
            batch = with_origin(
                batch.columns, self._full(len(batch), self._version), self._full(len(batch), self._run_id)
            )
        stopped = False
        for start in range(0, len(batch), self._send_size):
            try:
                self._links.sender.put(batch[start : start + self._send_size])
            except Stopped:  # the rest is put too: the sender counts what it no longer takes
                stopped = True
        if stopped:
            raise Stopped
        if self._gate is not None:
            versions = batch.columns[MODEL_VERSION]
            newest = int(versions.max())
            self._gate.pass_through(int((versions == newest).sum()), newest, self._links, self._policy.version)

    def save_model(self, path: str | None = None, id: str | int = "1") -> None:
        """Asks the learner to save its model. It chooses path and id, as in Kaiwu. A refusal is only logged."""
        del path, id
        with OurCode():
            self._save()

    def load_model(self, path: str | None = None, id: str | int = "latest") -> None:
        """Asks the actor to predict with another model of the pool: "latest", "random" or an id."""
        del path
        self._version = self._policy.load_model(id)

    def _predict(self, rows: Sequence[Any], exploit: bool) -> list[Any]:
        batch = Batch.of(rows, self._specs)
        if self._specs is None:
            self._specs = batch.specs
        return self._request(batch, exploit)

    def _request(self, batch: Batch, exploit: bool) -> list[Any]:
        self._policy.send(with_run_id(batch.columns, self._full(len(batch), self._run_id)), exploit)
        answer, self._version = self._policy.receive()
        return list(Batch({name: column.copy() for name, column in answer.columns.items()}, protocol("ActData")))

    @staticmethod
    def _full(count: int, value: int) -> np.ndarray:
        return np.full(count, value, np.int64)
