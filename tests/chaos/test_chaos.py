"""Thirty rounds of bad things done to a mesh that trains: it comes back, its books add up, and it learns as before."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kaimesh.operate.view.books import Line, lines
from kaimesh.operate.view.overview import look
from tests.chaos.deeds import PROCESSES, WATCHDOG_S, ChaosMesh, Deed, schedule, small_disk
from tests.harness import WAIT_S, wait_until

SOLVED = 475  # the mean return of 100 episodes of CartPole, as in tests/learning
LEARNS_WITHIN_S = 600.0
SETTLES_S = 30.0
UNDER_WAY = 8192  # samples that an aisrv or the learner may have in hand while the mesh runs
Say = Callable[[str], None]


@pytest.fixture
def chaos(tmp_path: Path) -> Iterator[tuple[ChaosMesh, str]]:
    """A mesh that is not started, and why it has no disk of its own; "": it has one. Nothing of it is left behind."""
    mesh = ChaosMesh(tmp_path)
    with small_disk(mesh.disk) as trouble:
        try:
            yield mesh, trouble
        finally:
            mesh.close()
            assert mesh.everything() == []


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Prints at once, whatever pytest captures."""

    def print_(line: str) -> None:
        with capsys.disabled():
            print(line, flush=True)

    return print_


@pytest.mark.long
@pytest.mark.mesh
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("algo", ["ppo", "dqn"])
def test_whatever_is_done_to_it(
    algo: str, chaos: tuple[ChaosMesh, str], say: Say, request: pytest.FixtureRequest
) -> None:
    mesh, no_disk = chaos
    rounds = request.config.getoption("rounds", 30)
    seed = request.config.getoption("seed", None)
    seed = random.randrange(1 << 16) if seed is None else seed
    say(f"\n{algo}: {rounds} rounds, --seed {seed}")
    if no_disk:
        say(f"NOT TESTED: a full disk; none can be mounted here ({no_disk:.20})")
    mesh.start(
        "--detach",
        "--algo",
        algo,
        aisrv_count=1,
        watchdog_seconds=WATCHDOG_S,
        max_restarts=10_000,
        buffer_checkpoint_seconds=5,
    )
    mesh.wait_for("learner_0", "learner_steps", 5)
    say(f"{'round':<7}{'done':<29}{'back in':>8}{'inserted':>13}{'lost':>9}  books")
    for number, deed in enumerate(schedule(rounds, seed, not no_disk), 1):
        say(one_round(mesh, f"{number}/{rounds}", deed))
    best = wait_until(lambda: solved(mesh), LEARNS_WITHIN_S, f"{algo} reaches {SOLVED}: {look(mesh.run).totals}")
    mesh.cli("stop", "all")
    found = {line.name: line for line in lines(mesh.run.statuses())}
    say(f"mean return {best:.0f}; after the stop:")
    for line in found.values():
        say(shown(line))
    assert {name: line.missing for name, line in found.items() if line.missing} == {}
    if "learner_0" in found:  # it drew from a queue
        assert found["learner_0"].came == found["buffer_0"].places["sampled"]
    assert found["buffer_0"].came >= found["aisrv_0"].places["samples_acked"]
    assert stray(mesh) == []


def one_round(mesh: ChaosMesh, number: str, deed: Deed) -> str:
    """Does it, waits until all work again and the books add up; the line that says so, of 80 columns at most."""
    deed.do(mesh)
    began = time.monotonic()
    comes_back(mesh)
    took_s = time.monotonic() - began
    kept = books_add_up(mesh)
    lost = sum(line.places["lost_in_kill"] for line in lines(mesh.run.statuses()))
    return f"{number:<7}{deed.words:<29}{took_s:>6.1f} s{kept.came:>13,}{lost:>9,}  add up"


def comes_back(mesh: ChaosMesh) -> None:
    """Every process lives, and whoever works goes on with its work."""
    work = {"aisrv_0": "env_steps", "actor_0": "predictions", "learner_0": "learner_steps"}
    before = {name: mesh.counter(name, counter) for name, counter in work.items()}
    mesh.until(
        lambda: all(mesh.counter(name, counter) >= before[name] + 3 for name, counter in work.items()),
        "they work again",
    )
    mesh.until(lambda: set(mesh.run.statuses()) >= set(PROCESSES), "all have a status")
    assert mesh.status()["state"] == "running", mesh.logs()


def books_add_up(mesh: ChaosMesh) -> Line:
    """Waits until each line does: the buffer's exactly, while no samples come; the others' but for what is in hand."""
    aisrv = mesh.processes("aisrv_0")[0]
    aisrv.suspend()
    try:
        kept = wait_until(lambda: exact(mesh), SETTLES_S, f"the buffer's line: {lines(mesh.run.statuses())}")
    finally:
        aisrv.resume()
    wait_until(
        lambda: all(0 <= line.missing <= UNDER_WAY for line in lines(mesh.run.statuses())),
        WAIT_S,
        f"the lines: {lines(mesh.run.statuses())}",
    )
    return kept


def exact(mesh: ChaosMesh) -> Line | None:
    """The buffer's line, if it adds up."""
    return next((line for line in lines(mesh.run.statuses()) if line.name == "buffer_0" and not line.missing), None)


def solved(mesh: ChaosMesh) -> float:
    """The mean return, once it is as high as without chaos."""
    mean = look(mesh.run).totals.return_mean_100 or 0.0
    return mean if mean >= SOLVED else 0.0


def shown(line: Line) -> str:
    """A line of the books, wrapped at 80 columns."""
    words = [f"{name} {count:,}" for name, count in line.places.items() if count]
    text, rows = f"  {line.name} {line.came:,} =", []
    for word in words:
        if len(text) + len(word) > 76:
            rows.append(text)
            text = "   "
        text += f" {word} +"
    return "\n".join([*rows, text.removesuffix(" +")])


def stray(mesh: ChaosMesh) -> list[str]:
    """Temporary files and unfinished checkpoints that are still there after the stop."""
    found = [*mesh.disk.rglob(".*.tmp"), *mesh.disk.rglob("*.new"), *mesh.disk.rglob(".latest.*")]
    found += [*mesh.disk.rglob("kept/.[0-9]*"), *mesh.disk.glob("ballast"), *mesh.disk.rglob("*.damaged-*")]
    return [str(path.relative_to(mesh.disk)) for path in found]
