"""Draws from one Reverb server in the background. Here: what every source can do, and the source of a replay table."""

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
_LATE_MS = 30  # a chunk that is not full by then is delivered as it is
_IDLE_MS = 150  # the same after a draw that brought nothing


class Drawn(NamedTuple):
    """I items that were drawn together.

    arrays: the items, uint8 `[some of I, nbytes]` each. about: the columns KEY and PROBABILITY `[I]`, if asked for.
    """

    arrays: list[np.ndarray]
    about: Columns

    @property
    def items(self) -> np.ndarray:
        """All items, uint8 `[I, nbytes]`; copied if there are several arrays."""
        return self.arrays[0] if len(self.arrays) == 1 else np.concatenate(self.arrays)


class Source(Protocol):
    """Draws from one server in a thread of its own. The caller of `take` and `clear` holds the reader's condition."""

    address: str

    @property
    def silent_s(self) -> float:
        """Seconds since the server stopped answering; 0 while it answers."""

    def take(self) -> Drawn | None:
        """The oldest items; None if there are none, or if more are arriving to fill the chunk."""

    def clear(self) -> None:
        """Drops what was drawn and not taken."""

    def hold(self, timeout_s: float) -> bool:
        """Starts no more draws until `release`. Waits for the current draw to end; False if it did not in time."""

    def release(self) -> None:
        """Ends `hold`."""

    def end(self) -> None:
        """Ends the threads soon."""

    def join(self, timeout_s: float) -> None:
        """Waits until they have ended, at most `timeout_s`: one may be stuck in Reverb."""


class ReplaySource:
    """Draws items from the table `name` at `address` and keeps at most `depth` chunks of them until they are taken.

    about: whether to return KEY and PROBABILITY of the items. changed: the reader's condition, notified for each chunk.

    A draw that times out loses one of the draws that the rate limiter allows, not the item (docs/architecture.md). A
    draw from a server that dies neither ends nor fails: Reverb retries in C++, and goes on 5 to 8 s after the server is
    back on the same port.
    """

    def __init__(
        self,
        address: str,
        *,
        name: str,
        pieces: int,
        piece_bytes: int,
        chunk_items: int,
        in_flight_items: int,
        depth: int,
        about: bool,
        changed: threading.Condition,
        logger: logging.Logger,
    ) -> None:
        self.address, self._depth, self._changed, self._log = address, depth, changed, logger
        self._about = about
        self._stored_bytes = pieces * piece_bytes
        self._datasets = [
            _dataset(address, name, (pieces, piece_bytes), chunk_items, in_flight_items, late_ms)
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
        """The oldest chunk, items of pieces * piece_bytes bytes; or None."""
        if not self._chunks:
            return None
        self._changed.notify_all()
        return self._chunks.popleft()

    def clear(self) -> None:
        """See Source."""
        self._chunks.clear()
        self._changed.notify_all()

    def hold(self, timeout_s: float) -> bool:
        """Does nothing: a replay table keeps the items that are drawn, so emptying it does not disturb a draw."""
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
                    if not chunk.data.shape[0]:  # the last element, see _dataset
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
    """The columns KEY and PROBABILITY `[I]` from Reverb's SampleInfo of one item or several."""
    size = info.table_size.numpy().reshape(-1)
    return {KEY: info.key.numpy().reshape(-1), PROBABILITY: info.probability.numpy().reshape(-1) * size}


def _dataset(address: str, name: str, shape: tuple[int, int], chunk: int, in_flight: int, late_ms: int) -> Any:
    """A dataset of chunks of up to `chunk` items. It ends when the table gives nothing for `late_ms`.

    The last chunk but one may be smaller; the last one has no items. That marks the end, because calling `next` on an
    iterator that has ended leaks some 650 bytes, as every failing operation of TensorFlow 2.15 does.
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
    if chunk > 1:  # a batch of one would only be a copy
        dataset = dataset.batch(chunk, drop_remainder=False)
    dataset = dataset.concatenate(tf.data.Dataset.from_tensors(tf.nest.map_structure(_none_of, dataset.element_spec)))
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.autotune.enabled = False
    return dataset.with_options(options)


def _none_of(spec: tf.TensorSpec) -> tf.Tensor:
    """A tensor for `spec` whose first dimension is 0; a zero if it is a scalar."""
    return tf.zeros([0, *spec.shape[1:]] if spec.shape.rank else [], spec.dtype)
