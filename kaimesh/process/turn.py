"""A lock for an object that one thread at a time may use; once it has failed for one thread, it is closed to all."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from kaimesh.contract.calls import OurCode
from kaimesh.contract.errors import Stopped


class Turn:
    """A lock that remembers failures: after an exception inside it, every later use raises Stopped from that exception.

    It protects an agent that several threads share. After an error inside the agent its library may be left in any
    state. TensorFlow, for example, keeps a tf.function's lock when an argument does not fit the signature, and the next
    thread would wait for ever.
    """

    def __init__(self) -> None:
        self.failure: BaseException | None = None
        self._lock = threading.RLock()
        self._has: tuple[str, str, float] | None = None  # thread, what it does, since when
        self._waiting: dict[str, str] = {}

    @contextmanager
    def __call__(self, what: str, harmless: bool = False) -> Iterator[None]:
        """Holds the lock, waiting for it if need be. what: the use, in words, for `words`.

        harmless: an exception inside does not close the lock. Raises Stopped: an earlier use failed; its exception is
        the cause.
        """
        if not self._lock.acquire(blocking=False):
            name = threading.current_thread().name
            self._waiting[name] = what
            with OurCode():  # it is the other thread's call that takes long
                self._lock.acquire()
            del self._waiting[name]
        before, self._has = self._has, (threading.current_thread().name, what, time.monotonic())
        try:
            if self.failure is not None:
                raise Stopped from self.failure  # the error itself, raised again, would get this thread's frames, too
            yield
        except Stopped:
            raise
        except BaseException as error:
            self.failure = self.failure if harmless else error
            raise
        finally:
            self._has = before
            self._lock.release()

    def words(self) -> list[str]:
        """Which thread holds the lock and which wait for it, a line each."""
        has = self._has
        if has is None:
            return []
        found = [f"{has[0]} has had its turn for {time.monotonic() - has[2]:.0f} s: {has[1]}"]
        return found + [f"{name} waits for {has[0]} to end that, then: {what}" for name, what in self._waiting.items()]
