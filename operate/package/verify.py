"""Looks at a package as whoever gets it would, and tells each step, and of the one that failed the log."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from kaimesh import ROOT
from kaimesh.config.code import Code
from kaimesh.config.code.generation import G1
from kaimesh.contract.errors import EXIT_CRASH, EXIT_OK
from kaimesh.operate.cli.logs import tail
from kaimesh.operate.package.contents import CKPT
from kaimesh.operate.package.reading import lacks, unpack
from kaimesh.operate.package.trial import STEPS

Say = Callable[[str], None]
_LONGEST_S = 1800.0
_LOG_LINES = 60
_EVALUATE = "kaimesh.arena.evaluate"  # by name, for the arena is a house of its own
_EVALUATED = (G1,)  # generations whose agents it plays
_MOST_STEPS = 200
# What each step is called where it was not done.
_WORDS = {
    "reads": "its configuration",
    "imports": "importing the agent, and making one",
    "loads": "loading its model",
    "predicts": "playing by its workflow, with predict and learn",
    "exploits": "playing as an evaluation does, with exploit",
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
        code = _run(log, "kaimesh.operate.package.trial", folder, runs, steps)
        done = dict(line.split(" ", 1) for line in steps.read_text().splitlines()) if steps.exists() else {}
        for step in STEPS:
            if step in done:
                say(f"ok      {step}: {done[step]}")
        failed = next((step for step in STEPS if step not in done), STEPS[-1])
        if code == EXIT_OK and Code.read(folder).generation in _EVALUATED:
            failed = "exploits"
            limits = ("--episodes", 1, "--max-steps", _MOST_STEPS, "--compare", 0)
            code = _run(log, _EVALUATE, "--code", folder, "--model", folder / CKPT, *limits)
            if code == EXIT_OK:
                say(f"ok      {failed}: {_MOST_STEPS} steps at most, as an evaluation plays")
        if code == EXIT_OK:
            return EXIT_OK
        say(f"failed  {failed}: {_WORDS[failed]} (exit code {code}). The end of its log:")
        for line in tail(log, _LOG_LINES):
            say(f"  {line.replace(str(folder), package.name)}")
        return EXIT_CRASH


def _run(log: Path, module: str, *words: object) -> int:
    """The exit code of `python -m MODULE WORDS`, whose output is in `log`."""
    with log.open("wb") as file:
        try:
            done = subprocess.run(
                [sys.executable, "-m", module, *map(str, words)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                timeout=_LONGEST_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            file.write(f"it was ended after {_LONGEST_S:.0f} s\n".encode())
            return EXIT_CRASH
    return done.returncode
