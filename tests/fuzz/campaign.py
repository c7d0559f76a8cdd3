"""Cases without end against one server, while a healthy client asks beside them; what was found, and the figures.

Case number i of a seed is always the same one: `case(what, seed, i)`.
"""

from __future__ import annotations

import json
import random
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from tests.fuzz import calls, frames, pages
from tests.fuzz.calls import Bug, Call
from tests.fuzz.healthy import Healthy
from tests.fuzz.process import Server
from tests.fuzz.servers import KINDS
from tests.fuzz.stream import Outcome, Stream, Stuck, close_held

Case = Stream | Call
_DEATH_S = 3.0  # how long a process may take to end after the connection was lost
_WARM = 0.2  # of the budget, before memory is measured for the first time
_RECENT = 3  # cases that are kept with a finding: what ends a process may show one case later


class Finding(NamedTuple):
    """A case that should not have done what it did."""

    index: int
    label: str
    what: str


class Figures(NamedTuple):
    """Of one campaign.

    frames: damaged ones that were sent (calls and web requests too); worst_s: of the healthy client.
    """

    server: str
    seed: int
    cases: int
    seconds: float
    total: Outcome
    rss_before_mb: float
    rss_after_mb: float
    healthy_answers: int
    worst_s: float
    internal_errors: int
    tracebacks: int
    findings: tuple[Finding, ...]

    def words(self) -> str:
        """A line to report."""
        total, speed = self.total, self.total.sent / max(self.seconds, 1e-9)
        return (
            f"{self.server}: {total.sent:,} damaged frames and {total.greetings:,} HELLOs in {self.seconds:.1f} s "
            f"({speed:,.0f}/s), {total.answered:,} answers, {total.refused:,} refusals, RSS {self.rss_before_mb:.0f} "
            f"to {self.rss_after_mb:.0f} MB, {self.healthy_answers:,} healthy answers, the slowest in "
            f"{self.worst_s * 1000:.0f} ms; {self.internal_errors} internal errors, {self.tracebacks} tracebacks, "
            f"{len(self.findings)} findings (seed {self.seed}, {self.cases:,} cases)"
        )


def case(what: str, seed: int, index: int) -> Case:
    """One case."""
    rng = random.Random(f"{seed}/{what}/{index}")
    if what == "monitor":
        return pages.request(what, rng) if rng.randrange(3) == 0 else frames.conversation(what, rng)
    if what == "model_pool":
        call = calls.pool_call(what, rng)
    elif what == "learner":
        call = calls.learner_call(what, rng)
    else:
        return frames.conversation(what, rng)
    if rng.randrange(5) == 0:
        return pages.http2(what, call.method.encode(), b"".join(call.messages)[:9000], rng)
    return call


class Budget(NamedTuple):
    """When a campaign has done enough: all three counts are reached, or so many seconds are over."""

    cases: int = 0
    frames: int = 0
    greetings: int = 0
    seconds: float = 1e9

    def spent(self, cases: int, total: Outcome, seconds: float) -> float:
        """How much of it is used; 1 is all."""
        counts = ((cases, self.cases), (total.sent, self.frames), (total.greetings, self.greetings))
        return max(seconds / self.seconds, min((done / most for done, most in counts if most), default=1.0))


