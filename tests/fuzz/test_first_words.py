"""The first client of a mesh decides what the actor's network and the buffer's table are for: it may say anything, too.

Servers in this process, a new one for each conversation; the same loop bodies as in tests.fuzz.servers.
"""

from __future__ import annotations

import os
import random
import threading
import time
from pathlib import Path

import psutil
import pytest

from kaimesh.process.life import Context
from tests.fuzz import frames
from tests.fuzz.servers import KINDS, context_of
from tests.fuzz.stream import Outcome, Stream, Stuck

CASES = {"actor": 25, "actor_diy": 15, "ingest": 2}  # a Reverb server takes a second
MANY = 200  # times as many in the long one
GROWTH_MB = 300.0
STEPS_S = 30.0


def played(stream: Stream, port: int) -> tuple[threading.Thread, list[Outcome | Exception]]:
    """The conversation, in a thread; the list gets what came of it."""
    came: list[Outcome | Exception] = []

    def play() -> None:
        try:
            came.append(stream.play([port]))
        except (Stuck, AssertionError, OSError) as error:
            came.append(error)

    thread = threading.Thread(target=play, daemon=True)
    thread.start()
    return thread, came


def first_words(what: str, seed: int, count: int, context: Context) -> None:
    """`count` servers, each with one damaged greeting. Fails where a loop raises, or does not come back."""
    for index in range(count):
        rng = random.Random(f"first/{seed}/{what}/{index}")
        stream = frames.first_words(what, rng)
        where = f"case {index} of seed {seed}: {stream.label}: {stream.pieces[0][32:600]!r}"
        (port,), step = KINDS[what](context)
        server = step.__self__ if hasattr(step, "__self__") else step.__closure__[0].cell_contents  # type: ignore[attr-defined]
        try:
            thread, came = played(stream, port)
            deadline = time.monotonic() + STEPS_S
            while thread.is_alive():
                assert time.monotonic() < deadline, f"{where}: no end"
                try:
                    step()
                except Exception as error:
                    raise AssertionError(f"{where}: the loop raised {error!r}") from error
            assert isinstance(came[0], Outcome), f"{where}: {came[0]!r}"
            assert not context.meter.counters.get("internal_errors"), where
        finally:
            server.close()
            core = getattr(server, "_ingest", None)
            if core is not None:
                core.close()


def _check(what: str, tmp_path: Path, seed: int, count: int) -> None:
    context = context_of(what, tmp_path)
    first_words(what, seed, 1, context)
    before = psutil.Process().memory_info().rss
    first_words(what, seed + 1, count, context)
    grown_mb = (psutil.Process().memory_info().rss - before) / 1e6
    assert grown_mb < GROWTH_MB, f"{grown_mb:.0f} MB more"


@pytest.mark.parametrize("what", CASES)
def test_the_first_client_may_say_anything(what: str, tmp_path: Path) -> None:
    _check(what, tmp_path, 1, CASES[what])


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("what", CASES)
def test_many_first_clients(what: str, tmp_path: Path) -> None:
    _check(what, tmp_path, int(os.environ.get("KAIMESH_FUZZ_SEED", "1000")), MANY * CASES[what])
