"""A program whose environment ends the process: what is said, and that it is never a success."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("return 0", 0, ""),
        ("return 5", 5, ""),
        ("sys.exit(2)", 2, ""),
        ("sys.exit('words')", 1, "words"),
        ("raise ValueError('marked')", 1, "ValueError: marked"),
        ("os._exit(0)", 3, "prog: ended with exit code 0 before its work was done: something inside called exit"),
        ("os._exit(7)", 7, "prog: ended with exit code 7 before"),
        ("os._exit(70)", 70, ""),  # a watch has said why
        ("ctypes.CDLL(None).exit(0)", 3, "prog: ended with exit code 0 before"),
        ("ctypes.string_at(0)", 139, "prog: killed by SIGSEGV: a segmentation fault in native code. The lines above"),
        ("ctypes.CDLL(None).abort()", 134, "prog: killed by SIGABRT"),
        ("os.kill(os.getpid(), 9)", 137, "prog: killed by SIGKILL: somebody killed it"),
        ("os.kill(os.getppid(), 15); time.sleep(9)", 143, ""),  # is passed on
        ("os.fork() or time.sleep(1)\nos._exit(0)", 3, "prog: ended with exit code 0"),  # a grandchild holds the pipe
    ],
)
def test_how_it_ends(body: str, code: int, said: str) -> None:
    text = (
        "import ctypes, os, sys, time\nfrom kaimesh.guarded import guarded\n"
        f"def main():\n{textwrap.indent(body, '    ')}\n"
        "sys.exit(guarded(main, 'prog'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert bool(done.stderr) == bool(said)


@pytest.mark.parametrize("traced", [False, True])
def test_a_debugger_stays_with_what_it_debugs(traced: bool) -> None:
    text = (
        f"import os, sys\nfrom kaimesh.guarded import guarded\nsys.settrace((lambda *_: None) if {traced} else None)\n"
        "here = os.getpid()\nsys.exit(guarded(lambda: 5 + (os.getpid() == here), 'prog'))"
    )
    done = subprocess.run([sys.executable, "-c", text], cwd=ROOT, timeout=60, check=False)
    assert done.returncode == 5 + traced
