"""Looks at a package as whoever gets it would, and tells each step, and of the one that failed the log."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from kaimesh import ROOT
from kaimesh.contract.errors import EXIT_CRASH, EXIT_OK
from kaimesh.operate.cli.logs import tail
from kaimesh.operate.package.reading import lacks, unpack
from kaimesh.operate.package.trial import STEPS

Say = Callable[[str], None]
_LONGEST_S = 1800.0
_LOG_LINES = 60
# What each step is called where it was not done.
_WORDS = {
    "reads": "its configuration",
    "imports": "importing the agent, and making one",
    "loads": "loading its model",
    "predicts": "playing by its workflow, with predict and learn",
}


def verify(package: Path, say: Say) -> int:
    """Unpacks it into an empty folder, imports it, loads its model and plays. Returns the exit code.

    Its code is run as it is, with your rights. Raises ConfigError: it cannot be unpacked.
    """
    with tempfile.TemporaryDirectory(prefix="kaimesh-package-") as place:
        folder, runs, steps = Path(place, "code"), Path(place, "runs"), Path(place, "steps")
        folder.mkdir()
        say(f"ok      unpacks: {unpack(package, folder)} files")
        if missing := lacks(folder):
            for words in missing:
                say(f"failed  is complete: {words}")
            return EXIT_CRASH
        say("ok      is complete: configuration, model, and the model's digest")
        log = Path(place, "log")
        code = _tried(folder, runs, steps, log)
        done = dict(line.split(" ", 1) for line in steps.read_text().splitlines()) if steps.exists() else {}
        for step in STEPS:
            if step in done:
                say(f"ok      {step}: {done[step]}")
        if code == EXIT_OK:
            return EXIT_OK
        failed = next((step for step in STEPS if step not in done), STEPS[-1])
        say(f"failed  {failed}: {_WORDS[failed]} (exit code {code}). The end of its log:")
        for line in tail(log, _LOG_LINES):
            say(f"  {line.replace(str(folder), package.name)}")
        return EXIT_CRASH


def _tried(folder: Path, runs: Path, steps: Path, log: Path) -> int:
    """The exit code of the trial, whose output is in `log`."""
    words = [sys.executable, "-m", "kaimesh.operate.package.trial", str(folder), str(runs), str(steps)]
    with log.open("wb") as file:
        try:
            done = subprocess.run(
                words, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=file, stderr=file, timeout=_LONGEST_S, check=False
            )
        except subprocess.TimeoutExpired:
            file.write(f"it was ended after {_LONGEST_S:.0f} s\n".encode())
            return EXIT_CRASH
    return done.returncode
