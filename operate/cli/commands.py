"""The arguments of every command, and what they print."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from kaimesh import ROOT, typed
from kaimesh.config import caller
from kaimesh.config.packages import find_own_code
from kaimesh.config.roles import ROLES
from kaimesh.contract.errors import EXIT_CRASH, EXIT_OK, ConfigError, MeshError
from kaimesh.contract.json_text import json_text
from kaimesh.operate.cli import logs as log_files
from kaimesh.operate.cli import stop as stopping
from kaimesh.operate.cli.evaluating import evaluate
from kaimesh.operate.cli.start import Wish, configure, elsewhere, overrides_of
from kaimesh.operate.cli.start import start as start_mesh
from kaimesh.operate.local.mesh_file import pids, read
from kaimesh.operate.local.supervise import SUPERVISORD
from kaimesh.operate.view import progress
from kaimesh.operate.view.overview import Overview, as_json, look
from kaimesh.process import command
from kaimesh.process.documents import read_text
from kaimesh.process.run_dir import RunDir, runs_dir

LAST_EXITS_S = 150.0
PLAIN_WIDTH = 150

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Starts, watches and stops the training mesh. Every command acts on runs/latest unless told otherwise.",
)


ALL = "all"
_KINDS = ", ".join(role.name for role in ROLES.values() if not role.home)
Target = Annotated[
    str, typer.Argument(help=f"{ALL}, or one kind of processes: {_KINDS}, or a kind of your own.", metavar="all|KIND")
]
RunOption = Annotated[
    Path | None, typer.Option("--run", help="A run's directory.", show_default="runs/latest", metavar="DIR")
]


@app.command()
def start(
    conf: Annotated[
        Path | None,
        typer.Option(help="The configuration.", show_default="conf/configure_app.toml; with --resume the run's own"),
    ] = None,
    code: Annotated[
        Path | None,
        typer.Option(
            "--code", help="A folder of agents written for Kaiwu, which has its own configuration.", metavar="PATH"
        ),
    ] = None,
    algo: Annotated[str | None, typer.Option(help="The algorithm, a table of conf/algo_conf.toml.")] = None,
    env: Annotated[str | None, typer.Option("--app", help="The environment, such as gym:CartPole-v1.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="A key's value; repeat for more. Hyper-parameters as ppo.learning_rate=1e-3, keys of a table as "
            "env_conf.length=8.",
            metavar="KEY=VALUE",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the latest run: its models, samples and counters.")
    ] = False,
    max_env_steps: Annotated[
        int, typer.Option(min=0, help="End cleanly after so many env steps of the run; 0: no limit.")
    ] = 0,
    max_seconds: Annotated[
        float, typer.Option(min=0, help="End cleanly so many seconds after the mesh is up; 0: no limit.")
    ] = 0,
    wait: Annotated[
        bool, typer.Option("--wait", help="Print a line per interval until the run has ended; exit 1 if it failed.")
    ] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Return as soon as the mesh starts.")] = False,
) -> None:
    """Start a mesh and watch it. Ctrl-C leaves the view, not the mesh."""
    if wait and detach:
        raise ConfigError("--wait and --detach contradict each other; nothing was started. Leave one out.")
    if code is not None and (conf is not None or resume):
        raise ConfigError(
            "--code names a folder with its own configuration, so --conf and --resume contradict it; nothing was "
            "started. Leave one out; --resume finds the run's folder by itself."
        )
    overrides = overrides_of(env, algo, settings or [])
    wish = Wish(_from_caller(conf), overrides, resume, max_env_steps, max_seconds, _from_caller(code))
    config, resumed = configure(wish, _note)
    for warning in (*config.warnings, *elsewhere(config)):
        _note(f"note: {warning}")
    if config.app.run_mode == "eval":
        raise typer.Exit(evaluate(config))
    run = start_mesh(config, resumed, wish, _note)
    print(f"{'resumed' if resumed else 'started'} {run.root}", flush=True)
    if detach:
        print(f"look: {typed('status')}, {typed('logs')}; stop: {typed('stop all')}")
        return
    raise typer.Exit(_watch_to_the_end(run, config.app.report_seconds, plain=wait))


@app.command()
def stop(target: Target, run: RunOption = None) -> None:
    """Stop a mesh or one kind of its processes, and wait for clean exits."""
    command.go_on_unread()
    where = _run(run)
    if target == ALL:
        stopping.stop_all(where, print)
        if reason := read(where).get("reason"):
            print(f"{where.root.name} has ended: {reason}")
    else:
        stopping.stop_role(where, target, print)
        print(f"start it again with: {typed(f'restart {target}')}")


@app.command()
def restart(target: Target, run: RunOption = None) -> None:
    """Stop one kind of processes, where they run, and start them again in the running mesh."""
    command.go_on_unread()
    if target == ALL:
        raise ConfigError(
            f"`all` cannot be restarted in one go; nothing was changed. Use {typed('stop all')}, then "
            f"{typed('start --resume')}."
        )
    stopping.restart_role(_run(run), target, print)


@app.command()
def status(
    as_text: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on looking, as start does.")] = False,
    run: RunOption = None,
) -> None:
    """Say what each process does, what it waits for, and how fast it is."""
    where = _run(run)
    if watch:
        raise typer.Exit(_watch_to_the_end(where, 10.0, plain=False))
    view = look(where)
    if as_text:
        print(json_text(as_json(view), reasons=True, indent=1))
        return
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    reason = view.mesh.get("reason")
    print(f"{where.root}: {view.state}{f' ({reason})' if reason else ''}")
    if view.disk:
        print(view.disk)
    print(", ".join(f"{name} {value}" for name, value in progress.figures(view, _current_rates(view), time.time())))
    console.print(progress.table(view, time.time(), console.width))


@app.command()
def logs(
    process: Annotated[
        str | None, typer.Argument(help="A process (learner_0) or a kind (aisrv).", show_default="all")
    ] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with new lines until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", min=1, help="Last lines of each log.")] = 20,
    run: RunOption = None,
) -> None:
    """Show the processes' logs."""
    paths = log_files.files_of(_run(run), process)
    try:
        for path in paths:
            if len(paths) > 1:
                print(f"==> {path} <==")
            print("\n".join(log_files.tail(path, lines)), flush=True)
        if follow:
            log_files.follow(paths, lambda line: print(line, flush=True))
    except KeyboardInterrupt:
        if not follow:
            raise


