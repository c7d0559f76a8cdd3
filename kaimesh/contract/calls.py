"""Which call of the user's code each thread of this process is in. The watchdogs read it.

A thread notes its call when it enters and when it leaves it, and counts these changes; no clock is read, for calls are
entered in every step. Whoever watches looks once a second: a thread whose count has not changed meanwhile has made no
progress in that second.
"""

from __future__ import annotations

from threading import get_ident
from typing import NamedTuple


class _Thread:
    """What one thread does. call: the innermost; None: it runs no code of the user's."""

    __slots__ = ("call", "changes")

    def __init__(self) -> None:
        self.call: Call | None = None
        self.changes = 0


_threads: dict[int, _Thread] = {}  # by `ident`, which a later thread takes over


class Call:
    """A context: this thread runs the user's code, called `where` in messages.

    lasting: it runs as long as the process does, as a workflow.
    """

    __slots__ = ("_before", "_thread", "lasting", "where")

    def __init__(self, where: str, lasting: bool = False) -> None:
        self.where, self.lasting = where, lasting

    def __enter__(self) -> None:
        ident = get_ident()
        thread = _threads.get(ident)
        if thread is None:
            thread = _threads[ident] = _Thread()
        self._thread, self._before = thread, thread.call
        thread.call = self
        thread.changes += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        thread = self._thread
        thread.call = self._before
        thread.changes += 1

    def words(self) -> str:
        """What it is called in messages."""
        return self.where


class OurCode(Call):
    """A context: the user's code that this thread runs has called the mesh, which may have to wait for others."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("")

    def __enter__(self) -> None:
        super().__enter__()
        self._thread.call = None


class Running(NamedTuple):
    """A call that a thread is in.

    thread: its `ident`. changes: another number each time that the thread entered or left a call, or told of progress.
    """

    thread: int
    where: str
    lasting: bool
    changes: int


def running() -> list[Running]:
    """The innermost call of each thread that is in one."""
    found = []
    for ident, thread in _threads.copy().items():
        call, changes = thread.call, thread.changes
        if call is not None:
            found.append(Running(ident, call.words(), call.lasting, changes))
    return found


def progress() -> None:
    """Tells that the call that this thread is in goes on, such as a workflow that waits for an actor."""
    thread = _threads.get(get_ident())
    if thread is not None:
        thread.changes += 1
