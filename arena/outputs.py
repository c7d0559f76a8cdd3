"""The files that an evaluation writes: recordings, a picture of the distributions, an episode as a film or a page."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kaimesh.arena.episodes import Episode
from kaimesh.arena.recording import Recording
from kaimesh.config import caller
from kaimesh.contract.errors import ConfigError, MeshError
from kaimesh.contract.untrusted import path_name

PICTURES = (".png", ".svg", ".pdf")
FILMS = (".gif", ".mp4", ".html")


def check(arguments: argparse.Namespace) -> None:
    """Raises ConfigError, before anything is played: --plot or --render names a file of an unknown format."""
    for option, name, known in (("--plot", arguments.plot, PICTURES), ("--render", arguments.render, FILMS)):
        if name and Path(name).suffix.lower() not in known:
            raise ConfigError(
                f"{option} {name} must end in {', '.join(known)}, which says what is written; nothing was played"
            )


def write(
    arguments: argparse.Namespace,
    recordings: Mapping[str, Recording],
    episodes: Sequence[Episode],
    title: str,
    result: dict[str, Any],
) -> list[str]:
    """Writes the files of --record, --plot and --render, and adds their names to `result`; returns what failed.

    recordings: by what tells their files apart, in the order of `episodes` and of `result["each"]`.
    """

    def record() -> None:
        for (name, recording), one in zip(recordings.items(), result["each"], strict=True):
            file = Path(arguments.record, f"{path_name(recording.app)}_{name}.json")
            recording.save(caller.typed(file))
            one["file"] = str(file)

    def plot() -> None:
        from kaimesh.arena.picture import draw

        draw(episodes, title, caller.typed(arguments.plot))
        result["plot"] = arguments.plot

    def render() -> None:
        from kaimesh.arena.replay import replay

        shown = replay(next(iter(recordings.values())), caller.typed(arguments.render))
        result.update(render=arguments.render, render_return=shown["score"], render_length=shown["steps"])
        if shown["difference"]:
            said = f"{arguments.render}: {shown['difference']}; this environment does not repeat itself"
            result["notes"].append(said)

    failed = []
    for wanted, write in ((arguments.record, record), (arguments.plot, plot), (arguments.render, render)):
        try:
            if wanted:
                write()
        except OSError as error:
            failed.append(f"{error.filename} cannot be written: {error.strerror}. Name another file.")
        except MeshError as error:
            failed.append(str(error))
    return failed
