"""Starts a mesh from a configuration. Whatever can be checked is checked before anything is written or started."""

from __future__ import annotations

import fcntl
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from kaimesh import ROOT, typed
from kaimesh.config import Config, load
from kaimesh.config.check import is_local
from kaimesh.config.code import overlay
from kaimesh.config.load import DEFAULT_CONF
from kaimesh.config.own_roles import cannot_be_run
from kaimesh.config.packages import leading_nowhere
from kaimesh.config.reading import parse
from kaimesh.config.roles import AISRV, KEEPER, addresses_of
from kaimesh.contract.errors import ConfigError, MeshError
from kaimesh.contract.json_text import json_text
from kaimesh.operate.cli import logs as log_files
from kaimesh.operate.cli.code import code_of
from kaimesh.operate.cli.resume import check_fits, conf_of, latest
from kaimesh.operate.cli.stop import LEFTOVER_S, Say, end_leftovers
from kaimesh.operate.cli.trial import Trial
from kaimesh.operate.cli.undo import Undo, in_peace, undone_by_signals
from kaimesh.operate.local import mesh_file, supervise
from kaimesh.operate.local.mesh_file import SUPERVISOR, git_commit, supervisor_pid
from kaimesh.operate.view.totals import totals
from kaimesh.process import disk, hosting
from kaimesh.process.clocks import stamp
from kaimesh.process.documents import read_text, write_json, write_text
from kaimesh.process.run_dir import SUPERVISORD_OUT, RunDir, runs_dir
from kaimesh.wire.ports import check_ports

KEEPER_S = 120.0
END_AGAIN_S = 20.0


class Wish(NamedTuple):
    """What the user asked for. conf None: the default file; with `resume` the run's own. code: a folder of agents,
    which has its configuration itself.
    """

    conf: Path | None = None
    overrides: Mapping[str, str] = MappingProxyType({})
    resume: bool = False
    max_env_steps: int = 0
    max_seconds: float = 0.0
    code: Path | None = None


def overrides_of(app: str | None, algo: str | None, settings: list[str]) -> dict[str, str]:
    """`--app`, `--algo` and every `--set key=value` by key. Raises ConfigError: a setting without `=`."""
    found = {key: value for key, value in (("app", app), ("algo", algo)) if value is not None}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key.strip():
            raise ConfigError(
                f"--set {setting!r:.200} is not key=value, such as --set train_batch_size=32; nothing was started."
            )
        found[key.strip()] = value.strip()
    return found


def configure(wish: Wish, say: Say = lambda _text: None) -> tuple[Config, RunDir | None]:
    """The configuration, and the run to go on with (None: a new one). say: see `start`. Raises ConfigError."""
    if wish.code is not None:
        code = code_of(wish.code, wish.overrides, say)
        return _trainable(load(code.conf, wish.overrides, code=code)), None
    if not wish.resume:
        return _trainable(load(wish.conf or DEFAULT_CONF, wish.overrides)), None
    where = ROOT / parse(wish.overrides["runs_dir"], str) if "runs_dir" in wish.overrides else runs_dir(wish.conf)
    run = latest(where)
    config = _trainable(load(wish.conf or conf_of(run), wish.overrides))
    check_fits(config, run)
    return config, run


def _trainable(config: Config) -> Config:
    if config.code is None and (nowhere := leading_nowhere(config.algo.names)):
        raise ConfigError(
            f"{config.app.algo_conf}, [{config.algo.name}] names what is not there, so nothing was started:\n  "
            + "\n  ".join(nowhere)
        )
    if wrong := cannot_be_run(config.roles):
        raise ConfigError(f"{config.source} names what cannot be run, so nothing was started:\n  " + "\n  ".join(wrong))
    return config


def elsewhere(config: Config) -> list[str]:
    """The processes that this machine does not start although the configuration names them, in words."""
    if config.app.wrapper_type == "local":
        return [
            f"[roles.{name}] is not started: with wrapper_type = local there is no other process than {AISRV.name}"
            for name, role in config.roles.items()
            if role.own
        ]
    roles = [role for role in config.roles.values() if role.home != "containers"]
    mains = [next(iter(found.items())) for role in roles if (found := addresses_of(role, config.app))]
    return [
        f"{key}: {address} is another machine; that process must be started there"
        for key, group in mains
        for address in group
        if not is_local(address)
    ]


def start(config: Config, resumed: RunDir | None, wish: Wish, say: Say) -> RunDir:
    """Starts the mesh; returns when supervisord and the keeper are up.

    say: called with what the user should know meanwhile. Raises ConfigError, MeshError: nothing was changed.
    """
    runs = ROOT / config.app.runs_dir
    with undone_by_signals():
        _refuse_a_second(runs, supervisor_pid)
        trial = Trial(config, resumed, wish.conf or (resumed.conf if resumed else DEFAULT_CONF), wish.overrides)
        try:
            commit = git_commit()
            if note := trial.verdict():
                say(note)
        finally:
            trial.close()
        try:
            with _alone(runs, say):
                _make_way(runs, say)
                check_ports(config)
                limits = {"max_env_steps": wish.max_env_steps, "max_seconds": wish.max_seconds}
                now = stamp()
                learned = totals(resumed.statuses(), now["time"]).learner_steps if resumed else 0
                order: dict[str, Any] = {"start": secrets.token_hex(8), "commit": commit, "limits": limits}
                order |= {"started": now["time"], **now, "learner_steps_before": learned}
                return _begin(config, resumed, order)
        except OSError as error:
            raise MeshError(_words(error, runs)) from error


