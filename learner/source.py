"""One Reverb server as the learner sees it: a thread that draws items, and whether the server answers."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import Any, NamedTuple

import numpy as np
import reverb
import tensorflow as tf

from kaimesh.agent import KEY, PROBABILITY
from kaimesh.items import Columns

_LATE_MS = 30  # when a chunk is not full by then, what there is of it is delivered
_IDLE_MS = 150  # the same after a draw that brought nothing
_RETRY_S = 0.5
_PROBE_S = 1.0
_PROBE_TIMEOUT_S = 2


class Drawn(NamedTuple):
    """Items that were drawn together. items: uint8 `[I, nbytes]`. about: KEY and PROBABILITY `[I]` of each, if asked for."""

    items: np.ndarray
    about: Columns


class Source:
    """Draws items from the table `name` at `address` and keeps at most `depth` chunks of them until they are taken.

    about: whether to tell which items they are. changed: notified when a chunk came. A draw from a server that died neither ends nor fails: Reverb retries inside C++, and goes
    on 5 to 8 s after the server is back on the same port. So another thread asks the server how it is. A second draw would come
    no sooner, and would take rows of a queue out of order.
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
        self.address, self._name, self._depth, self._changed, self._log = address, name, depth, changed, logger
        self._about = about
        self._stored_bytes = steps * step_bytes
        self._datasets = [
            _dataset(address, name, (steps, step_bytes), chunk_items, in_flight_items, late_ms)
            for late_ms in (_LATE_MS, _IDLE_MS)
        ]
        self._chunks: deque[Drawn] = deque()
        self._closed = False
        self._silent_since: float | None = None
        self._threads = [
            threading.Thread(target=target, name=f"{target.__name__} {address}", daemon=True)
            for target in (self._draw, self._probe)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def silent_s(self) -> float:
        """Seconds since the server stopped answering; 0 while it answers."""
        since = self._silent_since
        return 0.0 if since is None else time.monotonic() - since

    def take(self) -> Drawn | None:
        """The oldest chunk, with items of steps * step_bytes, or None; call it with `changed` held."""
        if not self._chunks:
            return None
        self._changed.notify_all()
        return self._chunks.popleft()

    def clear(self) -> None:
        """Drops what was drawn; call it with `changed` held."""
        self._chunks.clear()
        self._changed.notify_all()

    def close(self) -> None:
        """Ends the threads, but does not wait for one that is stuck in Reverb."""
        self._closed = True
        with self._changed:
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(2 * _IDLE_MS / 1000)

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
                    if not self._deliver(Drawn(items.reshape(-1, self._stored_bytes), about)):
                        return
            except (tf.errors.OpError, RuntimeError) as error:
                self._log.warning(
                    "%s: drawing samples failed (%s); trying again", self.address, str(error).splitlines()[0]
                )
                time.sleep(_RETRY_S)
            idle = not came

    def _deliver(self, drawn: Drawn) -> bool:
        with self._changed:
            while len(self._chunks) >= self._depth and not self._closed:
                self._changed.wait(0.5)
            self._chunks.append(drawn)
            self._changed.notify_all()
        return not self._closed

    def _probe(self) -> None:
        client = reverb.Client(self.address)
        while not self._closed:
            try:
                client.server_info(timeout=_PROBE_TIMEOUT_S)
                if self._silent_since is not None:
                    self._log.info(
                        "%s answers again after %.0f s; Reverb goes on drawing within ten", self.address, self.silent_s
                    )
                    self._silent_since = None
            except (reverb.errors.ReverbError, RuntimeError) as error:
                if self._silent_since is None:
                    self._log.warning("%s does not answer: %s", self.address, str(error).splitlines()[0])
                    self._silent_since = time.monotonic()
            with self._changed:
                self._changed.wait_for(lambda: self._closed, _PROBE_S)


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
