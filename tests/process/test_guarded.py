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
        pytest.param("return 5", 5, "", marks=pytest.mark.long),
        pytest.param("sys.exit(2)", 2, "", marks=pytest.mark.long),
        ("sys.exit('words')", 1, "words"),
        ("raise ValueError('marked')", 1, "ValueError: marked"),
        ("os._exit(0)", 3, "prog: ended with exit code 0 before its work was done: something inside it called exit"),
        pytest.param("os._exit(7)", 7, "prog: ended with exit code 7 before", marks=pytest.mark.long),
        ("os._exit(70)", 70, ""),  # a watch has said why
        pytest.param("ctypes.CDLL(None).exit(0)", 3, "prog: ended with exit code 0 before", marks=pytest.mark.long),
        ("ctypes.string_at(0)", 139, "prog: killed by SIGSEGV: a segmentation fault in compiled code. The lines above"),
        pytest.param("ctypes.CDLL(None).abort()", 134, "prog: killed by SIGABRT", marks=pytest.mark.long),
        pytest.param(
            "os.kill(os.getpid(), 9)", 137, "prog: killed by SIGKILL: somebody killed it", marks=pytest.mark.long
        ),
        pytest.param("sys.stdout.close(); return 5", 5, "", marks=pytest.mark.long),
        ("sys.stdout.close(); return 0", 1, ""),  # whatever was to be said there is lost
        ("os.kill(os.getppid(), 15); time.sleep(9)", 143, ""),  # is passed on
        ("os.kill(os.getppid(), 2); time.sleep(9)", 130, ""),
        pytest.param(
            "os.kill(os.getppid(), 2)\ntry:\n    time.sleep(9)\nexcept KeyboardInterrupt:\n    time.sleep(60)",
            130,
            "",
            marks=pytest.mark.long,
        ),  # a library swallows it
        pytest.param(
            "os.fork() or time.sleep(1)\nos._exit(0)", 3, "prog: ended with exit code 0", marks=pytest.mark.long
        ),  # a grandchild holds the pipe
    ],
)
def test_how_it_ends(body: str, code: int, said: str) -> None:
    text = (
        "import ctypes, os, sys, time\nfrom kaimesh.process.guarded import guarded\n"
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
        f"import os, sys\nfrom kaimesh.process.guarded import guarded\nsys.settrace((lambda *_: None) if {traced} else "
        "None)\n"
        "here = os.getpid()\nsys.exit(guarded(lambda: 5 + (os.getpid() == here), 'prog'))"
    )
    done = subprocess.run([sys.executable, "-c", text], cwd=ROOT, timeout=60, check=False)
    assert done.returncode == 5 + traced
