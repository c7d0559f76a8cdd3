"""Stops and restarts the processes of one run, and no others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import psutil

from kaimesh.config.nearest import nearest
from kaimesh.config.roles import KEEPER, ROLES, role_of
from kaimesh.contract.errors import ConfigError, MeshError, PeerError
from kaimesh.operate.local import mesh_file
from kaimesh.operate.local.mesh_file import SUPERVISOR, is_ours, supervisor_pid
from kaimesh.operate.local.supervise import ShuttingDown, Supervisor, socket_path
from kaimesh.process.run_dir import RunDir

Say = Callable[[str], None]
REMIND_S = 10.0
LEFTOVER_S = 130.0


def stop_all(run: RunDir, say: Say) -> None:
    """Ends the whole mesh in order and waits until every process has ended. If supervisord is dead, ends them by pid.

    The processes are found by their command lines, so the run's files may be damaged or gone.
    """
    living = dict(mesh_file.processes(run))
    if not living:
        say(f"nothing of {run.root.name} is running")
        return
    if SUPERVISOR in living:
        try:
            _socket_of(run).shutdown()
        except ShuttingDown:
            say("the mesh is stopping already")
        except PeerError as error:
            say(f"{error}; sending SIGTERM to supervisord, which stops the processes in order")
            _signal(living[SUPERVISOR], run, psutil.Process.terminate)
        _wait(run, living, say, None)
        return
    say("supervisord is gone; ending what it left behind")
    end_leftovers(run, living, say)


def end_leftovers(run: RunDir, living: dict[str, int], say: Say) -> None:
    """Ends processes (name to pid) whose supervisord is gone: by SIGTERM in the order of the end, then by SIGKILL."""
    for name in sorted(living, key=lambda name: _place(run, name), reverse=True):
        _signal(living[name], run, psutil.Process.terminate)
    for name in _wait(run, living, say, LEFTOVER_S):
        say(f"{name} did not end within {LEFTOVER_S:.0f} s; killing it (pid {living[name]})")
        _signal(living[name], run, psutil.Process.kill)


def _place(run: RunDir, name: str) -> int:
    """Where a process stands in the order of the end; the highest is first. A role that nothing tells of comes last."""
    known: dict[str, Any] = mesh_file.read(run).get("processes", {})
    row = ROLES.get(role_of(name))
    return int(known.get(name, {}).get("stop", row.stop if row else 0))


def stop_role(run: RunDir, role: str, say: Say) -> None:
    """Ends the processes of one kind; the rest of the mesh waits for them until a restart."""
    supervisor, names = _supervisor(run), _members(run, role)
    before = supervisor.processes()
    running = [name for name in names if before[name]["pid"] or before[name]["statename"] == "BACKOFF"]
    if not running:
        say(f"no {role} is running")
        return
    for name in running:
        supervisor.stop(name, role)
    _wait_until(lambda: [n for n in running if supervisor.processes()[n]["statename"] != "STOPPED"], run, say, running)


def restart_role(run: RunDir, role: str, say: Say) -> None:
    """Ends the processes of one kind, where they run, and starts all of them."""
    supervisor, names = _supervisor(run), _members(run, role)
    stop_role(run, role, say)
    for name in names:
        supervisor.start(name, role)
        say(f"{name} starts")


def _supervisor(run: RunDir) -> Supervisor:
    if not supervisor_pid(run):
        state = mesh_file.read(run).get("state", "never started")
        raise MeshError(
            f"{run.root.name} is not running ({state}), so there is nothing to change; tools/start.sh --resume starts "
            "it again."
        )
    return _socket_of(run)


def _socket_of(run: RunDir) -> Supervisor:
    """The run's supervisord: its socket as mesh.json says, else where a start from here would put it."""
    return Supervisor(mesh_file.read(run).get("supervisor", {}).get("socket") or socket_path(run))


def _members(run: RunDir, role: str) -> list[str]:
    processes: dict[str, Any] = mesh_file.read(run).get("processes", {})
    names = [name for name, process in processes.items() if process["role"] == role != KEEPER.name]
    if not names:
        have = sorted({process["role"] for process in processes.values()} - {KEEPER.name})
        raise ConfigError(
            f"{run.root.name} has no {role}{nearest(role, have)}, so nothing was changed. It has: "
            f"{', '.join(have) or 'nothing that its mesh.json names'}. Name one of these."
        )
    return names


def _wait(run: RunDir, living: dict[str, int], say: Say, limit_s: float | None) -> list[str]:
    def left() -> list[str]:
        return [name for name, pid in living.items() if is_ours(pid, run)]

    return _wait_until(left, run, say, list(living), limit_s)


def _wait_until(
    left: Callable[[], list[str]], run: RunDir, say: Say, names: Iterable[str], limit_s: float | None = None
) -> list[str]:
    """Waits until `left` is empty, or for `limit_s`; returns who is left then.

    Says of each name when it has ended, and every ten seconds who is waited for.
    """
    start = reminded = time.monotonic()
    waiting = list(names)
    while waiting:
        still = left()
        for name in [name for name in waiting if name not in still]:
            say(f"{name} ended{_how(run, name)} after {time.monotonic() - start:.1f} s")
        waiting = still
        if limit_s is not None and time.monotonic() - start > limit_s:
            break
        if waiting and time.monotonic() - reminded > REMIND_S:
            reminded = time.monotonic()
            say(f"waiting for {', '.join(waiting)}")
        if waiting:
            time.sleep(0.1)
    return waiting


def _how(run: RunDir, name: str) -> str:
    status = run.statuses().get(name)
    if name == SUPERVISOR or status is None:
        return ""
    if status.get("state") == "failed":
        return f" ({status.get('blocked_on') or 'its log has the reason'})"
    return "" if status.get("state") == "done" else " (not cleanly)"


def _signal(pid: int, run: RunDir, send: Callable[[psutil.Process], None]) -> None:
    if is_ours(pid, run):
        try:
            send(psutil.Process(pid))
        except psutil.NoSuchProcess:
            return
