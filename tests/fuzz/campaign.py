"""Cases without end against one server, while a healthy client asks beside them; what was found, and the figures.

Case number i of a seed is always the same one: `case(what, seed, i)`.
"""

from __future__ import annotations

import json
import random
import time
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
_WARM = 0.2  # of the cases, before memory is measured for the first time


class Finding(NamedTuple):
    """A case that should not have done what it did."""

    index: int
    label: str
    what: str


class Figures(NamedTuple):
    """Of one campaign. frames: damaged ones that were sent (calls and web requests too); worst_s: of the healthy client."""

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
            f"{self.server}: {total.sent:,} damaged frames and {total.greetings:,} HELLOs in {self.seconds:.1f} s ({speed:,.0f}/s), "
            f"{total.refused:,} refusals, RSS {self.rss_before_mb:.0f} to {self.rss_after_mb:.0f} MB, {self.healthy_answers:,} "
            f"healthy answers, the slowest in {self.worst_s * 1000:.0f} ms; {self.internal_errors} internal errors, "
            f"{self.tracebacks} tracebacks, {len(self.findings)} findings (seed {self.seed}, {self.cases:,} cases)"
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


def run(
    server: Server, seed: int, cases: int, *, seconds: float = 1e9, start: int = 0, keep: Path | None = None
) -> Figures:
    """Plays `cases` cases, at most for so many seconds. A server that dies is started again. keep: where findings are written."""
    server.wait()
    healthy: Healthy | None = Healthy(server.what, server.ports)
    answers, worst_s, before_mb = 0, 0.0, server.rss_mb()
    total, found, began, done = Outcome(), [], time.monotonic(), 0
    for index in range(start, start + cases):
        if time.monotonic() - began > seconds:
            break
        this = case(server.what, seed, index)
        outcome, wrong = play(this, server)
        total, done = total.plus(outcome), done + 1
        if not wrong and healthy is not None and healthy.error is not None:
            wrong = f"the healthy client: {type(healthy.error).__name__}: {healthy.error}"
        if wrong:
            found.append(Finding(index, this.label, wrong))
            if keep is not None:
                write(keep / f"{server.what}-{seed}-{index}.json", this, server.what)
            if not server.alive or healthy is None or healthy.error is not None:
                healthy = _again(server)
        if index == start + int(_WARM * cases):
            before_mb = server.rss_mb()
        if healthy is not None:
            answers, worst_s = max(answers, healthy.answers), max(worst_s, healthy.worst_s)
    close_held()
    if healthy is not None:
        healthy.stop()
        answers, worst_s = healthy.answers, max(worst_s, healthy.worst_s)
        if healthy.error is not None:
            found.append(Finding(-1, "the end", f"the healthy client: {healthy.error!r}"))
    spent = time.monotonic() - began
    _wait_for_counters(server)
    after_mb = server.rss_mb() if server.alive else 0.0
    errors = int(server.counters().get("internal_errors", 0))
    return Figures(
        server.what, seed, done, spent, total, before_mb, after_mb, answers, worst_s, errors, server.tracebacks(), tuple(found)
    )  # fmt: skip


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


def _again(server: Server) -> Healthy | None:
    server.deaths += not server.alive
    server.kill()
    server.start()
    try:
        return Healthy(server.what, server.wait().ports)
    except Exception as error:  # it cannot even start: its own files end it
        server.deaths += 1
        damaged = server.folder.with_name(f"{server.folder.name}-damaged-{server.deaths}")
        server.kill()
        server.folder.rename(damaged)
        server.folder.mkdir()
        print(f"{server.what} does not start again: {str(error)[:300]}; its folder is {damaged}", flush=True)
        server.start()
        return Healthy(server.what, server.wait().ports)


def _wait_for_counters(server: Server) -> None:
    """Until they are of now."""
    now = time.time()
    deadline = time.monotonic() + 10
    while server.alive and server.published() < now and time.monotonic() < deadline:
        time.sleep(0.05)


def write(path: Path, this: Case, what: str) -> None:
    """Keeps a case, for `python -m tests.fuzz --replay PATH`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"server": what, "kind": type(this).__name__, "case": this.to_json()}, indent=1))


def read(path: Path) -> tuple[str, Case]:
    """The server's name, and the case."""
    data: dict[str, Any] = json.loads(path.read_text())
    assert data["server"] in KINDS
    kinds: dict[str, type[Stream] | type[Call]] = {"Stream": Stream, "Call": Call}
    return data["server"], kinds[data["kind"]].from_json(data["case"])
