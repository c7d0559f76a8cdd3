"""Runs one process of the mesh as the only work of a container.

It starts the process, passes signals on, and ends with it, so that the engine restarts the container. Two things it
does itself. A process that is done, or that would only end again (wrong configuration, an error in the user's code), is
not restarted: the container stays, unhealthy, and its log says why. And when `docker compose up` has found another
configuration or agent, the process is started anew.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO

from kaimesh.config import App, load
from kaimesh.config.roles import ROLES, Role
from kaimesh.contract.errors import EXIT_AGENT, EXIT_CONFIG, EXIT_OK, ConfigError
from kaimesh.contract.json_text import json_text
from kaimesh.operate.cluster import places
from kaimesh.operate.cluster.probe import last_status
from kaimesh.operate.cluster.replica import index
from kaimesh.operate.frozen import Frozen
from kaimesh.operate.local.keeper.rules import SILENT
from kaimesh.process.documents import read_json
from kaimesh.process.logs import JsonLines

FINAL = (EXIT_OK, EXIT_CONFIG, EXIT_AGENT)  # as for supervisord: done, or the same again after a restart
_PERIOD_S = 0.5
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def command(role: str, replica: int) -> list[str]:
    """The process's command line. Raises ConfigError: there is no such role."""
    if role == places.TENSORBOARD:
        where = ["--logdir", str(places.CURVES), "--host", "0.0.0.0", "--port", str(places.CURVES_PORT)]
        return [sys.executable, "-m", "tensorboard.main", *where, "--load_fast", "false"]
    paths = ["--conf", str(places.conf()), "--runs", str(places.RUNS)]
    return [sys.executable, "-m", _row(role).package, *paths, "--index", str(replica)]


def _row(name: str) -> Role:
    """The role of that name. Raises ConfigError: there is none that runs in containers."""
    row = ROLES.get(name) or places.roles().get(name)
    if row is None or row.home == "supervisord":
        have = ", ".join([role for role, row in places.roles().items() if row.home != "supervisord"])
        raise ConfigError(
            f"no process is called {name!r}, so this container has nothing to run; there are: {have}, "
            f"{places.TENSORBOARD}. Correct its `command`, or add [roles.{name}] to the configuration."
        )
    return row


def cpus(quota: Path = _QUOTA) -> int | None:
    """Whole cores that the container may use, at least one; None: no limit is set."""
    try:
        limit, period = quota.read_text().split()
    except (OSError, ValueError):
        return None
    return None if limit == "max" else max(1, int(limit) // int(period))


def environment(role: str) -> dict[str, str]:
    """The process's variables. If the container may use fewer cores than the machine has, they limit its threads."""
    found, cores = dict(os.environ), cpus()
    key = ROLES[role].threads if role in ROLES else ""
    if key and cores and cores < (os.cpu_count() or 1) and key not in found:
        found[key] = str(cores)
    return found


class Container:
    """Runs the process of one role, again and again."""

    def __init__(self, role: str, replica: int) -> None:
        self.role, self.name, self._replica = role, f"{role}_{replica}", replica
        self._lines = JsonLines(self.name, os.environ.get("KAIMESH_RUN", ""))
        self._told: int | None = None
        self._generation = _generation()
        self._child: subprocess.Popen[bytes] | None = None

    def run(self) -> int:
        """Runs until a signal, or until the process ends in a way that a restart may mend; returns the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._pass_on)
        while True:
            code = self._live()
            if self._told is not None or code not in FINAL:
                return code if code >= 0 else 128 - code
            if not self._wait_for_another_generation(code):
                return EXIT_OK

    def _live(self) -> int:
        """Runs the process once; ends it early, and runs it again, when there is another generation."""
        child = self._child = subprocess.Popen(
            command(self.role, self._replica),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment(self.role),
        )
        assert child.stdout is not None
        places.CHILD.write_text(json_text({"name": self.name, "pid": child.pid}))
        pump = threading.Thread(target=self._pump, args=(child.stdout,), daemon=True)
        pump.start()
        frozen = Frozen.by(_app(), places.RUNS)
        told_to_renew = False
        while child.poll() is None:
            if self._told is not None:
                child.send_signal(self._told)  # the signal may have come before the process was started
                child.wait()
            elif not told_to_renew and self._is_renewed():
                self._say("INFO", "the configuration or the agent changed: starting anew")
                told_to_renew = True
                child.terminate()
            else:
                _wait(child, _PERIOD_S)
                self._look(frozen, child.pid)
        pump.join(5.0)
        if told_to_renew and self._told is None:
            return self._live()
        return child.returncode

    def _look(self, frozen: Frozen, pid: int) -> None:
        """Ends the process if it does not run at all, as the keeper does where there is one."""
        if why := frozen.look(self.name, pid, last_status(places.RUNS, self.name, time.time())):
            self._say("ERROR", f"{self.name} {why}")

    def _wait_for_another_generation(self, code: int) -> bool:
        if code != EXIT_OK:
            level, words = "ERROR", f"ended with {code}, which a restart would only repeat"
        elif self._was_done():
            level, words = "INFO", "is done"
        else:
            level, words = "ERROR", f"failed: {SILENT}"
        self._say(level, f"{self.name} {words}; the container waits for another configuration")
        while self._told is None:
            if self._is_renewed():
                return True
            time.sleep(_PERIOD_S)
        return False

    def _was_done(self) -> bool:
        """Whether the process that ended with exit code 0 had finished its work, or was told to end."""
        assert self._child is not None
        said = last_status(places.RUNS, self.name, time.time())
        of_this_life = said.get("pid") == self._child.pid
        return self.role == places.TENSORBOARD or (of_this_life and (said.get("state") == "done" or "signal" in said))

    def _is_renewed(self) -> bool:
        generation = _generation()
        if generation in ("", self._generation):
            return False
        self._generation = generation
        return True

    def _pass_on(self, number: int, _frame: object) -> None:
        self._told = number

    def _pump(self, stream: IO[bytes]) -> None:
        """Prints the process's lines; those that are no log lines of its own (from C++, for instance) are made such."""
        for raw in stream:
            line = raw.decode(errors="replace").rstrip("\n")
            if not (line.startswith("{") and line.endswith("}")):
                line = self._lines.line("RAW", line, time.time())
            print(line, flush=True)

    def _say(self, level: str, message: str) -> None:
        print(self._lines.line(level, message, time.time()), flush=True)


def serve(role: str) -> int:
    """Runs `role` until the container is told to stop."""
    try:
        command(role, 0)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIG
    return Container(role, index()).run()


def crash() -> int:
    """Kills this container's process as a fault would, without a chance to end cleanly."""
    os.kill(int(read_json(places.CHILD)["pid"]), signal.SIGKILL)
    return EXIT_OK


def _app() -> App:
    """The keys, for the limits in them; the process itself says what is wrong with a configuration."""
    try:
        return load(places.conf()).app
    except ConfigError:
        return App.model_validate({})


def _generation() -> str:
    try:
        return places.GENERATION.read_text()
    except OSError:
        return ""


def _wait(child: subprocess.Popen[bytes], timeout_s: float) -> None:
    try:
        child.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return