def run(server: Server, seed: int, budget: Budget, *, start: int = 0, keep: Path | None = None) -> Figures:
    """Plays cases until the budget is spent. A server that dies is started again. keep: where findings are written."""
    watch = _Watch(server.wait())
    total, found, began, done = Outcome(), [], time.monotonic(), 0
    before_mb, recent = 0.0, deque[Case](maxlen=_RECENT)
    while (spent := budget.spent(done, total, time.monotonic() - began)) < 1:
        this = case(server.what, seed, start + done)
        recent.append(this)
        outcome, wrong = play(this, server)
        total = total.plus(outcome)
        if wrong := wrong or watch.complaint():
            found.append(Finding(start + done, this.label, wrong))
            if keep is not None:
                write(keep / f"{server.what}-{seed}-{start + done}.json", recent, server.what)
            watch.renew()
        if not before_mb and spent >= _WARM:
            before_mb = server.rss_mb()
        done += 1
    close_held()
    if wrong := watch.stop():
        found.append(Finding(start + done, "the end", wrong))
    seconds = time.monotonic() - began
    _wait_for_counters(server)
    errors = int(server.counters().get("internal_errors", 0))
    return Figures(
        server.what, seed, done, seconds, total, before_mb, server.rss_mb() if server.alive else 0.0, watch.answers,
        watch.worst_s,
        errors, server.tracebacks(), tuple(found),
    )  # fmt: skip


class _Watch:
    """The healthy client of a server that may die: it, its figures over all its lives."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._answers, self._worst_s = 0, 0.0
        self._healthy = Healthy(server.what, server.ports)

    @property
    def answers(self) -> int:
        """Right answers so far."""
        return self._answers + self._healthy.answers

    @property
    def worst_s(self) -> float:
        """The longest wait for one of them."""
        return max(self._worst_s, self._healthy.worst_s)

    def complaint(self) -> str:
        """What is wrong with the server, as the healthy client sees it, or ""."""
        error = self._healthy.error
        if error is None:
            return ""
        if self._server.died(_DEATH_S):
            return f"the process ended ({self._server.exit_code}): {self._server.last_words()}"
        return f"the healthy client: {type(error).__name__}: {error}"

    def renew(self) -> None:
        """Where the server has died, starts it again, without its files where it cannot start with them."""
        server = self._server
        if server.alive and self._healthy.error is None:
            return
        self.stop()
        self._answers, self._worst_s = self.answers, self.worst_s
        for _ in range(2):
            server.kill()
            server.start()
            try:
                self._healthy = Healthy(server.what, server.wait().ports)
                return
            except Exception as error:
                server.deaths += 1
                aside = server.folder.with_name(f"{server.folder.name}-damaged-{server.deaths}")
                print(f"{server.what} does not start again: {str(error)[:300]}; its files are in {aside}", flush=True)
                server.folder.rename(aside)
                server.folder.mkdir()
        raise AssertionError(f"{server.what} does not start with an empty folder")

    def stop(self) -> str:
        """Ends the client's questions; its complaint."""
        self._healthy.stop()
        return self.complaint()


def play(this: Case, server: Server) -> tuple[Outcome, str]:
    """What one case did, and what was wrong with that, or ""."""
    outcome, wrong = Outcome(), ""
    try:
        outcome = this.play(server.ports)
    except (Bug, Stuck, AssertionError) as error:
        wrong = f"{type(error).__name__}: {error}"
    except ConnectionRefusedError as error:
        wrong = f"nobody listens: {error}"
        server.died(_DEATH_S)
    if not server.alive:
        wrong = f"the process ended ({server.exit_code}): {server.last_words()}"
    return outcome, wrong


def _wait_for_counters(server: Server) -> None:
    """Until they are of now."""
    now = time.time()
    deadline = time.monotonic() + 10
    while server.alive and server.published() < now and time.monotonic() < deadline:
        time.sleep(0.05)


def write(path: Path, cases: Iterable[Case], what: str) -> None:
    """Keeps cases, for `python -m tests.fuzz --replay PATH`; the last one is the suspect."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = [{"kind": type(this).__name__, **this.to_json()} for this in cases]
    path.write_text(json.dumps({"server": what, "cases": kept}, indent=1))


def read(path: Path) -> tuple[str, list[Case]]:
    """The server's name, and the cases."""
    data: dict[str, Any] = json.loads(path.read_text())
    assert data["server"] in KINDS
    kinds: dict[str, type[Stream] | type[Call]] = {"Stream": Stream, "Call": Call}
    return data["server"], [kinds[kept.pop("kind")].from_json(kept) for kept in data["cases"]]
