"""tools/cluster.sh: a mesh in containers, started, watched, scaled, broken and upgraded."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from docker.errors import DockerException
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kaimesh import ROOT
from kaimesh.config.load import DEFAULT_CONF
from kaimesh.config.own_roles import read_roles
from kaimesh.config.roles import AISRV, ROLES, Role
from kaimesh.contract.errors import MeshError
from kaimesh.contract.json_text import json_text
from kaimesh.operate.cluster import stack
from kaimesh.operate.cluster.engine import COMPOSE, ONE_SHOT, STACK, Engine, compose
from kaimesh.operate.cluster.upgrade import GPU
from kaimesh.operate.cluster.upgrade import upgrade as replace_all
from kaimesh.operate.view.progress import COLOURS
from kaimesh.operate.view.totals import Totals, shown
from kaimesh.process import command

PLAIN_WIDTH = 170
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="The mesh in containers on this machine's Docker engine. docs/cluster.md has the rest.",
)
NAME_VARIABLE = "COMPOSE_PROJECT_NAME"
_KINDS = ", ".join(role.name for role in ROLES.values() if role.home != "supervisord")


def _name() -> str:
    return os.environ.get(NAME_VARIABLE, "kaimesh")


def _compose(*words: str, **variables: str) -> str:
    return compose(*words, root=str(ROOT), environ={**os.environ, **variables}, say=_say)


def _roles() -> Mapping[str, Role]:
    """The roles of the configuration that the containers get. Raises ConfigError."""
    folder = os.environ.get("KAIMESH_CONF", "")
    return read_roles(ROOT / folder / DEFAULT_CONF.name if folder else DEFAULT_CONF, {})


def _say(text: str) -> None:
    print(text, flush=True)


@app.command()
def up(
    gpu: Annotated[bool, typer.Option("--gpu", help="Actor and learner on the GPU (builds the GPU image).")] = False,
    build: Annotated[bool, typer.Option("--build", help="Build the image anew, with the code as it is now.")] = False,
) -> None:
    """Build what is missing, start everything, and return when it is healthy."""
    profile = ("--profile", "gpu") if gpu else ()
    _compose(*profile, "up", "-d", "--wait", *(["--build"] if build else []))
    _say(
        f"status page http://127.0.0.1:{os.environ.get('STATUS_PORT', '8090')}, TensorBoard "
        f"http://127.0.0.1:{os.environ.get('TENSORBOARD_PORT', '6006')}; look: tools/cluster.sh status"
    )


@app.command()
def down(
    volumes: Annotated[bool, typer.Option("--volumes", help="Delete the run too: models, samples, curves.")] = False,
) -> None:
    """Stop everything in order; the next `up` goes on with the run."""
    engine = Engine(_name())
    if engine.label == STACK:
        raise MeshError(
            f"{engine.name} is a Swarm stack, which this does not stop; nothing was changed. Use: docker stack rm "
            f"{engine.name}"
        )
    _compose("--profile", "*", "down", *(["--volumes"] if volumes else []))


@app.command()
def status(as_text: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Say what each container runs and does, how fast, with which model, and how often it was started again."""
    engine = Engine(_name())
    report, pieces = engine.report(), engine.pieces()
    if as_text:
        told = {**report, "containers": [piece._asdict() for piece in pieces]}
        print(json_text(told, reasons=True, indent=1))
        return
    if not pieces and not report:
        raise MeshError(
            f"nothing of {engine.name!r} is on this engine, so there is nothing to do; start it with tools/cluster.sh "
            "up."
        )
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    if report:
        figures = shown(Totals(**{name: report[name] for name in Totals._fields if name in report}))
        print(f"{report['run']}: " + ", ".join(f"{name} {value}" for name, value in figures))
    console.print(_table(pieces, report.get("processes", [])))


@app.command()
def scale(count: Annotated[int, typer.Argument(min=0, help="Containers of environments.")]) -> None:
    """Change how many aisrv there are; the others go on."""
    engine = Engine(_name())
    if engine.label == STACK:
        stack.scale(engine, count)
        return
    _compose(
        "up", "-d", "--wait", "--no-deps", "--no-recreate", "--no-build", "--scale", f"{AISRV.name}={count}", AISRV.name
    )


