"""You play an environment in the terminal: `./tools/play.sh --app gym:FrozenLake-v1`, or any with discrete actions.

The environment's `Face` (contract/face, arena/face) decides what is shown and what the keys mean. This file handles the
terminal, which is left as it was found, whatever happens.
"""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

os.environ.setdefault("BLESSED_QUERY_TIMEOUT_SECONDS", "0.5")  # for terminals that do not answer; read at the import

import blessed

from kaimesh import envs
from kaimesh.arena.game import Game, Rival
from kaimesh.arena.scene import Scene
from kaimesh.arena.standings import Result
from kaimesh.config import App, caller
from kaimesh.config.load import DEFAULT_CONF
from kaimesh.config.packages import find_own_code
from kaimesh.config.reading import parse, read
from kaimesh.contract.errors import ConfigError, MeshError, Stopped
from kaimesh.contract.face import Line
from kaimesh.process.command import interrupted

POLL_S = 0.5  # between looks at the terminal's size
ESCAPE_S = 0.1  # an arrow key begins with Esc as well; if nothing follows for so long, it was the Esc key
LEAVE = ("ESCAPE", "\x04")  # the latter is Ctrl-D
RESIZED = "RESIZED"
SPECIAL = ("UP", "DOWN", "LEFT", "RIGHT", "ENTER", "BACKSPACE", "ESCAPE")


class Left(Stopped):
    """A signal ends the program. number: the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class Screen:
    """Draws a game on a terminal. `size` is the terminal's when it was last drawn: columns and lines."""

    def __init__(self, terminal: blessed.Terminal) -> None:
        self._terminal = terminal
        self.size = (0, 0)
        self._colours = terminal.number_of_colors > 0

    def draw(self, game: Game) -> None:
        """The whole screen anew."""
        terminal, face = self._terminal, game.face
        self.size = width, height = terminal.width, terminal.height
        title = f"episode {game.episode}  seed {game.seed}  step {len(game.actions)}  {game.score}"
        if game.players > 1:  # first, for a narrow screen cuts what is last
            title = f"to move: seat {game.to_play}{' (you)' if game.rival else ''}  {title}"
        title = f"{game.app}  {title}"
        leave = "Esc" if "q" in face.letters else "q or Esc"
        help_line = f"{face.keys}  r: again  {leave}: leave"
        below = [*game.status(), game.message, help_line]
        room = max(height - len(below) - 1, 1)
        picture = game.picture(width, room, self._colours)
        lines = [terminal.bold(title), *map(self._styled, picture), *below[:-1], terminal.dim(below[-1])]
        shown = [terminal.truncate(line, width) + terminal.normal for line in lines[:height]]
        # A line is cleared before it is written: at the right edge, clearing would take its last character.
        body = "\r\n".join(terminal.clear_eol + line for line in shown)
        terminal.stream.write(terminal.home + body + ("" if len(shown) == height else "\r\n" + terminal.clear_eos))
        terminal.stream.flush()

    def _styled(self, line: Line) -> str:
        terminal, parts = self._terminal, []
        for piece in line:
            colour = terminal.color_rgb(*piece.colour) if piece.colour else ""
            ground = terminal.on_color_rgb(*piece.ground) if piece.ground else ""
            parts.append(f"{colour}{ground}{piece.text}{terminal.normal if colour or ground else ''}")
        return "".join(parts)


def play(terminal: blessed.Terminal, game: Game, record: Path | None, said: list[str]) -> None:
    """Plays until the person leaves, or raises what the game raises. record: where episodes are saved. said: gets what
    is to be said afterwards, a line per episode.
    """
    screen = Screen(terminal)

    def close_episode() -> None:
        if game.actions:
            left = "" if game.over else ", not to its end"
            line = f"episode {game.episode}: seed {game.seed}, {game.score} in {len(game.actions)} steps{left}"
            said.append(f"{line}; {_save(game, record, len(said))}" if record else line)

    try:
        while True:
            screen.draw(game)
            key = _key(terminal, screen.size)
            if key in LEAVE or (key == "q" and "q" not in game.face.letters):
                break
            if key == "r" and "r" not in game.face.letters:
                close_episode()
                game.restart()
                continue
            was_over = game.over
            game.press(key)
            if game.over and not was_over:
                screen.draw(game)
                game.message += f" {game.face.verdict()}"
    except KeyboardInterrupt:
        pass
    except MeshError:
        close_episode()
        raise
    close_episode()


def _key(terminal: blessed.Terminal, size: tuple[int, int]) -> str:
    """The next key: a character, or one of SPECIAL; RESIZED when the terminal's size is not `size`."""
    while True:
        key = terminal.inkey(timeout=POLL_S, esc_delay=ESCAPE_S)
        name = (key.name or "").removeprefix("KEY_")
        if name in SPECIAL:
            return name
        if key and not key.is_sequence:
            return str(key)
        if (terminal.width, terminal.height) != size:
            return RESIZED


