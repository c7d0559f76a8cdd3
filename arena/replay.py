"""Plays a recorded episode again and shows it: `./tools/replay.sh episode.json -o episode.html`.

It is played in the environment itself, so the recording holds no pictures; whether the score comes out as recorded is
checked.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kaimesh import envs
from kaimesh.arena.again import Replay
from kaimesh.arena.recording import Recording
from kaimesh.arena.show import film
from kaimesh.arena.show.page import FRAMES_SCRIPT, Page, frames_data
from kaimesh.config import caller, trust
from kaimesh.config.packages import find_own_code
from kaimesh.contract.agent import called_exit
from kaimesh.contract.errors import EXIT_AGENT, EXIT_CRASH, EXIT_OK, ConfigError, MeshError
from kaimesh.contract.json_text import json_text
from kaimesh.contract.story import Story
from kaimesh.process.guarded import guarded

MOST_FRAMES = {".gif": 500, ".mp4": 100_000, ".html": 1000}  # what a viewer and the memory here stand
FPS = 20  # of environments that name none


def replay(recording: Recording, out: Path | None, fps: float = 0, every: int = 0) -> dict[str, Any]:
    """Plays the recording and writes `out`, if it is given.

    fps, every: 0 for what suits the environment and the format.

    Returns what main reports; `difference` is "" if the episode came out as recorded. Raises ConfigError: no such
    environment or format.
    """
    suffix = out.suffix.lower() if out else ""
    if out and suffix not in MOST_FRAMES:
        raise ConfigError(
            f"{out} must end in {', '.join(MOST_FRAMES)}, which says what is written; nothing was. Name another file."
        )
    again = Replay(recording, draws=bool(out))
    try:
        result: dict[str, Any] = {"app": recording.app, "model": recording.model}
        if out:
            fps = fps or again.env.offers.render_fps or FPS
            result |= _write(again, out, fps, every)
        else:
            for _ in again:
                pass
    finally:
        again.close()
    return result | {
        "steps": again.steps,
        "over": again.over,
        "score": again.score,
        "recorded_score": recording.score,
        "difference": again.difference(),
    }


def _write(again: Replay, out: Path, fps: float, every: int) -> dict[str, Any]:
    suffix, length = out.suffix.lower(), len(again.recording.actions)
    story_of = again.env.offers.story() if suffix == ".html" else None
    if story_of is not None:
        every = 1  # a page draws it from data, which is small
    every = every or -(-(length + 1) // MOST_FRAMES[suffix])

    def frames() -> Iterator[np.ndarray]:
        for step in again:
            if step % every == 0 or again.over or step == length:
                yield again.picture()

    if suffix != ".html":
        count = film.write(frames(), out, fps)
    else:
        page = _story_page(again, story_of(again.env), fps) if story_of else _frames_page(again, fps, every)
        count = len(next(iter(page.columns.values())))
        _write_text(out, page.html())
    return {"out": str(out), "bytes": out.stat().st_size, "frames": count, "fps": fps, "every": every}


def _story_page(again: Replay, story: Story, fps: float) -> Page:
    for step in again:
        story.note(int(again.recording.actions[step - 1]) if step else None)
    return _page(again, fps, story.columns, story.events, story.script, story.data())


def _frames_page(again: Replay, fps: float, every: int) -> Page:
    length = len(again.recording.actions)
    columns: dict[str, list[Any]] = {"step": [], "score": [], "action": []}
    if again.env.spaces.players > 1:
        columns["seat"] = []  # whose action it was

    def frames() -> Iterator[np.ndarray]:
        for step in again:
            if step % every == 0 or again.over or step == length:
                columns["step"].append(f"{step} / {length}")
                columns["score"].append(f"{again.score:.6g}")
                columns["action"].append(_words(again.recording.actions[step - 1]) if step else "")
                if "seat" in columns:
                    columns["seat"].append(again.movers[step - 1] if step else "")
                yield again.picture()

    data = frames_data(frames())
    return _page(again, fps / every, columns, [], FRAMES_SCRIPT, data)


def _page(
    again: Replay,
    fps: float,
    columns: Mapping[str, Sequence[Any]],
    events: Sequence[tuple[int, str]],
    script: Path,
    data: Mapping[str, Any],
) -> Page:
    recording, difference = again.recording, again.difference()
    facts = [
        ("environment", recording.app),
        ("played by", recording.model),
        ("score", f"{again.score:.6g}"),
        ("steps", str(again.steps)),
        ("seed", str(recording.seed)),
        *((name, json_text(value)) for name, value in recording.env_conf.items()),
    ]
    if again.env.spaces.players > 1:
        facts.insert(3, ("score of", f"seat {recording.seat}"))
    if recording.max_episode_steps:
        facts.append(("max_episode_steps", str(recording.max_episode_steps)))
    if difference:
        facts.insert(0, ("not as recorded", difference))
    return Page(f"{recording.app}: {recording.model}", facts, columns, events, fps, script, data)


def _words(action: np.ndarray) -> str:
    return ", ".join(f"{value:.3g}" for value in np.atleast_1d(action).tolist())


def _write_text(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror}; the recording is not shown. Name another file."
        ) from error


def _report(result: dict[str, Any]) -> str:
    lines = [f"{result['app']}, {result['model']}: {result['steps']} steps, score {result['score']:.6g}"]
    if result["difference"]:
        lines[0] += ", NOT as recorded"
    else:
        lines[0] += ", as recorded"
    if not result["over"]:
        lines.append("the recording stops before the episode is over")
    if "out" in result:
        shown = "every step" if result["every"] == 1 else f"one step in {result['every']}"
        size = result["bytes"] / 1e6
        lines.append(
            f"{result['out']}: {shown}, {result['frames']} pictures, {result['fps']:g} a second, {size:.2f} MB"
        )
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="replay",
        description="Plays a recorded episode again, checks its score, and writes it as a film or a page.",
        epilog="exit code: 0 as recorded, 1 not as recorded, 2 not a recording that can be played",
    )
    parser.add_argument("file", help="a recording, from tools/evaluate.sh --record or tools/play.sh")
    parser.add_argument("-o", "--out", metavar="OUT", help="OUT.gif, OUT.mp4, or OUT.html with a time slider")
    parser.add_argument("--fps", type=float, default=0, help="pictures a second (default: the environment's)")
    parser.add_argument("--every", type=int, default=0, help="show every n-th step (default: what fits the format)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--trust", action="store_true", help=trust.HELP)
    return parser


def _load(file: Path, trusted: bool) -> Recording:
    """The recording.

    Raises ConfigError: it names what is not built in, and nobody trusts it; nothing of that was imported.
    """
    recording = Recording.load(file)
    if trusted:
        find_own_code()  # environments of your own
    else:
        trust.check(f"the recording {file}", envs.unfamiliar(recording.app, recording.env_conf))
    return recording


def main(argv: Sequence[str] | None = None) -> int:
    """Replays as the arguments say; returns the exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if not 0 <= arguments.fps <= 1000:
        parser.error(f"--fps {arguments.fps}: it must be up to 1000, or 0 for the environment's own")
    if arguments.every < 0:
        parser.error(f"--every {arguments.every}: it must be 1 or more, or 0 for what fits")
    try:
        out = caller.typed(arguments.out) if arguments.out else None
        file = caller.typed(arguments.file)
        recording = _load(file, arguments.trust)
        result = {"file": str(file), **replay(recording, out, arguments.fps, arguments.every)}
    except MeshError as error:
        print(f"replay: {error}", file=sys.stderr)
        return error.exit_code
    except SystemExit as error:
        print(f"replay: {called_exit(f'the environment {recording.app}', error)}", file=sys.stderr)
        return EXIT_AGENT
    print(json_text(result, reasons=True, indent=1) if arguments.json else _report(result))
    if result["difference"]:
        print(
            f"replay: {arguments.file}: {result['difference']}. The environment here is not the one that it was "
            "recorded in: another version of it, of its library or of its map. Record the episode again "
            "(tools/evaluate.sh --record).",
            file=sys.stderr,
        )
        return EXIT_CRASH
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(guarded(main, "replay"))
