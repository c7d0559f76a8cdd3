"""One Reverb table as the learner sees it: what was drawn and waits to be taken. A queue's is buffer/drawing/queue_source."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import Any, NamedTuple, Protocol

import numpy as np
import reverb
import tensorflow as tf

from kaimesh.buffer.drawing.probe import Probe
from kaimesh.contract.arrays import Columns
from kaimesh.contract.columns import KEY, PROBABILITY

RETRY_S = 0.5
_LATE_MS = 30  # when a chunk is not full by then, what there is of it is delivered
_IDLE_MS = 150  # the same after a draw that brought nothing


class Drawn(NamedTuple):
    """Items that were drawn together. pieces: uint8 `[some, nbytes]` each. about: KEY and PROBABILITY `[I]` of all, if asked for."""

    pieces: list[np.ndarray]
    about: Columns

    @property
    def items(self) -> np.ndarray:
        """All of them, uint8 `[I, nbytes]`; a copy where there are several pieces."""
        return self.pieces[0] if len(self.pieces) == 1 else np.concatenate(self.pieces)


class Source(Protocol):
    """Draws from one server, in a thread of its own. `take` and `clear` are called with the reader's condition held."""

    address: str

    @property
    def silent_s(self) -> float:
        """Seconds since the server stopped answering; 0 while it answers."""

    def take(self) -> Drawn | None:
        """The oldest items, or None while there are none, or more of them are just coming."""

    def clear(self) -> None:
        """Drops what was drawn."""

    def hold(self, timeout_s: float) -> bool:
        """Nothing more is drawn until `release`; True once no draw is under way."""

    def release(self) -> None:
        """Ends `hold`."""

    def end(self) -> None:
        """Ends the threads soon; `join` waits for them, but not for one that is stuck in Reverb."""

    def join(self, timeout_s: float) -> None:
        """See `end`."""


class ReplaySource:
    """Draws items from the table `name` at `address` and keeps at most `depth` chunks of them until they are taken.

    about: whether to tell which items they are. changed: the reader's condition, notified when a chunk came.

    What a draw that times out loses (docs/architecture.md) is one of the draws that the table allows, not the item. A draw from a
    server that died neither ends nor fails: Reverb retries inside C++, and goes on 5 to 8 s after the server is back on the same port.
    """

    def __init__(
        self,
        address: str,
        *,
        name: str,
        steps: int,
        step_bytes: int,
        chunk_items: int,
        in_flight_items: int,
        depth: int,
        about: bool,
        changed: threading.Condition,
        logger: logging.Logger,
    ) -> None:
        self.address, self._depth, self._changed, self._log = address, depth, changed, logger
        self._about = about
        self._stored_bytes = steps * step_bytes
        self._datasets = [
            _dataset(address, name, (steps, step_bytes), chunk_items, in_flight_items, late_ms)
            for late_ms in (_LATE_MS, _IDLE_MS)
        ]
        self._chunks: deque[Drawn] = deque()
        self._closed = False
        self._probe = Probe(address, logger)
        self._thread = threading.Thread(target=self._draw, name=f"draw {address}", daemon=True)
        self._thread.start()

    @property
    def silent_s(self) -> float:
        """See Source."""
        return self._probe.silent_s

    def take(self) -> Drawn | None:
        """The oldest chunk, with items of steps * step_bytes, or None."""
        if not self._chunks:
            return None
        self._changed.notify_all()
        return self._chunks.popleft()

    def clear(self) -> None:
        """See Source."""
        self._chunks.clear()
        self._changed.notify_all()

    def hold(self, timeout_s: float) -> bool:
        """Items stay in the table when they are drawn, so nothing has to be held."""
        del timeout_s
        return True

    def release(self) -> None:
        """See Source."""

    def end(self) -> None:
        """See Source."""
        self._closed = True
        self._probe.close()
        with self._changed:
            self._changed.notify_all()

    def join(self, timeout_s: float) -> None:
        """See Source."""
        self._thread.join(timeout_s)

    def _draw(self) -> None:
        idle = False
        while not self._closed:
            came = False
            try:
                for chunk in self._datasets[idle]:
                    if not chunk.data.shape[0]:  # the last one: see _dataset
                        break
                    came = True
                    items = np.asarray(memoryview(chunk.data))  # a view, read-only
                    about = _about(chunk.info) if self._about else {}
                    if not self._deliver(Drawn([items.reshape(-1, self._stored_bytes)], about)):
                        return
            except (tf.errors.OpError, RuntimeError) as error:
                self._log.warning(
                    "%s: drawing samples failed (%s); trying again", self.address, str(error).splitlines()[0]
                )
                with self._changed:
                    self._changed.wait_for(lambda: self._closed, RETRY_S)
            idle = not came

    def _deliver(self, drawn: Drawn) -> bool:
        with self._changed:
            while len(self._chunks) >= self._depth and not self._closed:
                self._changed.wait(0.5)
            self._chunks.append(drawn)
            self._changed.notify_all()
        return not self._closed


def _about(info: Any) -> Columns:
    """Reverb's SampleInfo of one item or several."""
    size = info.table_size.numpy().reshape(-1)
    return {KEY: info.key.numpy().reshape(-1), PROBABILITY: info.probability.numpy().reshape(-1) * size}


def _dataset(address: str, name: str, shape: tuple[int, int], chunk: int, in_flight: int, late_ms: int) -> Any:
    """Chunks of up to `chunk` items; when the table gives nothing for `late_ms` it ends, with a smaller chunk and then one without items.

    For asking an iterator that has ended leaves some 650 bytes behind, as every failing operation of TensorFlow 2.15 does.
    """
    dataset = reverb.TrajectoryDataset(
        server_address=address,
        table=name,
        dtypes=tf.uint8,
        shapes=tf.TensorShape(shape),
        max_in_flight_samples_per_worker=in_flight,
        num_workers_per_iterator=1,
        rate_limiter_timeout_ms=late_ms,
    )
    if chunk > 1:  # else a copy for nothing
        dataset = dataset.batch(chunk, drop_remainder=False)
    dataset = dataset.concatenate(tf.data.Dataset.from_tensors(tf.nest.map_structure(_none_of, dataset.element_spec)))
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.autotune.enabled = False
    return dataset.with_options(options)


def _none_of(spec: tf.TensorSpec) -> tf.Tensor:
    """A tensor as `spec` says, with nothing in it where it has a dimension."""
    return tf.zeros([0, *spec.shape[1:]] if spec.shape.rank else [], spec.dtype)
