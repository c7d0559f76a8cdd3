"""Turns: what only one thread may use, and what has failed for one of them has failed for all."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from kaimesh.contract.errors import Stopped


class Turn:
    """Whose turn it is to use what only one thread may use. Once a turn has failed, all later ones end with Stopped, from its error.

    For an agent in one process: after an error inside of it nobody can know what its library still holds. TensorFlow, for one, keeps a
    tf.function's lock when an argument does not fit its signature, and the next thread would wait for ever.
    """

    def __init__(self) -> None:
        self.failure: BaseException | None = None
        self._lock = threading.RLock()
        self._has: tuple[str, str, float] | None = None  # thread, what it does, since when
        self._waiting: dict[str, str] = {}

    @contextmanager
    def __call__(self, what: str, harmless: bool = False) -> Iterator[None]:
        """Waits for the turn. Raises Stopped: an earlier turn failed, whose error is the cause; `harmless` ones leave no such mark."""
        if not self._lock.acquire(blocking=False):
            name = threading.current_thread().name
            self._waiting[name] = what
            self._lock.acquire()
            del self._waiting[name]
        before, self._has = self._has, (threading.current_thread().name, what, time.monotonic())
        try:
            if self.failure is not None:
                raise Stopped from self.failure  # the error itself, raised here too, would show this thread's lines as its own
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
        """Who has it, and who waits for it."""
        has = self._has
        if has is None:
            return []
        found = [f"{has[0]} has had its turn for {time.monotonic() - has[2]:.0f} s: {has[1]}"]
        return found + [f"{name} waits for {has[0]} to end that, then: {what}" for name, what in self._waiting.items()]