def _save(game: Game, record: Path, before: int) -> str:
    """Later episodes of the same run get a number before the ending."""
    path = record.with_stem(f"{record.stem}-{before + 1}") if before else record
    game.recording().save(path)
    return f"recorded in {path}"


@contextmanager
def taken_over() -> Iterator[blessed.Terminal]:
    """The terminal with a screen of its own, without a cursor, where each key arrives at once.

    It is restored however the block is left, by a signal too.
    """

    def leave(number: int, _frame: FrameType | None) -> NoReturn:
        raise Left(number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    before[signal.SIGTSTP] = signal.signal(
        signal.SIGTSTP, signal.SIG_IGN
    )  # a shell could not use the terminal as it is now
    try:
        terminal = blessed.Terminal()  # this already asks the terminal what it can
        with terminal.fullscreen(), terminal.cbreak(), terminal.hidden_cursor():
            yield terminal
    except Left as left:
        raise SystemExit(128 + left.number) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def meet(scene: Scene, rival: Rival, seed: int) -> list[Result]:
    """A person plays against a rival in this terminal; returns the games that ended. What is said afterwards goes to
    standard error. Raises ConfigError: there is no terminal, or the game cannot be played by keys.
    """
    _check_terminal()
    game = Game(scene.app, scene.env_conf, scene.limit, seed, rival)
    _sit_down(game, None, lambda text: print(text, file=sys.stderr))
    return game.results


def _sit_down(game: Game, record: Path | None, say: Callable[[str], None]) -> None:
    """Plays in this terminal. Afterwards says what was played, also where the environment's error ends it."""
    said: list[str] = []
    try:
        with taken_over() as terminal:
            play(terminal, game, record, said)
    finally:
        if said:
            say("\n".join(said))


def _where(cause: BaseException | None) -> str:
    """The line that raised `cause`, in words; "": there is none."""
    if cause is None or cause.__traceback__ is None:
        return ""
    last = traceback.extract_tb(cause.__traceback__)[-1]
    return f"\n  raised in {last.filename}, line {last.lineno}, in {last.name}"


def _check_terminal() -> None:
    for name, stream in (("input", sys.stdin), ("output", sys.stdout)):
        if not stream.isatty():
            raise ConfigError(
                f"standard {name} is no terminal, and you play by its keys, so no game began. Run this in a "
                "terminal, without a pipe (over ssh: ssh -t)."
            )


def _configured_app() -> str:
    """The configuration's app. Raises ConfigError: it has no face of its own, so one should say what to play."""
    table = read(DEFAULT_CONF, []).data.get("app", {})
    app = str(table.get("app", "")) if isinstance(table, dict) else ""
    app = app or str(App.model_fields["app"].default)
    if envs.offers(app).face() is None:
        with_face = [name for name in envs.ENVIRONMENTS if envs.offers(name).face() is not None]
        raise ConfigError(
            f"app = {app!r}, the configuration's, was not made for people to play, and --app names no other, so no "
            f"game began. Say --app with one that was: {', '.join(with_face)}. Any other with discrete actions shows "
            f"its text, as gym:FrozenLake-v1 does, or the numbers that it observes: --app {app}"
        )
    return app


def main(argv: Sequence[str] | None = None) -> int:
    """Plays as the arguments say; returns the exit code."""
    parser = argparse.ArgumentParser(prog="play", description="You play an environment in this terminal.")
    parser.add_argument("--app", help="the environment, with discrete actions (default: the configuration's)")
    parser.add_argument("--seed", type=int, help="of the first episode; later ones count on (default: drawn)")
    parser.add_argument(
        "--env-conf",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an argument of the environment, repeatable",
    )
    parser.add_argument(
        "--max-steps",
        type=int,
        default=0,
        metavar="N",
        help="end episodes after so many (default: the environment's own)",
    )
    parser.add_argument(
        "--record", metavar="FILE", help="save each episode for tools/replay.sh: FILE, FILE-2 and so on"
    )
    arguments = parser.parse_args(argv)
    if wrong := [text for text in arguments.env_conf if "=" not in text]:
        parser.error(f"--env-conf {wrong[0]}: write KEY=VALUE, such as is_slippery=false")
    if arguments.max_steps < 0 or (arguments.seed is not None and arguments.seed < 0):
        parser.error("--max-steps and --seed must not be negative")
    find_own_code()
    try:
        _check_terminal()
        conf = {key: parse(value) for key, value in (text.split("=", 1) for text in arguments.env_conf)}
        seed = secrets.randbelow(10**6) if arguments.seed is None else arguments.seed
        record = caller.typed(arguments.record) if arguments.record else None
        game = Game(arguments.app or _configured_app(), conf, arguments.max_steps, seed)
        _sit_down(game, record, print)
    except MeshError as error:
        print(f"play: {error}{_where(error.__cause__)}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(interrupted(main))
