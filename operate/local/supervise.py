"""supervisord, which runs the processes of one machine: its configuration, its start, and calls to it (XML-RPC).

It restarts processes that end unexpectedly, with back-off, and rotates the logs. When it ends it stops one role after
the other, in the order of the roles table. It starts only the keeper; the keeper has it start the others.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import shlex
import socket
import stat
import subprocess
import sys
import tempfile
import xmlrpc.client
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kaimesh import ROOT
from kaimesh.config import App, Config
from kaimesh.config.check import is_local
from kaimesh.config.roles import KEEPER, Role, addresses_of
from kaimesh.contract.errors import EXIT_AGENT, EXIT_CONFIG, EXIT_OK, MeshError, PeerError
from kaimesh.process import documents
from kaimesh.process.run_dir import SUPERVISORD_OUT, RunDir

EXPECTED_EXITS = (EXIT_OK, EXIT_CONFIG, EXIT_AGENT)  # not restarted: done, or the same again after a restart
SUPERVISORD = "supervisord.conf"
RPC_TIMEOUT_S = 10.0
SHUTDOWN_FAULT = 6  # supervisord answers every call with it while it shuts down


class Program(NamedTuple):
    """One process: `name` is role_number, `address` its main port ("" where it has none)."""

    name: str
    role: Role
    number: int
    address: str = ""

    @property
    def entry(self) -> dict[str, Any]:
        """What mesh.json says of it from the start on."""
        return {"role": self.role.name, "address": self.address, "stop": self.role.stop}


def programs(config: Config) -> list[Program]:
    """The processes of this machine, keeper first. An address of another machine has its process there."""
    return [
        Program(f"{role.name}_{number}", role, number, address)
        for role in config.roles_here
        for number, address in _each(role, config.app)
    ]


def _each(role: Role, app: App) -> Iterator[tuple[int, str]]:
    """The numbers and main addresses of a role's processes on this machine."""
    if addresses := addresses_of(role, app):
        main = next(iter(addresses.values()))
        yield from ((number, address) for number, address in enumerate(main) if is_local(address))
    else:
        count = getattr(app, role.count) if isinstance(role.count, str) else role.count
        yield from ((number, "") for number in range(count))


def command(program: Program, run: RunDir) -> list[str]:
    """The command line of one process. `stop` finds a run's processes by the run's directory in it."""
    paths = ["--conf", str(run.conf), "--run-dir", str(run.root)]
    launcher = ["kaimesh.operate.local.own"] if program.role.own else []
    return [sys.executable, "-m", *launcher, program.role.package, *paths, "--index", str(program.number)]


def socket_path(run: RunDir) -> Path:
    """The path of supervisord's socket, in a folder of this user's: in the run's it could be longer than 107 bytes."""
    folder = Path(tempfile.gettempdir()) / f"kaimesh-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    state = folder.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid() or stat.S_IMODE(state.st_mode) & 0o077:
        raise MeshError(
            f"{folder} must be a folder that only you can enter; whoever else can would control the mesh. Remove it, "
            "or set TMPDIR to another place."
        )
    return folder / f"{hashlib.sha256(str(run.root).encode()).hexdigest()[:16]}.sock"


Command = Callable[[Program, RunDir], list[str]]


def configuration(config: Config, run: RunDir, socket_file: Path, command_of: Command = command) -> str:
    """The text of the run's supervisord.conf."""
    everything = programs(config)
    sections = [
        _section("unix_http_server", file=socket_file, chmod="0700"),
        _section("rpcinterface:supervisor", **{"supervisor.rpcinterface_factory": _RPC_FACTORY}),
        _section(
            "supervisord",
            nodaemon="true",
            logfile=run.logs / "supervisord.log",
            logfile_maxbytes=1_000_000,
            logfile_backups=1,
            pidfile=run.root / "supervisord.pid",
            directory=ROOT,
            **({"user": "root"} if os.getuid() == 0 else {}),
        ),
    ]
    for role in sorted(config.roles.values(), key=lambda role: role.stop):  # the highest priority is stopped first
        if members := [program.name for program in everything if program.role == role]:
            sections.append(_section(f"group:{role.name}", programs=",".join(members), priority=role.stop))
    sections += [_program(config.app, run, program, command_of) for program in everything]
    return "\n".join(sections)


