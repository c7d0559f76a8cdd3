"""The state and metrics of a process: counters, rates, gauges, phase times, episodes.

A file a second, a log line an interval.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from kaimesh.contract import calls
from kaimesh.process.clocks import stamp
from kaimesh.process.documents import STATUS, publish_json, read_json
from kaimesh.process.kept import Kept
from kaimesh.process.logs import host

RECENT_EPISODES = 100
SEAT_RETURN = "return_seat_"  # gauges: the mean return of each seat over the recent episodes, of several players
JUDGED = "evaluation/"  # gauges: what the newest model that was judged has shown, and which model that was
REANALYSED = "reanalysed_"  # counters and gauges of what was searched again
LOST = "lost_in_kill"
FRESH = "fresh_"  # before the counters and gauges of a buffer's second table
# The counters of the books (docs/architecture.md, Where a sample is) and of replay_ratio, which outlive kills, begin so
_BOOKS = ("inserted", "sampled", "evicted", "dropped", LOST, "samples_", "positions_", FRESH)
Reading = tuple[float, dict[str, float], dict[str, float]]  # when, monotonic, s; counters; seconds of each phase


class Phase:
    """Adds up the time spent inside a `with`, by one thread. Any thread may ask how much it is, also meanwhile."""

    __slots__ = ("_clock", "_depth", "_reading")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._depth = clock, 0
        # Seconds before the present `with`, and when that was entered; None: it is left. One tuple, replaced as a
        # whole, for another thread that reads the two apart could count some seconds twice.
        self._reading: tuple[float, float | None] = (0.0, None)

    def __enter__(self) -> None:
        self._depth += 1
        if self._depth == 1:  # inside another `with` of the same phase the time is counted already
            self._reading = (self._reading[0], self._clock())

    def __exit__(self, *exc_info: object) -> None:
        self._depth -= 1
        seconds, entered = self._reading
        if self._depth == 0 and entered is not None:
            self._reading = (seconds + self._clock() - entered, None)

    def seconds(self, now: float) -> float:
        """Its time up to `now`, that of a `with` which is not left yet too: one learn may take many intervals."""
        seconds, entered = self._reading
        return seconds if entered is None else seconds + max(0.0, now - entered)


class Meter:
    """The metrics and the state of one process; every method may be called from any thread.

    path: the status file; counters go on from what an earlier life of the same process wrote there, and those of the
    books from what it had kept beside it (`keep`). first_life: the number of a life that finds no file; later ones
    count on from it.
    counters are totals of the run, gauges are last values, phases are seconds per name ("env", "predict", "wait", ...).
    """

    def __init__(
        self,
        name: str,
        path: Path | None = None,
        *,
        report_s: float = 10.0,
        first_life: int = 0,
        logger: logging.Logger | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.name, self.path, self.report_s = name, path, report_s
        self._log = logger or logging.getLogger(name)
        self._clock, self._wall = clock, wall
        self._lock = threading.Lock()
        previous = read_json(path, STATUS) if path is not None else {}
        self.counters: dict[str, float] = dict(previous.get("counters", {}))
        self._kept = Kept(None if path is None else path.with_suffix(".kept"), self._log)
        self.counters.update(self._kept.found)
        self._counted, self._books = -1, list[str]()  # how many counters there were, and which of them are kept
        self.inherited = dict(self.counters)  # their values at the start of this process
        self.listeners: list[Callable[[dict[str, Any]], None]] = []  # called with each snapshot; must not block
        self.gauges: dict[str, float] = {}
        self.life: int = previous.get("life_number", 0) + 1 if previous else first_life
        self.info: dict[str, Any] = {"previous_state": previous.get("state")} if previous else {}
        self.info["life_number"] = self.life
        self._phases: dict[str, Phase] = {}
        # When it ended, its return, its length. Times are monotonic, and become wall time when they are published:
        # after a jump of the machine's clock, all of them are as long ago as they were before.
        self._episodes: deque[tuple[float, float | None, int]] = deque(_episodes_of(previous, clock()), RECENT_EPISODES)
        self._seats: deque[Sequence[float]] = deque(maxlen=RECENT_EPISODES)
        self._state, self._blocked_on, self._since = "starting", "", clock()
        self._started, self._born, self._beat = wall(), clock(), clock()
        self._last: Reading = (clock(), dict(self.counters), {})
        self._last_report = self._last
        self._stop, self._wake = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def count(self, name: str, amount: float = 1) -> None:
        """Adds to a counter."""
        with self._lock:
            self.counters[name] = self.counters.get(name, 0) + amount

    def keep(self) -> None:
        """Keeps the counters of the books as they are now, whatever happens to this process. Some microseconds."""
        if self.path is None:
            return
        with self._lock:
            if len(self.counters) != self._counted:
                self._counted = len(self.counters)
                self._books = [name for name in self.counters if name.startswith(_BOOKS)]
            if not self._books:
                return
            self._kept.write({name: self.counters[name] for name in self._books})

    def gauge(self, name: str, value: float) -> None:
        """Sets a last value."""
        self.gauges[name] = float(value)

    def phase(self, name: str) -> Phase:
        """`with meter.phase("env"):`; fetch it once outside a hot loop. One thread per phase."""
        with self._lock:
            if name not in self._phases:
                self._phases[name] = Phase(self._clock)
            return self._phases[name]

    def episode(self, episode_return: float, length: int, seats: Sequence[float] = ()) -> None:
        """One finished episode. seats: the return of each player, if there are several; `episode_return` is then that
        of seat 0, and the gauges SEAT_RETURN have the means of all.
        """
        with self._lock:
            self.counters["episodes"] = self.counters.get("episodes", 0) + 1
            self._episodes.append((self._clock(), float(episode_return), int(length)))
            if len(seats):
                self._seats.append([float(earned) for earned in seats])
        for seat, earned in enumerate(zip(*self._seats, strict=True)) if len(seats) else ():
            self.gauge(f"{SEAT_RETURN}{seat}", sum(earned) / len(earned))

    def state(self, state: str, blocked_on: str = "") -> None:
        """Sets the state, and what the process waits for.

        States: "starting", "ready", "working", "waiting", "stopping", "failed", "done".
        """
        self.beat()
        if (state, blocked_on) != (self._state, self._blocked_on):
            with self._lock:
                if self._state == "starting" and state != "starting":
                    self._wake.set()  # published at once: the keeper waits for this process to be healthy
                if state != self._state or not (self._blocked_on and blocked_on):
                    self._since = self._clock()
                self._state, self._blocked_on = state, blocked_on

    @property
    def is_starting(self) -> bool:
        """Whether the state is still "starting"."""
        return self._state == "starting"

    @property
    def blocked_on(self) -> str:
        """What the process waits for, as `state` was told last."""
        return self._blocked_on

    def beat(self) -> None:
        """Tells the watchdog that the main loop is alive, and that the call goes on that this thread is in."""
        self._beat = self._clock()
        calls.progress()

    @property
    def last_beat(self) -> float:
        """When that was, monotonic, s."""
        return self._beat

    def silent_s(self) -> float:
        """Seconds since the last beat."""
        return self._clock() - self._beat

    def snapshot(self) -> dict[str, Any]:
        """What the status file holds; rates are per second since the last snapshot."""
        with self._lock:
            reading = self._reading()
            (now, counters, phases), wall = reading, self._wall()
            rates, shares = _change(self._last, reading)
            self._last = reading
            return {
                "name": self.name,
                "pid": os.getpid(),
                "host": host(),
                "state": self._state,
                "blocked_on": self._blocked_on,
                "since": wall - (now - self._since),
                "started": self._started,
                "up_s": now - self._born,
                **stamp(wall, lambda: now),
                "silent_s": self.silent_s(),
                "counters": counters,
                "rates": rates,
                "gauges": dict(self.gauges),
                "phases": shares,
                "phase_seconds": phases,
                "recent_episodes": [(wall - (now - ended), *rest) for ended, *rest in self._episodes],
                **self.info,
            }

    def publish(self) -> None:
        """Writes the status file and calls the listeners.

        A disk error is logged once, and stands in the status as `disk`.
        """
        if self.path is None and not self.listeners:
            return
        self.keep()
        snapshot = self.snapshot()
        for listener in self.listeners:
            listener(snapshot)
        if self.path is not None:
            self._disk(publish_json(self.path, snapshot))

    def _disk(self, trouble: str) -> None:
        before = self.info.get("disk", "")
        if trouble and not before:
            self._log.error("%s; going on without it, trying again each second", trouble)
        elif before and not trouble:
            self._log.info("the disk takes what is written again")
            del self.info["disk"]
        if trouble:
            self.info["disk"] = trouble

    def report(self) -> str:
        """The log line: state, rates and phase shares since the last report."""
        with self._lock:
            current = self._reading()
        rates, shares = _change(self._last_report, current)
        self._last_report = current
        words = [self._state + (f" (blocked on {self._blocked_on})" if self._blocked_on else "")]
        words += [f"{name} {rate:,.0f}/s" for name, rate in rates.items() if rate]
        words += [f"{name} {value:.4g}" for name, value in list(self.gauges.items())]
        words += [f"{name} {share:.0%}" for name, share in shares.items() if share >= 0.005]
        return " | ".join(words)

    def _reading(self) -> Reading:
        now = self._clock()
        return now, dict(self.counters), {name: phase.seconds(now) for name, phase in self._phases.items()}

    def start(self) -> None:
        """Publishes now and then every second, and reports every `report_s`, in a thread, until `stop`.

        It is published now so that a life that ends at once counts as one, too.
        """
        self.publish()
        self._thread = threading.Thread(target=self._run, name="meter", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread, and publishes a last time."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        self.publish()

    def _run(self) -> None:
        next_report = self._clock() + self.report_s
        while not self._stop.is_set():
            self._wake.wait(1.0)
            self._wake.clear()
            self.publish()
            if self._clock() >= next_report:
                late_s = self._clock() - next_report  # after a pause one line is missing, and not one for each interval
                next_report += self.report_s * (1 + late_s // self.report_s)
                self._log.info("%s", self.report())


def _episodes_of(status: dict[str, Any], now: float) -> Iterator[tuple[float, float | None, int]]:
    """The episodes in an earlier life's status, as if that had been published just `now`, monotonic, s."""
    for ended, earned, length in status.get("recent_episodes", []):
        yield now - (status.get("time", ended) - ended), earned, length


def _change(before: Reading, after: Reading) -> tuple[dict[str, float], dict[str, float]]:
    """By name: how much the counters rose per second, and the share of the time that the phases took, 0 to 1."""
    seconds = max(after[0] - before[0], 1e-9)
    rates = {name: (value - before[1].get(name, 0)) / seconds for name, value in after[1].items()}
    took = {name: value - before[2].get(name, 0.0) for name, value in after[2].items()}
    shares = {name: min(max(value / seconds, 0.0), 1.0) for name, value in took.items()}  # a thread may just have left
    return rates, shares
