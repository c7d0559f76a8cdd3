"""The start and end of a process: arguments, threads, logging, signals, watchdog, exit code.

Every `__main__` calls `main`.
"""

from __future__ import annotations

import argparse
import ctypes
import faulthandler
import logging
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

import psutil

from kaimesh.config import Config, load
from kaimesh.config.load import DEFAULT_CONF
from kaimesh.config.packages import find_own_code
from kaimesh.config.roles import Right, Role, addresses_of, role_of
from kaimesh.contract.agent import called_exit
from kaimesh.contract.errors import (
    EXIT_AGENT,
    EXIT_CONFIG,
    EXIT_CRASH,
    EXIT_OK,
    ConfigError,
    MeshError,
    Stopped,
    words,
)
from kaimesh.contract.monitor import Monitor
from kaimesh.contract.user_agent import UserAgent
from kaimesh.process import hosting
from kaimesh.process.agents import dotted, make_agent
from kaimesh.process.logs import configure as configure_logging
from kaimesh.process.meter import Meter
from kaimesh.process.reporter import Reporter
from kaimesh.process.run_dir import RunDir
from kaimesh.process.tensors import stop_tensor_leak
from kaimesh.process.watchdog import Limits, Watchdog
from kaimesh.wire.gate import mesh_token, role_token
from kaimesh.wire.proxies import bypass, hosts_of

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass
class Context:
    """What every service is built from.

    `stop` is set when the process should end; every wait must notice that within 1 s.
    """

    name: str
    index: int
    config: Config
    run: RunDir
    secret: str  # the mesh token, or its role's alone
    threads: int
    meter: Meter
    logger: logging.Logger
    stop: threading.Event
    watchdog: Watchdog | None = None

    @property
    def role(self) -> Role:
        """The kind of process that this one is: its row of the roles table."""
        return self.config.roles[role_of(self.name)]

    @property
    def token(self) -> str:
        """What it shows to others: its role's token. Raises ConfigError: it was given another role's."""
        return role_token(self.secret, role_of(self.name))

    @property
    def mesh_token(self) -> str:
        """What it checks others' tokens with. Raises ConfigError: it was given its role's alone."""
        return mesh_token(self.secret, self.name)

    @property
    def address(self) -> str:
        """Its main address, "host:port", whose port it opens at `bind_host`; "": its role has none.

        The replicas of a cluster's service share one address.
        """
        groups = list(addresses_of(self.role, self.config.app).values())
        return groups[0][min(self.index, len(groups[0]) - 1)] if groups else ""

    def make_agent(self, agent_type: str | None = None) -> UserAgent:
        """The user's agent of that type: "aisrv", "actor" or "learner" (see kaimesh.agent); None: the role's own.

        Raises as agents.make_agent. ConfigError: the role has none.
        """
        wanted = agent_type or self.role.agent_type
        if wanted is None:
            raise ConfigError(
                f"{self.name} makes an agent, but [roles.{self.role.name}] names no agent_type, so it is not known "
                "which one. Add agent_type to that table."
            )
        meter = self.meter
        monitor = Monitor(meter.gauge, (self.index, meter.life), meter.count, meter.phase)
        return make_agent(self.config, wanted, logger=self.logger, monitor=monitor)


class Service(Protocol):
    """A process's work."""

    def run(self) -> None:
        """Works until `context.stop` is set, or until there is nothing left to do."""

    def close(self) -> None:
        """Ends cleanly (dumps, checkpoints, closes ports); called after `run`, also when it raised."""


def set_threads(count: int) -> None:
    """Sets the thread counts of the numerical libraries, and stops TensorFlow's leak.

    Call it before they are imported.
    """
    for variable in _THREAD_VARIABLES:
        os.environ[variable] = str(count)
    os.environ["TF_NUM_INTRAOP_THREADS"] = str(count)
    os.environ["TF_NUM_INTEROP_THREADS"] = "1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    stop_tensor_leak()


def set_tensorflow_threads(count: int) -> None:
    """Sets TensorFlow's thread count, in a process that uses it. Call it before its first operation."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(count)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def _program(role: str) -> str:
    """How this process was called."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return f"python -m {spec.name.removesuffix('.__main__')}" if spec else role


def main(role: str, service: str) -> NoReturn:
    """Runs one process and ends it.

    role: its name in the roles table. service: the dotted name of its class, imported late.
    """
    faulthandler.enable(
        file=sys.stdout, all_threads=True
    )  # a crash in compiled code leaves every thread's traceback in the log
    parser = argparse.ArgumentParser(prog=_program(role), description=f"The {role} process of a kaimesh run.")
    parser.add_argument("--conf", default=DEFAULT_CONF, help="configuration (default: conf/configure_app.toml)")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--run-dir", help="the run's directory (default: a new one under runs_dir)")
    place.add_argument("--runs", help="a folder: the run is its <app>_<algo>, made, or gone on with where it is there")
    parser.add_argument("--index", type=int, default=0, help="which of several processes of this kind (default: 0)")
    arguments = parser.parse_args()
    name = f"{role}_{arguments.index}"
    logger = configure_logging(name, form=os.environ.get("log_format", "text"))  # noqa: SIM112 - a key's variable
    _end_with_supervisor(logger)
    try:
        config = load(arguments.conf)
        row = _row(config, role)
        run = _run_dir(arguments, config)
        run.prepare()
        secret = run.token()
        role_token(secret, role)  # before anything is built: it may be another role's
    except ConfigError as error:
        logger.error("%s", error)
        sys.exit(EXIT_CONFIG)
    os.environ["KAIMESH_RUN_DIR"] = str(run.root)  # where agents and workflows may write, in tensorboard/ for instance
    threads = config.threads_of(row)
    set_threads(threads)
    bypass(hosts_of(config.addresses))
    logger = configure_logging(name, config.app.log_level, config.app.log_format, run.root.name)
    # A container's files may go with it, so a life that finds none may not be the first one.
    first_life = secrets.randbits(32) if arguments.runs else 0
    status = run.status / f"{name}.json"
    meter = Meter(name, status, report_s=config.app.report_seconds, first_life=first_life, logger=logger)
    context = Context(name, arguments.index, config, run, secret, threads, meter, logger, threading.Event())
    _handle_signals(context)
    if row.work:
        meter.info["work"] = row.work
    heard = config.app.monitor_addr and Right.REPORT in row.rights
    reporter = Reporter(config.app.monitor_addr, context.token, meter, logger) if heard else None
    meter.start()
    context.watchdog = Watchdog(meter, context.stop, logger, Limits.of(config.app))
    context.watchdog.start()
    code = _work(context, lambda: _built(context, role, service))
    if reporter is not None:
        reporter.close()
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)  # without the C++ destructors of Reverb and TensorFlow, which can hang


