"""Every port under fuzzing, beside a healthy client: no process ends, nobody is held up, nothing is answered wrongly.

By default a few hundred conversations with each port. `-m long` sends FRAMES damaged frames and HELLOS greetings and
reports, over all ports; KAIMESH_FUZZ_SEED sets its first seed and KAIMESH_FUZZ_SECONDS ends each part early (the
figures say how far it came). A finding is written to a file that `python -m tests.fuzz --replay FILE` plays again; the
case number and the seed do it, too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.campaign import Budget, Figures, case, run
from tests.fuzz.process import Server
from tests.fuzz.servers import KINDS

CASES = {"actor": 60, "actor_diy": 60, "ingest": 15, "monitor": 60, "model_pool": 60, "learner": 50}
WORST_S = 5.0  # for a healthy client's answer, on a machine that other tests use too
GROWTH_MB = 64.0

FRAMES = int(os.environ.get("KAIMESH_FUZZ_FRAMES", "1000000"))
HELLOS = int(os.environ.get("KAIMESH_FUZZ_HELLOS", "20000"))
SEED = int(os.environ.get("KAIMESH_FUZZ_SEED", "1000"))
SECONDS = float(os.environ.get("KAIMESH_FUZZ_SECONDS", "1e9"))
# Which part of the long budget goes to which port: a frame costs microseconds, a call a millisecond.
SHARES = {"actor": 0.38, "actor_diy": 0.3, "ingest": 0.3, "monitor": 0.01, "model_pool": 0.005, "learner": 0.005}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    """All of them, started at once."""
    folder = tmp_path_factory.mktemp("fuzz")
    started = {what: Server(what, folder / what) for what in KINDS}
    yield started
    for server in started.values():
        server.kill()


def judge(figures: Figures, keep: Path) -> None:
    """Fails where anything was found, and says how to see it again."""
    print(figures.words())
    told = [f"case {f.index} ({f.label[:200]}): {f.what[:600]}" for f in figures.findings]
    again = f"python -m tests.fuzz --replay {keep}/{figures.server}-{figures.seed}-<case>.json"
    assert not told, "\n".join([f"{len(told)} findings with seed {figures.seed}; see one again: {again}", *told[:5]])
    assert figures.internal_errors == 0, f"the server met a bug of ours; its log has the traceback. {figures.words()}"
    assert figures.healthy_answers > 0
    assert figures.worst_s < WORST_S, f"a healthy client was held up. {figures.words()}"
    assert figures.rss_after_mb - figures.rss_before_mb < GROWTH_MB, f"memory grew. {figures.words()}"


@pytest.mark.parametrize("what", KINDS)
def test_damaged_input_disturbs_nobody(what: str, servers: dict[str, Server], tmp_path: Path) -> None:
    judge(run(servers[what], 1, Budget(CASES[what]), keep=tmp_path), tmp_path)
    assert servers[what].tracebacks() == 0


def test_a_seed_always_gives_the_same_cases() -> None:
    for what in KINDS:
        assert [case(what, 5, i) for i in range(20)] == [case(what, 5, i) for i in range(20)]
        assert case(what, 5, 0) != case(what, 6, 0)


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("what", KINDS)
def test_a_million_damaged_frames(what: str, tmp_path: Path) -> None:
    server = Server(what, tmp_path / what)
    try:
        frames, hellos = int(FRAMES * SHARES[what]), HELLOS // 4 if what != "monitor" else HELLOS
        if what in ("model_pool", "learner"):
            hellos = 0
        judge(run(server, SEED, Budget(0, frames, hellos, SECONDS), keep=tmp_path), tmp_path)
    finally:
        server.kill()
