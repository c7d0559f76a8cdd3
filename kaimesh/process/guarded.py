"""Runs a program in a child process, so that an exit inside the user's code is not taken for success."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from kaimesh.contract.errors import EXIT_AGENT, EXIT_CRASH, EXIT_WATCHDOG
from kaimesh.process import command
from kaimesh.process.exits import signal_words
from kaimesh.process.stacks import debugged, stacks

_OF_THE_USER = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_ANNOUNCED = b"."  # what the child writes once `main` has returned


def guarded(main: Callable[[], int], name: str) -> int:
    """Runs `main` in a forked child and returns its exit code. If it ended before `main` returned, prints how.

    name: the program's, for that message. Call it before any library has started threads, which a fork would lose.
    Under a debugger `main` runs in this process, where its breakpoints are. If a signal ends it, or something inside
    calls exit, processes that it started end with it.
    """
    command.begin()
    if debugged(stacks()):
        faulthandler.enable()
        return main()
    reader, writer = os.pipe()
    signal.pthread_sigmask(signal.SIG_BLOCK, _OF_THE_USER)  # until each side knows what to do with them
    command.adopt_orphans()
    child = os.fork()
    if not child:
        command.interrupt_once()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _OF_THE_USER)
        os.close(reader)
        _be_the_child(main, writer)
    os.close(writer)
    pass_on = command.PassOn(child)
    pass_on.install(_OF_THE_USER)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _OF_THE_USER)
    code = os.waitstatus_to_exitcode(_status_of(child))
    os.set_blocking(reader, False)  # a grandchild may hold the other end open
    try:
        announced = os.read(reader, 1) == _ANNOUNCED
    except BlockingIOError:
        announced = False
    if pass_on.first or not announced:
        command.end_children()
    if announced:
        return code if code >= 0 else EXIT_CRASH
    if code < 0:
        how = signal_words(f"terminated by {signal.Signals(-code).name}").replace("Its log says", "The lines above say")
        if -code not in _OF_THE_USER:
            print(f"{name}: {how}", file=sys.stderr)
        return 128 + (pass_on.first or -code)
    if code in (EXIT_WATCHDOG, command.EXIT_PIPE):  # a kaimesh.process.watch.Watch has said why; nobody reads
        return code
    print(
        f"{name}: ended with exit code {code} before its work was done: something inside it called exit, such as "
        "os._exit in the environment, the agent or a library of theirs. The result is not valid; find that call",
        file=sys.stderr,
    )
    return code or EXIT_AGENT


def _status_of(child: int) -> int:
    """Waits until it has ended; meanwhile orphans that were adopted may end."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            return status


def _be_the_child(main: Callable[[], int], writer: int) -> NoReturn:
    faulthandler.enable()
    if sys.platform.startswith("linux"):
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
    code: Any = EXIT_CRASH
    try:
        code = main()
    except SystemExit as error:  # argparse's, or one that `main` let through
        code = error.code if isinstance(error.code, int) else EXIT_CRASH if error.code else 0
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except BaseException:  # the edge of the process: told as Python itself would
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):  # a full disk, or code inside has closed it
                code = code or EXIT_CRASH
        os.write(writer, _ANNOUNCED)
        os._exit(code)
