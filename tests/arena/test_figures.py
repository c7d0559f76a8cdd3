"""Statistics, the table and the picture."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from kaimesh.arena.episodes import Episode
from kaimesh.arena.figures import statistics, table
from kaimesh.arena.picture import draw


def episode(score, length, **report):
    return Episode(int(score), float(score), np.zeros(length, np.int64), report)


def test_returns_and_lengths():
    figures = statistics([episode(1, 5), episode(6, 10), episode(2, 6)], 2.0)
    expected = {"mean": 3.0, "std": pytest.approx(np.sqrt(14 / 3)), "min": 1.0, "median": 2.0, "max": 6.0}
    assert {name: figures["return"][name] for name in expected} == expected
    assert [figures["return"][name] for name in ("p10", "p25", "p75", "p90")] == pytest.approx([1.2, 1.5, 4, 5.2])
    assert figures["length"]["median"] == 6
    assert figures["success"] == pytest.approx(2 / 3)
    assert (figures["worst"], figures["best"]) == (0, 1)
    assert (figures["report"], figures["flags"]) == ({}, [])
    assert statistics([episode(1, 5)], None)["success"] is None


def test_reports():
    episodes = [
        episode(9, 1, share_of_optimum=0.5, home=True, odd=1),
        episode(1, 1, share_of_optimum=0.75, home=False),
    ]
    figures = statistics(episodes, None)
    assert list(figures["report"]) == ["share_of_optimum", "home"], "only what all of them tell"
    assert figures["report"]["share_of_optimum"]["mean"] == 0.625, "the mean of shares, not the share of means"
    assert figures["report"]["home"]["mean"] == 0.5
    assert figures["flags"] == ["home"]
    assert (figures["worst"], figures["best"]) == (0, 1), "by share of the optimum, not by return"


def test_the_table_is_aligned():
    rows = {"return": {"mean": 1.0, "std": 123456.0}, "share_of_optimum": {"mean": 0.98765, "std": 0.0}}
    lines = table(rows)
    assert [line.split() for line in lines] == [
        ["mean", "std"],
        ["return", "1", "1.235e+05"],
        ["share", "of", "optimum", "0.9877", "0"],
    ]
    assert len({len(line) for line in lines}) == 1


REPORT = {"share_of_optimum": 0.8, "arrived": True, "missed": 2, "bumps": 100, "optimum_steps": 40}


@pytest.mark.parametrize(
    "episodes",
    [
        [episode(n, 10 + n) for n in range(5)],
        [episode(3, 7)],
        [episode(n, 50 + n, **REPORT | {"missed": n % 3, "arrived": n > 1}) for n in range(8)],
        [episode(5, 45, **REPORT), episode(0, 2000, **REPORT | {"arrived": False})],
        [episode(0, 50, **REPORT | {"share_of_optimum": 0.0, "arrived": False})] * 3,
        [episode(n, 9, **{f"count_{k}": n * k for k in range(9)}) for n in range(40)],
        [episode(n, 9, only=n) for n in range(4)],
    ],
)
def test_a_picture_of_anything(tmp_path, episodes):
    draw(episodes, "title", tmp_path / "deep" / "a.png")
    with Image.open(tmp_path / "deep" / "a.png") as picture:
        assert min(picture.size) > 400
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 20
