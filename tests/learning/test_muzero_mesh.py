"""MuZero in the mesh, by benchmarks.strength: how soon it is as strong as it shall be; kills change nothing of that."""

from __future__ import annotations

import json
import statistics
import sys
from collections import Counter
from collections.abc import Callable
from itertools import count, pairwise
from typing import Any, NamedTuple

import pytest

from benchmarks import kills, strength
from tests.harness import Mesh

pytestmark = [pytest.mark.long, pytest.mark.learning]
EVERY_DUMP = 100_000  # are kept
DUMP_EVERY = 100  # learns, the preset's
EVERY = 1000  # learns, between two kills
NOISE = 16  # losing lines, from dump to dump with the newest weights (docs/results)

Model = dict[str, Any]


class Goal(NamedTuple):
    """What a mesh shall reach from nothing, with the preset.

    words: of benchmarks.strength. within_s: from the start to the dump of the first model that is `good`; other work
    may have the machine, too. still: what the two dumps after it are. step: every so-manieth dump is judged.
    """

    words: tuple[str, ...]
    within_s: float
    good: Callable[[Model], bool]
    still: Callable[[Model], bool]
    step: int = 1


GOALS = {  # on two idle cores: after 158 to 190 s; on two shared ones: after about 1,000 s
    "tic-tac-toe": Goal(("--app", "spiel:tic_tac_toe"), 900, lambda m: m["losing"] == 0, lambda m: m["losing"] <= 2),
    "connect-four": Goal(
        ("--app", "spiel:connect_four", "--opponent", "minimax:2"),
        3600,
        lambda m: m["score"] >= 0.8,
        lambda m: m["score"] >= 0.7,
        step=20,
    ),
}


@pytest.mark.timeout(5400)
@pytest.mark.parametrize("goal", GOALS.values(), ids=GOALS.keys())
def test_a_mesh_becomes_so_strong_from_nothing(mesh: Mesh, goal: Goal) -> None:
    arguments = strength.options().parse_args(goal.words)
    mesh.start("--detach", app=arguments.app, algo=arguments.algo, max_save_model_file_count=EVERY_DUMP)
    judge, _ = strength.judging(arguments, strength.untouched(mesh.run))

    def dump(number: int) -> Model:
        mesh.until(lambda: len(strength.dumps(mesh.run)) > number, f"dump {number}")
        return judge(strength.dumps(mesh.run)[number])

    for number in count(step=goal.step):
        model = dump(number)
        assert model["seconds"] < goal.within_s
        if goal.good(model):
            break
    assert all(goal.still(dump(number + after)) for after in (1, 2))


@pytest.mark.timeout(7200)
def test_kills_of_each_role_a_stop_and_a_resume_change_neither_the_books_nor_the_strength(mesh: Mesh) -> None:
    settings = {
        "app": "spiel:tic_tac_toe",
        "algo": "muzero",
        "reanalyse_count": 1,
        "buffer_checkpoint_seconds": 20,
        "max_save_model_file_count": EVERY_DUMP,
    }

    def stop() -> None:
        mesh.cli("stop", "all")
        balanced(mesh)

    whole = kills.Mesh(lambda *words: mesh.start("--detach", *words, **settings), stop, lambda: mesh.run)
    found = strength.judged(strength.options().parse_args([]), kills.killed_in_turn(whole, EVERY))
    happened, models = {one["what"]: one for one in found["happened"]}, found["models"]
    for one in happened.values():
        print(json.dumps(one), file=sys.stderr)
    assert list(happened) == [*kills.TURNS, kills.STOPPED]
    assert happened["buffer"]["lost"]["buffer_0"] > 0, "what was played after its last checkpoint"
    learns = [0, *(model["learns"] for model in models)]
    assert {after - before for before, after in pairwise(learns)} <= set(range(1, DUMP_EVERY + 1)), "counted on"
    for one in happened.values():
        assert one["after"] <= 1.5 * one["before"] + NOISE, one
    last = [model["losing"] for model in models[-10:]]
    assert statistics.median(last) <= 2
    assert min(last) == 0


def balanced(mesh: Mesh) -> None:
    """After a stop every game and every copy is in a counter or a gauge, by who made it and by who keeps it."""
    books = {line["name"]: line for line in mesh.status()["books"]}
    assert not [line for line in books.values() if line["missing"]]
    for keeper, makers in (("buffer_0", ("aisrv_0", "aisrv_1")), ("buffer_0, fresh copies", ("reanalyse_0",))):
        made = sum(books[maker]["came"] for maker in makers)
        places = sum((Counter(books[maker]["places"]) for maker in makers), Counter())
        assert places["samples_refused"] == 0
        assert 0 < places["samples_acked"] <= books[keeper]["came"] <= made