def _built(context: Context, role: str, service: str) -> Service:
    build = dotted(service)  # of ours, before the working folder is another one
    if context.role.agent_type or context.role.own:
        hosting.enter(context.config, context.run, role)
    else:
        find_own_code()
    built: Service = build(context)
    return built


def _row(config: Config, role: str) -> Role:
    """Its row of the roles table. Raises ConfigError: there is none."""
    if role not in config.roles:
        raise ConfigError(
            f"no role is called {role!r}, so nobody would start, watch or stop this process; there are: "
            f"{', '.join(config.roles)}. Add [roles.{role}] to {config.source}: docs/how_to_add/process.md."
        )
    return config.roles[role]


def _run_dir(arguments: argparse.Namespace, config: Config) -> RunDir:
    if arguments.run_dir:
        return RunDir(arguments.run_dir)
    app = config.app
    if arguments.runs:
        return RunDir(Path(arguments.runs) / RunDir.name_of(app.app, app.algo))
    return RunDir.create(app.runs_dir, app.app, app.algo)


def _work(context: Context, build: Callable[[], Service]) -> int:
    code, reason, service = EXIT_OK, "", None
    thread_errors = _end_with_its_threads(context)
    try:
        service = build()
        service.run()
    except Stopped:
        pass
    except BaseException as error:  # SystemExit too: an import, a constructor or a library may call exit
        code, reason = _told(error)
        context.logger.exception("%s ends: %s", context.name, reason.splitlines()[0])
    finally:
        context.stop.set()
    if thread_errors and not reason:
        code, reason = _told(thread_errors[0])
    context.meter.state("stopping", reason.partition("\n")[0])
    if service is not None:
        try:
            service.close()
        except BaseException as error:
            how = "failed once more, at its end" if reason else "could not end cleanly"
            code, reason = code or _told(error)[0], reason or _told(error)[1]
            context.logger.exception("%s %s", context.name, how)
    context.meter.info["exit_code"] = code
    context.meter.state("failed" if code else "done", reason.partition("\n")[0])  # the log has the rest
    context.meter.stop()
    return code


def _told(error: BaseException) -> tuple[int, str]:
    """The exit code and the words for what ended a process."""
    if isinstance(error, SystemExit):
        return EXIT_AGENT, called_exit("code of this process", error)
    code = error.exit_code if isinstance(error, MeshError) else EXIT_CRASH
    return code, f"{type(error).__name__}: {words(error)}"


def _end_with_its_threads(context: Context) -> list[BaseException]:
    """Makes an exception that ends any thread end the process: the others would wait for it.

    Returns the list of them.
    """
    errors: list[BaseException] = []

    def hook(args: threading.ExceptHookArgs) -> None:
        error = args.exc_value
        if error is None or isinstance(error, SystemExit | Stopped):
            return
        if not context.stop.is_set():
            errors.append(error)
        thread = args.thread.name if args.thread is not None else "a thread"
        reason = _told(error)[1].partition("\n")[0]
        context.logger.error("%s ends: thread %r raised %s", context.name, thread, reason, exc_info=error)
        context.stop.set()

    threading.excepthook = hook
    return errors


def _handle_signals(context: Context) -> None:
    """SIGTERM and SIGINT set `stop`. A thread does it, which Python's C-level signal handler wakes through a socket.

    A Python-level handler would not do: it runs in the main thread, so not while that is inside Reverb's C++ code; and
    where the main thread is inside `stop.wait` it would deadlock, for `stop.set` needs the same lock.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        signal.signal(number, lambda *_: None)

    def block() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, numbers)

    def unblock() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)

    def be_a_child() -> None:  # a signal to a forked child, however early, must not stop this process
        signal.set_wakeup_fd(-1)
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
        unblock()

    os.register_at_fork(before=block, after_in_parent=unblock, after_in_child=be_a_child)

    def listen() -> None:
        with writer:
            while number := reader.recv(1):
                if number[0] in numbers:
                    name = signal.Signals(number[0]).name
                    context.meter.info["signal"] = name  # so that its end does not count as the end of its work
                    context.stop.set()
                    context.logger.info("%s: stopping", name)

    threading.Thread(target=listen, name="signals", daemon=True).start()


def _end_with_supervisor(logger: logging.Logger) -> None:
    """Makes the kernel send SIGTERM to this process when supervisord ends, even by SIGKILL: none outlives its mesh."""
    if "SUPERVISOR_ENABLED" not in os.environ or not sys.platform.startswith("linux"):
        return
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
    if not any("supervis" in word for word in psutil.Process(os.getppid()).cmdline()):  # it had ended before that call
        logger.error("supervisord is gone; ending")
        sys.exit(EXIT_CRASH)
