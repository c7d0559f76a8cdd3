"""How a process ended, in words: its exit code or its signal. supervisord names signals only in its log."""

from __future__ import annotations

import os
import re
from pathlib import Path

_TAIL_BYTES = 65_536
_MEANINGS = {
    "SIGSEGV": "a segmentation fault in compiled code",
    "SIGBUS": "compiled code touched memory that is not there, such as a mapped file that was cut or a full /dev/shm",
    "SIGFPE": "an arithmetic error in compiled code, such as an integer division by zero",
    "SIGILL": "an instruction that this processor does not have, so a library was built for another one",
    "SIGABRT": "compiled code gave up, by abort or a failed check",
}
_WITHOUT_TRACE = {
    "SIGKILL": (
        "somebody killed it, perhaps the machine because its memory was used up: look at dmesg, or use fewer "
        "environments"
    ),
}


def last_exit(supervisor_log: Path, name: str) -> str:
    """How `name` ended last, such as "exit status 1" or "terminated by SIGSEGV"; "" where that is not known."""
    try:
        with supervisor_log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:  # a full disk took it, or the run has just begun
        return ""
    return last_exit_in(text, name)


def last_exit_in(text: str, name: str) -> str:
    """As `last_exit`, from the log's text."""
    found = re.findall(rf"exited: {re.escape(name)} \((exit status \d+|terminated by \w+)", text)
    return found[-1] if found else ""


def signal_words(how: str) -> str:
    """What it means that a process was "terminated by SIGSEGV"; "" if it ended otherwise."""
    if not how.startswith("terminated by "):
        return ""
    name = how.removeprefix("terminated by ")
    if name in _MEANINGS:
        return f"killed by {name}: {_MEANINGS[name]}. Its log says where every thread was"
    return f"killed by {name}" + (f": {_WITHOUT_TRACE[name]}" if name in _WITHOUT_TRACE else "")