@app.command()
def kill(
    service: Annotated[str, typer.Argument(help=f"{_KINDS}, or one of your own.")],
    number: Annotated[int | None, typer.Option(help="Which replica: 1, 2, ...", show_default="all")] = None,
) -> None:
    """Kill a service's process as a fault would; the engine starts it again and training goes on."""
    for name in Engine(_name()).crash(service, number):
        _say(f"{name}: killed; the engine starts it again")


@app.command()
def logs(
    service: Annotated[str | None, typer.Argument(help="One service.", show_default="all")] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with new lines until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", min=1, help="Last lines of each container.")] = 20,
) -> None:
    """Show the logs as text."""
    if follow and service is None:
        raise MeshError(
            "--follow needs a service, so nothing is followed; name one, or follow all with: docker compose logs -f"
        )
    try:
        for name, line in Engine(_name()).lines(service, lines, follow):
            _say(f"{name} | {as_line(line)}")
    except KeyboardInterrupt:
        return


@app.command()
def upgrade(
    image: Annotated[
        str | None, typer.Option(help="Another image's name (Swarm).", show_default="the one that is built")
    ] = None,
    build: Annotated[bool, typer.Option(help="Build the image first (Compose).")] = True,
) -> None:
    """Replace the services by those of a newer image, one at a time, while training goes on."""
    command.go_on_unread()
    engine = Engine(_name())
    began = time.monotonic()
    if engine.label == COMPOSE:
        if build:
            _compose("build")
        _compose("run", "--rm", "--no-deps", "-T", ONE_SHOT)  # volumes and tokens that only the newer image knows
        count = replace_all(engine, _roles(), _compose, _say)
    elif image is None:
        raise MeshError(
            "a Swarm's nodes fetch the image by its name, and without one nothing was upgraded; give the new one: "
            "upgrade --image NAME:TAG"
        )
    else:
        count = stack.upgrade(engine, _roles(), image, _say)
    _say(f"replaced {count} in {time.monotonic() - began:.0f} s" if count else "everything runs that image already")


def as_line(line: str) -> str:
    """A JSON log line as text; any other line as it is."""
    if not line.startswith("{"):
        return line
    try:
        data = json.loads(line)
        clock = data["time"].partition("T")[2][:8]
        text = f"{clock} {data['level']:<7} {data['process']} | {data['message']}"
        return f"{text}\n{data['traceback']}" if "traceback" in data else text
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):  # a line of the user's own, in JSON
        return line


def _table(pieces: list[Any], processes: list[dict[str, Any]]) -> Table:
    """A row for each container, with what its process says; processes on other machines come after them."""
    rows = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("container", "health", "restarts", "process", "throughput", "model", "does"):
        rows.add_column(column, justify="right" if column in ("restarts", "throughput", "model") else "left")
    by_name = {process["name"]: process for process in processes}
    for piece in pieces:
        process = by_name.pop(f"{piece.service.removesuffix(GPU)}_{piece.number - 1}", {})
        restarts = max(piece.restarts, process.get("restarts", 0))  # Swarm counts none; the monitor none of its own
        rows.add_row(piece.container, piece.health, str(restarts), *_words(process))
    for process in by_name.values():
        if process["health"] != "done":
            rows.add_row(f"({escape(process['host'])})", "", str(process["restarts"]), *_words(process))
    return rows


def _words(process: dict[str, Any]) -> tuple[str, str, str, str]:
    if not process:
        return "-", "-", "-", ""
    colour = COLOURS.get(process["health"], "default")
    rate = process["throughput"]
    return (
        f"[{colour}]{escape(process['name'])}[/]",
        "-" if rate is None else escape(f"{rate:,.0f} {process['throughput_unit']}"),
        "-" if process["model_version"] is None else str(process["model_version"]),
        escape(str(process["does"])),
    )


def main() -> None:
    """The entry point. Prints the message of a MeshError, without a traceback."""
    command.begin()
    try:
        app(prog_name="cluster.sh")
    except MeshError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    except DockerException as error:
        print(f"the Docker engine refused: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