def _begin(config: Config, resumed: RunDir | None, order: dict[str, Any]) -> RunDir:
    """Writes the run's files and starts supervisord; returns when the keeper is up.

    If that fails, restores everything.
    """
    run = resumed or RunDir.make(ROOT / config.app.runs_dir, config.app.app, config.app.algo)
    undo = Undo(run, new=resumed is None)
    supervisord: subprocess.Popen[bytes] | None = None
    try:
        run.repair()
        run.prepare()
        run.reserve()
        write_text(run.conf, config.to_toml())
        if config.code is not None and config.code.root.is_dir():
            overlay.make(config.code.root, run.root / overlay.FOLDER)
            hosting.record(config, run)
        if run.result.exists():
            run.result.rename(run.result.with_name(f"result-{time.strftime('%Y%m%d-%H%M%S')}.json"))
        mesh = mesh_file.new(run, config, order)
        write_json(
            run.mesh, mesh, durable=True
        )  # the keeper, which supervisord starts, reads it and from then on writes it
        environ = {mesh_file.START_VARIABLE: json_text(order)}
        run.become_latest()  # before supervisord starts: if this process is killed then, `stop` still finds the mesh
        supervisord = supervise.launch(config, run, supervise.socket_path(run), environ)
        _wait_for_the_keeper(run, supervisord)
    except BaseException:
        with in_peace():
            if supervisord is not None:
                _end_again(run, supervisord)
            undo()
        raise
    return run


def _wait_for_the_keeper(run: RunDir, supervisord: subprocess.Popen[bytes]) -> None:
    """Waits until the keeper has written mesh.json. Raises MeshError: it does not come up."""
    deadline = time.monotonic() + KEEPER_S
    while mesh_file.read(run).get("supervisor", {}).get("pid") != supervisord.pid:
        code = supervisord.poll()
        if code == 0:
            raise MeshError("the mesh was stopped before it was up; everything is as it was before.")
        if code is not None or time.monotonic() > deadline:
            why = f"did not come up within {KEEPER_S:.0f} s" if code is None else f"ended (exit code {code})"
            said = read_text(run.logs / SUPERVISORD_OUT)[-2000:].splitlines()
            said += log_files.failure(run.logs / f"{KEEPER.first}.log")
            raise MeshError(f"the keeper or supervisord {why}; nothing was started. They said:\n" + "\n".join(said))
        time.sleep(0.02)


def _end_again(run: RunDir, supervisord: subprocess.Popen[bytes]) -> None:
    """Ends the processes of a start that failed, before its files are restored: none may write into them later."""
    supervisord.terminate()
    with suppress(subprocess.TimeoutExpired):
        supervisord.wait(END_AGAIN_S)
    supervisord.kill()
    supervisord.wait()
    for pid in mesh_file.wait_for_the_last(run, END_AGAIN_S).values():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _refuse_a_second(runs: Path, supervisor: Callable[[RunDir], int | None]) -> None:
    """Raises ConfigError: the latest run's mesh runs. supervisor: finds it."""
    if not (runs / "latest").is_dir():
        return
    run = RunDir.latest(runs)
    state = mesh_file.read(run).get("state", "its mesh.json is damaged")
    if state != "ended" and supervisor(run):
        raise ConfigError(
            f"a mesh is running already, in {run.root} ({state}); a second one would use the same ports and files, so "
            f"nothing was started. Stop it with {typed('stop all')}, or look at it with {typed('status')}."
        )


def _make_way(runs: Path, say: Say) -> None:
    """Ends processes that a killed supervisord left: they would write into this run's files and hold its ports.

    Raises ConfigError: a mesh is running. MeshError: a process cannot be ended.
    """
    if not (runs / "latest").is_dir():
        return
    run = RunDir.latest(runs)
    left = dict(mesh_file.processes(run))
    if not left:
        return
    _refuse_a_second(runs, lambda _run: left.get(SUPERVISOR))
    say(f"waiting for what is left of {run.root.name}: {', '.join(left)}")
    if mesh_file.SUPERVISOR in left:  # the run has ended, and supervisord is about to
        left = mesh_file.wait_for_the_last(run, LEFTOVER_S)
    end_leftovers(run, left, say)
    if still := dict(mesh_file.processes(run)):
        raise MeshError(
            f"{', '.join(still)} of {run.root} cannot be ended (pids {list(still.values())}) and would hold the ports; "
            "nothing was started. End them with kill -9 <pid>, as their owner."
        )


def _words(error: OSError, runs: Path) -> str:
    trouble = disk.trouble(error, Path(error.filename) if isinstance(error.filename, str) else runs)
    if trouble:
        return f"{trouble}. Nothing was started. Free some space there, or set runs_dir to a folder on another disk."
    remedy = "Set runs_dir to a folder that you may write in."
    return f"the run's files cannot be written: {error}. Nothing was started. {remedy}"


@contextmanager
def _alone(runs: Path, say: Say) -> Iterator[None]:
    """Lets one start at a time go on; a second one at the same moment waits, and then finds the first one's mesh."""
    runs.mkdir(parents=True, exist_ok=True)
    lock = os.open(runs / ".start.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another start is under way here; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