_RPC_FACTORY = "supervisor.rpcinterface:make_main_rpcinterface"


def _program(app: App, run: RunDir, program: Program, command_of: Command) -> str:
    keeper = program.role == KEEPER
    return _section(
        f"program:{program.name}",
        process_name=program.name,
        command=shlex.join(command_of(program, run)),
        directory=ROOT,
        autostart=str(keeper).lower(),
        autorestart="true" if keeper else "unexpected",
        exitcodes=",".join(map(str, EXPECTED_EXITS)),
        startsecs=1,
        startretries=20 if keeper else app.max_restarts,  # each try waits one second longer
        stopwaitsecs=int(app.watchdog_seconds) + 10,  # the process's own watchdog is to end it first
        stopasgroup="false",
        killasgroup="true",
        redirect_stderr="true",
        stdout_logfile=run.logs / f"{program.name}.log",
        stdout_logfile_maxbytes=app.log_max_bytes,
        stdout_logfile_backups=app.log_backups,
    )


def _section(name: str, **values: Any) -> str:
    """One section. Raises MeshError: a value contains a line break."""
    if broken := [f"{key} = {value!r}" for key, value in values.items() if len(str(value).splitlines()) > 1]:
        raise MeshError(f"{broken[0]}: no path may hold a line's end; nothing was started. Rename that folder.")
    lines = (
        f"{key}={value}" for key, value in values.items()
    )  # without escapes: see kaimesh.operate.local.supervisord
    return "\n".join([f"[{name}]", *lines, ""])


def launch(
    config: Config, run: RunDir, socket_file: Path, environ: Mapping[str, str], command_of: Command = command
) -> subprocess.Popen[bytes]:
    """Starts supervisord in a session of its own, so that Ctrl-C does not reach it, and does not wait for it.

    environ: variables for its processes besides the user's own. Raises OSError.
    """
    conf = run.root / SUPERVISORD
    documents.write_text(conf, configuration(config, run, socket_file, command_of))
    words = [sys.executable, "-m", "kaimesh.operate.local.supervisord", "--nodaemon", "--silent", "-c", str(conf)]
    with (run.logs / SUPERVISORD_OUT).open("wb") as out:
        return subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            start_new_session=True,
            # A crash in compiled code is to leave a traceback in the log, from the first import of the process on.
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1", **environ},
        )


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=RPC_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(RPC_TIMEOUT_S)
        self.sock.connect(self._path)


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:  # noqa: ARG002
        return _Connection(self._path)


class ShuttingDown(MeshError):
    """supervisord is shutting down and accepts no more calls."""


class Supervisor:
    """Calls to supervisord. Each raises PeerError if it does not answer, ShuttingDown if it is shutting down."""

    def __init__(self, socket_file: str | Path) -> None:
        self.path = str(socket_file)

    def _call(self, method: str, *arguments: Any) -> Any:
        proxy = xmlrpc.client.ServerProxy("http://localhost", transport=_Transport(self.path))
        try:
            return getattr(proxy.supervisor, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == SHUTDOWN_FAULT:
                raise ShuttingDown("supervisord is shutting down") from fault
            raise MeshError(
                f"supervisord refused {method}{arguments}: {fault.faultString}; nothing was changed. Its log in the "
                "run's folder says why; tools/status.sh shows what runs."
            ) from fault
        except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
            raise PeerError(
                f"supervisord does not answer at {self.path}: {error}; nothing was changed. Look with tools/status.sh "
                "whether the mesh runs."
            ) from error

    def answers(self) -> bool:
        """Whether it answers."""
        try:
            self._call("getState")
        except ShuttingDown:
            return True
        except PeerError:
            return False
        return True

    def processes(self) -> dict[str, dict[str, Any]]:
        """supervisord's view by process name: statename, pid, exitstatus, spawnerr, start (s), ..."""
        return {info["name"]: info for info in self._call("getAllProcessInfo")}

    def start(self, program: str, role: str) -> None:
        """Starts one process and does not wait for it."""
        self._call("startProcess", f"{role}:{program}", False)

    def stop(self, program: str, role: str) -> None:
        """Stops one process and does not wait for it."""
        self._call("stopProcess", f"{role}:{program}", False)

    def shutdown(self) -> None:
        """Stops everything in order, then itself; returns at once."""
        self._call("shutdown")
