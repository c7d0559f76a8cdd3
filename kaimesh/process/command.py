"""What every program that a person types does when the person leaves: Ctrl-C, `| head`, a terminal that is closed.

A program calls `begin` first. Then Ctrl-C raises KeyboardInterrupt, and the end of whoever reads standard output ends
the program as SIGPIPE would, without a word. SIGPIPE itself stays ignored, because environments and agents have pipes
and connections of their own. `interrupted` is the boundary for programs that have no other.
"""

from __future__ import annotations

import io
import os
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import FrameType
from typing import Any

EXIT_PIPE = 128 + signal.SIGPIPE  # what a shell shows for a program that SIGPIPE ended
EXIT_INTERRUPT = 128 + signal.SIGINT
_TWICE_S = 0.5  # a terminal's Ctrl-C reaches every process of the command, and the first of them passes it on as well
_STRONGER: dict[int, signal.Signals] = {signal.SIGINT: signal.SIGTERM}  # SIGKILL is stronger than any other
_DEAF_S = 4.0  # after Ctrl-C
_LAST_S = 2.0  # for processes that are asked to end


class _Output(io.FileIO):
    """Standard output where it is a pipe: a write that nobody will read ends the process, or is dropped.

    goes_on: dropped.
    """

    goes_on = False

    def write(self, data: Any) -> int:
        """As FileIO does."""
        try:
            return super().write(data)
        except BrokenPipeError:
            if not _Output.goes_on:
                os._exit(EXIT_PIPE)
            return memoryview(data).nbytes


def begin() -> None:
    """Prepares signals and standard output as described above."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # see kaimesh/__init__
        signal.signal(signal.SIGINT, signal.default_int_handler)
    stdout = sys.stdout
    if not isinstance(stdout, io.TextIOWrapper) or isinstance(stdout.buffer, _Output) or not _is_pipe(stdout):
        return
    stdout.flush()
    raw = _Output(stdout.fileno(), "wb", closefd=False)
    unbuffered = stdout.write_through
    sys.stdout = io.TextIOWrapper(
        raw if unbuffered else io.BufferedWriter(raw),  # as Python itself does with -u
        encoding=stdout.encoding,
        errors=stdout.errors,
        line_buffering=stdout.line_buffering,
        write_through=unbuffered,
    )


def _is_pipe(stream: io.TextIOWrapper) -> bool:
    try:
        mode = os.fstat(stream.fileno()).st_mode
    except (OSError, ValueError):  # closed, or no file
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def go_on_unread() -> None:
    """From now on output that nobody reads is dropped: for work that must not end half-way, such as a stop."""
    _Output.goes_on = True


def reader_is_gone() -> bool:
    """Whether nobody reads standard output any more; for programs that wait for long between two lines."""
    import select

    poll = select.poll()
    try:
        poll.register(sys.stdout.fileno(), 0)
    except (OSError, ValueError):
        return False
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def interrupted(main: Callable[[], int | None]) -> int:
    """Calls `main` after `begin`; returns its exit code, or what a shell shows for Ctrl-C."""
    begin()
    try:
        return main() or 0
    except KeyboardInterrupt:
        return EXIT_INTERRUPT


class PassOn:
    """Signal handlers of a process that only waits for its `child`: they pass the user's signals on.

    One that comes again is passed on as a stronger one, and so is Ctrl-C after a while: a library may have swallowed
    KeyboardInterrupt. first: the first signal that came; 0: none did.
    """

    def __init__(self, child: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.first = 0
        self._child, self._clock = child, clock
        self._came_s: dict[int, float] = {}  # when each signal came first

    def install(self, numbers: Iterable[signal.Signals]) -> None:
        """For those of `numbers` that are not ignored, as under nohup."""
        for number in numbers:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self)
        signal.signal(signal.SIGALRM, lambda *_: self._send(signal.SIGTERM))

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        now = self._clock()
        self.first = self.first or number
        again = now - self._came_s.setdefault(number, now) > _TWICE_S
        if number == signal.SIGINT and not again:
            signal.setitimer(signal.ITIMER_REAL, _DEAF_S)
        self._send(_STRONGER.get(number, signal.SIGKILL) if again else number)

    def _send(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._child, number)


def interrupt_once() -> None:
    """Makes only the first Ctrl-C raise KeyboardInterrupt: for the child of a PassOn, which may get it twice."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        return

    came = False

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal came
        if not came:
            came = True
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)


def adopt_orphans() -> None:
    """Makes processes whose parent ends children of this process, so that `end_children` finds them."""
    if sys.platform.startswith("linux"):
        import ctypes

        pr_set_child_subreaper = 36
        ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1)


def end_children() -> None:
    """Ends every process below this one: SIGTERM, and after a moment SIGKILL."""
    import psutil

    for end in (psutil.Process.terminate, psutil.Process.kill):
        children = psutil.Process().children(recursive=True)
        for child in children:
            with suppress(psutil.Error):
                end(child)
        psutil.wait_procs(children, _LAST_S)
