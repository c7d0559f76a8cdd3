"""A wall clock that a test sets, for processes of its own. The host's is not touched."""

from __future__ import annotations

from pathlib import Path

# gRPC gives the times that it computes to code in C, which reads the host's clock: it sees the host's time.
AHEAD = """
import os, sys, time
_path, _time, _time_ns = os.environ["TEST_CLOCK"], time.time, time.time_ns
def _ahead():
    if sys._getframe(2).f_globals.get("__name__", "").startswith("grpc."):
        return 0.0
    try:
        with open(_path) as file:
            return float(file.read())
    except (OSError, ValueError):
        return 0.0
time.time = lambda: _time() + _ahead()
time.time_ns = lambda: _time_ns() + int(_ahead() * 1e9)
"""


class Clock:
    """The wall clock of the Python processes that are started with `environ`."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(AHEAD)
        self._file = folder / "ahead"
        environ["PYTHONPATH"] += f":{folder}"
        environ["TEST_CLOCK"] = str(self._file)
        self.set(0.0)

    def set(self, ahead_s: float) -> None:
        """By so much it is ahead of the host's from now on."""
        whole = self._file.with_suffix(".new")
        whole.write_text(str(ahead_s))
        whole.replace(self._file)
