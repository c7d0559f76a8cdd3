"""The stack of every thread of this process, and whether a debugger is attached.

The stacks come from faulthandler, which only reads them. `sys._current_frames` is not safe on Python 3.11: it makes
objects of frames that another thread may be clearing, and following their `f_back` later can end in a segmentation
fault.
"""

from __future__ import annotations

import faulthandler
import os
import re
import sys
import sysconfig
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

_STDLIB = sysconfig.get_paths()["stdlib"]
_LIBRARIES = (_STDLIB, "site-packages", "dist-packages", "<")
_DEBUGGERS = frozenset(f"{_STDLIB}/{name}.py" for name in ("bdb", "pdb", "code"))
_DEBUGGER = re.compile(r"[/\\](pydevd\w*|_pydevd\w*|debugpy|IPython|ipdb|pudb)(/|\.py$)")
_THREAD = re.compile(r"(?:Current thread|Thread) 0x([0-9a-f]+) ")
_LINE = re.compile(r'  File "(.*)", line (\d+) in (.*)')


class Place(NamedTuple):
    """A line of a thread's stack."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} ({self.function})"


def stacks() -> dict[int, list[Place]]:
    """Every other thread's stack, the innermost line first, by the thread's `ident`; of each at most 100 lines."""
    descriptor = os.memfd_create("stacks")
    with os.fdopen(descriptor, "rb") as file:
        faulthandler.dump_traceback(descriptor, all_threads=True)
        file.seek(0)
        lines = file.read().decode(errors="replace").splitlines()
    found: dict[int, list[Place]] = {}
    for line in lines:
        if thread := _THREAD.match(line):
            stack = found.setdefault(int(thread[1], 16), [])
        elif place := _LINE.fullmatch(line):
            stack.append(Place(place[1], int(place[2]), place[3]))
    found.pop(threading.get_ident(), None)
    return found


def debugged(found: Mapping[int, list[Place]]) -> bool:
    """Whether one of these threads is inside a debugger, or a debugger traces this process."""
    if sys.gettrace() is not None or threading.gettrace() is not None:
        return True
    if any(place.file in _DEBUGGERS or _DEBUGGER.search(place.file) for stack in found.values() for place in stack):
        return True
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return False
    return "TracerPid:\t0\n" not in status and "TracerPid:" in status


def places(found: Mapping[int, list[Place]]) -> Iterator[tuple[str, str]]:
    """For each thread: its name, and its innermost line outside of libraries with what it called there."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, stack in found.items():
        if place := place_of(stack):
            yield names.get(ident, str(ident)), place


def place_of(stack: list[Place]) -> str:
    """The innermost line of a stack outside of libraries, with what it called there; "": there is none."""
    own = next((place for place in stack if not any(part in place.file for part in _LIBRARIES)), None)
    if own is None:
        return ""
    return f"{own}" if own is stack[0] else f"{own}, inside {stack[0]}"
