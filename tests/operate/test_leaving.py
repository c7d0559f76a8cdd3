"""Commands whose reader or terminal leaves: `| head`, Ctrl-C, SIGTERM, SIGHUP; with real pipes and signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import pytest

from kaimesh.arena.recording import Recording
from kaimesh.process.command import EXIT_PIPE
from kaimesh.process.run_dir import RunDir
from tests.forks import LIGHT, Fork
from tests.harness import ROOT, wait_until

DEADLINE_S = 60.0
QUIET = ("Traceback", "Error", "Exception ignored")  # what nobody wants to see who has left
CLI, EVALUATE = ("-m", "kaimesh.operate.cli"), ("-m", "kaimesh.arena.evaluate")
PLAYED = (*EVALUATE, "--model", "random", "--app", "catch", "--episodes")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that has ended, in `runs`, and a recording, `episode.json`."""
    folder = tmp_path_factory.mktemp("leaving")
    run = RunDir.create(folder / "runs", "catch", "ppo")
    run.conf.write_text('[app]\napp = "catch"\n')
    processes = {"learner_0": {"role": "learner", "address": "", "stop": 1}}
    mesh = {"run": str(run.root), "state": "ended", "reason": "max_seconds", "processes": processes}
    run.mesh.write_text(json.dumps({**mesh, "start": "0", "commit": "", "started": 1.0, "limits": {}}))
    (run.logs / "learner_0.log").write_text("".join(f"line {number}\n" for number in range(20_000)))
    history = [json.dumps({"time": 1.0 + t, "return_mean_100": 1.0, "env_steps_per_s": 2.0}) for t in range(9)]
    (run.root / "history.jsonl").write_text("\n".join(history))
    Recording("catch", {}, 0, 1, np.ones(9, np.int64), -1.0, "nobody").save(folder / "episode.json")
    return folder


def begin(place: Path, words: Sequence[str], stdout: int = subprocess.PIPE) -> Fork:
    environ = {**os.environ, "runs_dir": str(place / "runs"), "KAIMESH_FROM": str(place)}
    return LIGHT.popen(words, env=environ, stdout=stdout, stderr=subprocess.PIPE, start_new_session=True)


class Piped(NamedTuple):
    """A command that prints. end: its exit code where nobody reads what it prints."""

    words: tuple[str, ...]
    end: int = EXIT_PIPE


PIPED = [
    Piped((*CLI, "status", "--json")),
    Piped((*CLI, "logs", "-n", "20000")),
    Piped((*CLI, "logs", "-f")),
    Piped((*CLI, "stop", "all"), 0),  # it is not left half-way
    Piped((*PLAYED, "400", "--json")),
    Piped(("-m", "kaimesh.config")),
]
MORE = [
    Piped((*CLI, "status")),
    Piped((*CLI, "stop", "--help")),
    Piped((*PLAYED, "2")),
    Piped((*EVALUATE, "--help")),
    Piped(("-m", "kaimesh.arena.replay", "episode.json")),
    Piped(("-m", "kaimesh.arena.curve", "{place}/runs/latest", "-o", "{place}/curve.png")),
    Piped(("-m", "kaimesh", "config", "docs")),
    Piped(("-m", "kaimesh", "evaluate", *PLAYED[2:], "2")),
    Piped(("-m", "benchmarks.bare", "--help")),
]


@pytest.mark.parametrize("commands", [PIPED, pytest.param(MORE, marks=pytest.mark.long)], ids=["some", "more"])
def test_what_nobody_reads_ends_without_a_word(place: Path, commands: list[Piped]) -> None:
    def leave(command: Piped) -> str:
        reader, writer = os.pipe()
        os.close(reader)
        child = begin(place, [word.replace("{place}", str(place)) for word in command.words], writer)
        os.close(writer)
        said = child.communicate(DEADLINE_S)[1]
        told = [word for word in QUIET if word in said]
        return "" if child.wait() == command.end and not told else f"{command}: exit {child.wait()}: {said}"

    os.chdir(ROOT)
    with ThreadPoolExecutor(2) as pool:
        assert not [wrong for wrong in pool.map(leave, commands) if wrong]


def test_head_reads_a_line_and_the_rest_is_not_missed(place: Path) -> None:
    child = begin(place, (*CLI, "logs", "-f", "-n", "20000"))
    assert child.stdout is not None
    assert child.stdout.readline() == "line 0\n"
    child.stdout.close()
    assert child.wait(DEADLINE_S) == EXIT_PIPE
    assert child.stderr is not None
    assert child.stderr.read() == ""


class Ended(NamedTuple):
    """A command that goes on, and its exit code after a signal."""

    words: tuple[str, ...]
    number: signal.Signals
    end: int


ENDLESS = (*EVALUATE, "--model", "random", "--episodes", "2", "--app", "tests.arena.fake:Endless", "--max-steps", "0")
ENDED = [
    *(Ended(ENDLESS, number, 128 + number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)),
    Ended((*CLI, "logs", "-f"), signal.SIGINT, 0),
    Ended((*CLI, "logs", "-f"), signal.SIGTERM, -signal.SIGTERM),
]


@pytest.mark.parametrize("command", ENDED, ids=lambda command: f"{command.words[2]}-{command.number.name}")
def test_a_signal_ends_it_without_a_word_and_leaves_nobody(place: Path, tmp_path: Path, command: Ended) -> None:
    if signal.getsignal(command.number) is signal.SIG_IGN:
        pytest.skip(f"{command.number.name} is ignored here, as under nohup, and so in every process that is started")
    pid = tmp_path / "pid"
    plays = command.words is ENDLESS
    child = begin(place, (*command.words, *(["--env-conf", f"pid={pid}"] if plays else [])))
    if plays:
        wait_until(pid.exists, DEADLINE_S, "the environment's own process")
    else:
        assert child.stdout is not None
        child.stdout.readline()
    child.send_signal(command.number)
    _, said = child.communicate(DEADLINE_S)
    assert child.wait() == command.end, said
    assert not [word for word in QUIET if word in said], said
    if plays:
        assert not psutil.pid_exists(int(pid.read_text()))


@pytest.mark.parametrize(("module", "library"), [("kaimesh.arena.evaluate", "numpy"), ("kaimesh", "pydantic_core")])
def test_ctrl_c_while_it_imports_its_libraries(module: str, library: str) -> None:
    """In a fresh interpreter, as a person's."""
    child = subprocess.Popen([sys.executable, "-m", module, "--help"], cwd=ROOT, stderr=subprocess.PIPE, text=True,
                             stdout=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
    maps = Path(f"/proc/{child.pid}/maps")
    wait_until(lambda: child.poll() is not None or library in maps.read_text(), DEADLINE_S, "its imports")
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=DEADLINE_S)
    assert (child.returncode in (-signal.SIGINT, 128 + signal.SIGINT), said) == (True, "")
