"""The process that builds an environment for `start`.

It is begun first, so that its imports run beside the command line's.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress

from kaimesh import ROOT

_begun: list[Builder] = []


class Builder:
    """A running `python -m kaimesh.aisrv.check`, which waits for its request on stdin.

    It ends when this process ends.
    """

    def __init__(self) -> None:
        self.said = os.fdopen(os.memfd_create("said"), "w+b")  # needs no disk
        self.answer, writer = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kaimesh.aisrv.check", str(writer)],
            stdin=subprocess.PIPE,
            stdout=self.said,
            stderr=self.said,
            pass_fds=(writer,),
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,
        )
        os.close(writer)

    def request(self, text: str) -> None:
        """Sends what to build (JSON); once."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError), self.process.stdin as pipe:
            pipe.write(text.encode())

    def close(self) -> None:
        """Kills it with its children."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.said.close()
        os.close(self.answer)


def begin(words: list[str]) -> None:
    """Begins one where these words of the command line are a `start`, which takes it over with `take`."""
    if words[:1] == ["start"] and "--help" not in words:
        _begun.append(Builder())


def take() -> Builder:
    """The one that `begin` began, else a new one."""
    return _begun.pop() if _begun else Builder()
