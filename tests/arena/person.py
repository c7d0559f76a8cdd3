"""A person at a terminal: real keys into a pseudo-terminal, and the screen as a terminal emulator shows it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pyte

from tests.forks import LIGHT

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 60.0


class Person:
    """Plays with `arguments` in a terminal of `columns` x `lines`, by the program of that name below kaimesh.arena.

    `raw` is every byte that it wrote.
    """

    def __init__(
        self,
        *arguments: str,
        columns: int = 80,
        lines: int = 24,
        term: str = "xterm-256color",
        program: str = "terminal",
    ) -> None:
        self._master, self._terminal = pty.openpty()
        self.resize(columns, lines)
        self.settings = termios.tcgetattr(self._terminal)
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self._process = LIGHT.popen(
            ["-m", f"kaimesh.arena.{program}", *arguments],
            stdin=self._terminal,
            stdout=self._terminal,
            stderr=self._terminal,
            start_new_session=True,
            env={**os.environ, "TERM": term, "COLORTERM": "truecolor" if "256" in term else ""},
        )

    def resize(self, columns: int, lines: int) -> None:
        """Another size of the terminal's window."""
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        if hasattr(self, "screen"):
            self.screen.resize(lines, columns)

    def type(self, keys: str) -> None:
        """Presses keys."""
        os.write(self._master, keys.encode())

    def signal(self, number: int) -> None:
        """Sends a signal."""
        self._process.send_signal(number)

    def text(self) -> str:
        """The screen."""
        return "\n".join(self.screen.display)

    def sees(self, *wanted: str) -> str:
        """Waits until the screen shows all of `wanted`; returns the screen, whose later lines may still be missing."""
        return self._until(lambda: all(text in self.text() for text in wanted), f"{wanted} on the screen")

    def said(self, wanted: str) -> None:
        """Waits until the program has written `wanted`, wherever it is now."""
        self._until(lambda: wanted.encode() in self.raw, f"{wanted!r} among the bytes")

    def leaves(self) -> int:
        """Waits for the end; returns the exit code."""
        self._until(lambda: self._process.poll() is not None, "the program's end")
        self._read(0.0)
        return int(self._process.returncode)

    def has_terminal_back(self) -> bool:
        """The terminal's settings, its first screen and its cursor are as they were."""
        same = termios.tcgetattr(self._terminal) == self.settings
        first_screen = self.raw.rfind(b"\x1b[?1049l") > self.raw.rfind(b"\x1b[?1049h") >= 0
        return same and first_screen and not self.screen.cursor.hidden

    def close(self) -> None:
        """Ends whatever is left."""
        self._process.kill()
        self._process.wait()
        os.close(self._master)
        os.close(self._terminal)

    def _until(self, condition: Callable[[], bool], what: str) -> str:
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, f"not within {DEADLINE_S:.0f} s: {what}; the screen is\n{self.text()}"
            self._read(0.05)
        return self.text()

    def _read(self, wait_s: float) -> None:
        while select.select([self._master], [], [], wait_s)[0]:
            data = os.read(self._master, 65536)
            self.raw += data
            self._stream.feed(data)
            wait_s = 0.0
