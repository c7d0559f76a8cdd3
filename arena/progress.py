"""How far an evaluation is, while it goes on: a bar in a terminal, else a line from time to time."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from kaimesh.arena.episodes import Watch

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

Tell = Callable[[str], None]
_Played = TypeVar("_Played")  # an Episode, or a Result of standings

LINE_S = 10.0  # between two lines
BAR_S = 0.5  # between two looks at the bar


class Progress:
    """Call `watch` after every step of the episodes under way, and pass what is over through `follow`.

    total: episodes. most_steps: of one, 0 for no bound. say: takes a line. bar: rich's, in a terminal; name: its.
    """

    def __init__(
        self,
        total: int,
        most_steps: int,
        say: Callable[[str], None],
        bar: Bar | None = None,
        clock: Callable[[], float] = time.monotonic,
        name: str = "playing",
    ) -> None:
        self._name = name
        self._total, self._say, self._clock = total, say, clock
        self._bound = f" (cut at {most_steps:,})" if most_steps else ""
        self._over = self._steps = 0
        self._began = clock()
        self._due = self._began + (BAR_S if bar is not None else LINE_S)
        self._draw = partial(bar.update, bar.add_task(name, total=total)) if bar is not None else None

    def watch(self, running: Sequence[int]) -> None:
        """running: steps of each episode under way."""
        self._steps += len(running)
        if (now := self._clock()) >= self._due:
            self._tell(running, now)

    def follow(self, played: Iterator[_Played]) -> list[_Played]:
        """All episodes, in the order in which they end."""
        episodes = []
        for episode in played:
            episodes.append(episode)
            self._over += 1
            if self._draw is not None:
                self._draw(completed=self._over)
        return episodes

    def _tell(self, running: Sequence[int], now: float) -> None:
        told = f"{len(running)} under way, the longest at {max(running):,} steps{self._bound}"
        if self._draw is not None:
            self._due = now + BAR_S
            self._draw(description=f"{self._name}: {told}")
            return
        self._due = now + LINE_S
        self._say(
            f"{self._over} of {self._total} episodes are over, {told}; {self._steps:,} steps "
            f"in {now - self._began:.0f} s"
        )


def follow(play: Callable[[Watch], Iterator[_Played]], total: int, most_steps: int, what: str = "") -> list[_Played]:
    """What `play` yields, with a bar or lines on standard error.

    play: takes what watches its steps. what: which episodes these are; "": those that were asked for.
    """
    if not sys.stderr.isatty():
        before = f"evaluate: {what}: " if what else "evaluate: "
        progress = Progress(total, most_steps, lambda line: print(f"{before}{line}", file=sys.stderr, flush=True))
        return progress.follow(play(progress.watch))
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        progress = Progress(total, most_steps, print, bar, name=what or "playing")
        return progress.follow(play(progress.watch))


def teller() -> Tell:
    """Says lines of progress on standard error, at most one each LINE_S seconds, and none in the first of them."""
    said = [time.monotonic()]

    def tell(line: str) -> None:
        if time.monotonic() - said[0] >= LINE_S:
            said[0] = time.monotonic()
            print(f"evaluate: {line}", file=sys.stderr, flush=True)

    return tell
