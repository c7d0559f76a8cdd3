"""The command `kaimesh`, or `python -m kaimesh`: all programs of the mesh under one name.

tools/*.sh call the same ones.

It works in the folder in which it is typed: runs are in runs/, a conf/ there is used instead of kaimesh's own, and
modules there are found first. With the kaimesh of a checkout, runs/ and conf/ are the checkout's, wherever it is typed.
"""

from __future__ import annotations

import os
import runpy
import sys
from typing import Annotated

import typer

from kaimesh import CALLER_VARIABLE, __version__
from kaimesh.operate.cli import builder

# Programs with a command line of their own: they get the words behind their name.
PROGRAMS = {
    "evaluate": ("kaimesh.arena.evaluate", "Play episodes with a trained model and say how good it is."),
    "play": ("kaimesh.arena.terminal", "Play an environment yourself, in this terminal."),
    "replay": ("kaimesh.arena.replay", "Play a recorded episode again, as a GIF, an MP4 or a page."),
    "package": ("kaimesh.operate.package", "Make a package of a folder of agents and its model, or look at one."),
    "cluster": ("kaimesh.operate.cluster.tool", "The mesh in containers; needs a checkout of kaimesh."),
}
_ANY_WORDS = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="kaimesh: a training mesh for reinforcement learning. Commands act on runs/latest unless told otherwise.",
)
config = typer.Typer(no_args_is_help=True, help="What can be configured.")


def _say_version(wanted: bool) -> None:
    if wanted:
        print(f"kaimesh {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_say_version)
    ] = False,
) -> None:
    """What stands before a command."""


@config.command()
def docs() -> None:
    """Print every key with its type, default and meaning, as Markdown."""
    from kaimesh.config.document import markdown

    print(markdown(), end="")


@config.command()
def files() -> None:
    """Print where the configuration and the table of algorithms are taken from here."""
    from kaimesh.config.load import DEFAULT_CONF, REGISTRY

    print(f"{DEFAULT_CONF}\n{REGISTRY}")


def _mount(name: str, module: str, about: str) -> None:
    def run(context: typer.Context) -> None:
        sys.argv = [name, *context.args]
        runpy.run_module(module, run_name="__main__", alter_sys=True)

    app.command(name, help=about, context_settings=_ANY_WORDS)(run)


def main() -> None:
    """The entry point. `start`, `stop`, `restart`, `status` and `logs` are those of kaimesh.operate.cli."""
    os.environ[CALLER_VARIABLE] = os.getcwd()  # in which the mesh's processes find the user's modules, too
    builder.begin(sys.argv[1:])
    from kaimesh.operate.cli import commands

    app.add_typer(commands.app)
    for name, (module, about) in PROGRAMS.items():
        _mount(name, module, about)
    app.add_typer(config, name="config")
    commands.main(app)


if __name__ == "__main__":
    main()
