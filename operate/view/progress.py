"""The live view of a run: a panel on a terminal, else a line per interval. It only reads the run's files."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from kaimesh.operate.local.mesh_file import LIVE_STATES
from kaimesh.operate.view.overview import Overview, look
from kaimesh.operate.view.row import Row, sentence
from kaimesh.operate.view.totals import shown
from kaimesh.process import disk
from kaimesh.process.clocks import read_on
from kaimesh.process.meter import JUDGED
from kaimesh.process.run_dir import RunDir

SMOOTH_S = 10.0
WIDE = 100  # characters of a terminal in which everything has room
_NUMBERS = ("pid", "port", "restarts", "throughput", "model")
_COLUMNS = ("process", "pid", "port", "health", "restarts", "throughput", "model", "does")
COLOURS = {"ok": "green", "starting": "yellow", "restarting": "yellow", "silent": "red", "failed": "red"}


class Rates(NamedTuple):
    """Per second, over the last ten seconds."""

    env_steps: float = 0.0
    learner_steps: float = 0.0


class Speedometer:
    """Rates from the totals of successive views."""

    def __init__(self, window_s: float = SMOOTH_S) -> None:
        self._window_s = window_s
        self._seen: deque[tuple[float, int, int]] = deque()

    def __call__(self, now: float, view: Overview) -> Rates:
        """Adds one reading at `now`, monotonic, s."""
        self._seen.append((now, view.totals.env_steps, view.totals.learner_steps))
        while now - self._seen[0][0] > self._window_s and len(self._seen) > 2:
            self._seen.popleft()
        first, last = self._seen[0], self._seen[-1]
        seconds = last[0] - first[0]
        if seconds <= 0:
            return Rates()
        return Rates((last[1] - first[1]) / seconds, (last[2] - first[2]) / seconds)


def seconds_left(view: Overview, rates: Rates, now: float) -> float | None:
    """Seconds until the nearest limit; None if there is none, or no rate to tell it from."""
    limits, guesses = view.mesh.get("limits", {}), []
    if limits.get("max_seconds") and view.mesh.get("up"):
        guesses.append(view.mesh["up"] + limits["max_seconds"] - read_on(view.mesh, now))
    if limits.get("max_env_steps") and rates.env_steps > 0:
        guesses.append((limits["max_env_steps"] - view.totals.env_steps) / rates.env_steps)
    return max(0.0, min(guesses)) if guesses else None


def figures(view: Overview, rates: Rates, now: float) -> list[tuple[str, str]]:
    """The mesh's figures: name and value."""
    left = seconds_left(view, rates, now)
    smooth = view.totals._replace(env_steps_per_s=rates.env_steps, learner_steps_per_s=rates.learner_steps)
    named = shown(smooth)
    if (newest := judged(view.gauges)) is not None:
        named.append(("evaluation", newest))
    if view.state == "running":
        named.append(("left", "no limit" if left is None else f"{left:,.0f} s"))
    return named


def judged(gauges: Mapping[str, float]) -> str | None:
    """What the newest evaluation of a model has shown; None: there was none."""
    if f"{JUDGED}model" not in gauges:
        return None
    name = "score" if f"{JUDGED}score" in gauges else "return"
    return f"{name} {gauges[f'{JUDGED}{name}']:,.4g} (model {gauges[f'{JUDGED}model']:,.0f})"


def troubled(row: Row) -> bool:
    """Whether the plain view mentions the process: it waits, or is not well."""
    return row.state == "waiting" or (row.health not in ("ok", "done", "stopped") and row.state != "not started")


def plain_line(view: Overview, rates: Rates, now: float) -> str:
    """The whole mesh in one line."""
    words = [time.strftime("%H:%M:%S", time.localtime(now)), view.state]
    if view.disk:
        words.append(view.disk)
    if view.state != "starting":
        words += [f"{name} {value}" for name, value in figures(view, rates, now)]
    if view.state in LIVE_STATES:
        words += [f"{row.name}: {sentence(row, now)}" for row in view.rows if troubled(row)]
    return " | ".join(words)


def table(view: Overview, now: float, width: int = WIDE) -> Table:
    """One row per process. width: of the terminal, characters; a narrow one lacks what is seldom looked at, so that
    what each process does stays readable.
    """
    rows = Table(box=None, pad_edge=False, header_style="bold")
    left_out = set[str]()
    if width < WIDE:
        left_out = {"pid", "port"} if any(row.restarts for row in view.rows) else {"pid", "port", "restarts"}
    shown_columns = [name for name in _COLUMNS if name not in left_out]
    for name in shown_columns:
        rows.add_column(name, justify="right" if name in _NUMBERS else "left")
    for row in view.rows:
        cells = {
            "process": escape(row.name),
            "pid": str(row.pid or "-"),
            "port": str(row.port or "-"),
            "health": f"[{COLOURS.get(row.health, 'default')}]{row.health}[/]",
            "restarts": str(row.restarts),
            "throughput": "-" if row.throughput is None else escape(f"{row.throughput:,.0f} {row.throughput_unit}"),
            "model": "-" if row.model_version is None else str(row.model_version),
            "does": escape(sentence(row, now)),
        }
        rows.add_row(*(cells[name] for name in shown_columns))
    return rows


def panel(view: Overview, rates: Rates, now: float, width: int = WIDE) -> Panel:
    """The view on a terminal. width: as of `table`."""
    numbers = Table.grid(padding=(0, 3))
    pairs = figures(view, rates, now)
    for start in range(0, len(pairs), 4):
        numbers.add_row(*[f"[dim]{name}[/] [bold]{value}[/]" for name, value in pairs[start : start + 4]])
    title = f"{view.run.root.name}: {view.state}{': ' + view.mesh['reason'] if view.mesh.get('reason') else ''}"
    footer = "Ctrl-C leaves this view; the mesh goes on"
    trouble = [f"[red]{escape(view.disk)}[/]", ""] if view.disk else []
    return Panel(
        Group(*trouble, numbers, "", table(view, now, width)),
        title=escape(title),
        subtitle=footer,
        title_align="left",
    )


def watch(run: RunDir, report_s: float, plain: bool = False) -> Overview:
    """Shows the run until it has ended; KeyboardInterrupt passes through. Returns the last look."""
    return _live(run) if sys.stdout.isatty() and not plain else _plain(run, report_s)


def say(text: str) -> None:
    """A line on stdout. Where that is a file on a full disk the line is lost, and the view goes on."""
    try:
        print(text, flush=True)
    except OSError as error:
        if error.errno not in disk.NO_ROOM:
            raise


def _over(view: Overview) -> bool:
    return view.state not in LIVE_STATES


def _live(run: RunDir) -> Overview:
    speed = Speedometer()
    with Live(console=Console(), auto_refresh=False, transient=False) as live:
        while True:
            now = time.time()
            view = look(run, now)
            live.update(panel(view, speed(time.monotonic(), view), now, live.console.width), refresh=True)
            if _over(view):
                return view
            time.sleep(1.0)


def _plain(run: RunDir, report_s: float) -> Overview:
    speed, next_line = Speedometer(max(report_s, 5.0)), 0.0
    while True:
        now = time.time()
        view = look(run, now)
        rates = speed(time.monotonic(), view)
        if time.monotonic() >= next_line or _over(view):
            say(plain_line(view, rates, now))
            next_line = time.monotonic() + report_s
        if _over(view):
            return view
        time.sleep(0.5)