def _watch_to_the_end(run: RunDir, report_s: float, plain: bool) -> int:
    try:
        progress.watch(run, report_s, plain=plain)
        view = _settled(run)
    except KeyboardInterrupt:
        print(
            f"\nThe mesh goes on. Look: {typed('status --watch')}; logs: {typed('logs')}; stop: {typed('stop all')}",
            flush=True,
        )
        return EXIT_OK if not plain else 128 + 2
    return _tell_the_end(view)


def _settled(run: RunDir) -> Overview:
    """Waits for supervisord's own end, or where that was killed for what it left to end by itself."""
    deadline = time.monotonic() + LAST_EXITS_S
    while time.monotonic() < deadline and any(pids(run)):
        time.sleep(0.1)
    return look(run)


def _tell_the_end(view: Overview) -> int:
    reason = view.mesh.get("reason") or "failed: supervisord and the keeper were killed"
    if result := read_text(view.run.result):
        progress.say(result)
    if not reason.startswith("failed"):
        progress.say(f"the run has ended: {reason}; {view.run.result}")
        return EXIT_OK
    _note(f"the run {reason}")
    if name := view.mesh.get("failed"):
        path = view.run.logs / f"{name}.log"
        _note(f"--- the end of {path} ---")
        _note("\n".join(log_files.failure(path)))
    return EXIT_CRASH


def _current_rates(view: Overview) -> progress.Rates:
    return progress.Rates(view.totals.env_steps_per_s, view.totals.learner_steps_per_s)


def _run(path: Path | None) -> RunDir:
    run = RunDir(_from_caller(path) or path) if path else RunDir.latest(runs_dir())
    if not run.mesh.exists() and not (run.root / SUPERVISORD).exists():
        raise ConfigError(
            f"{run.root} is not the directory of a run that {typed('start')} started: it has no mesh.json, so nothing "
            "is known of its processes. Name another one."
        )
    return run


def _from_caller(path: Path | None) -> Path | None:
    """A path as the user meant it: from where the command was typed, else from the checkout's root."""
    if path is None or path.is_absolute():
        return path
    meant = caller.folder() / path
    return meant if meant.exists() else ROOT / path


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(program: typer.Typer = app) -> None:
    """The entry point: a fault that is the user's is told in words, with the exit code of its kind."""
    command.begin()
    find_own_code()
    try:
        program(prog_name="kaimesh")
    except MeshError as error:
        _note(str(error))
        sys.exit(error.exit_code)
