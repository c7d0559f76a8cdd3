"""Wins, draws and losses, and their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from kaimesh.arena.agreement import agreement
from kaimesh.arena.episodes import Episode
from kaimesh.arena.standings import Result, notes, standings, wilson, worth
from tests.arena.boards import EMPTY, Exact, best, free, put


@pytest.mark.parametrize(("wins", "count"), [(0, 1), (1, 1), (0, 20), (20, 20), (7, 20), (163, 200), (1999, 2000)])
def test_wilson_is_scipys(wins, count):
    expected = binomtest(wins, count).proportion_ci(0.95, "wilson")
    assert wilson(wins / count, count) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_a_scores_interval_covers_the_truth_often_enough():
    """Games worth 1, 1/2 and 0 with some probabilities: the mean is within the interval in at least 95 of 100 cases."""
    random = np.random.default_rng(1)
    for shares in ([0.5, 0.0, 0.5], [0.3, 0.5, 0.2], [0.9, 0.05, 0.05], [0.05, 0.9, 0.05]):
        means = random.multinomial(200, shares, 2000) @ [1.0, 0.5, 0.0] / 200
        truth = shares[0] + shares[1] / 2
        assert np.mean([low <= truth <= high for low, high in (wilson(mean, 200) for mean in means)]) > 0.94


@pytest.mark.parametrize(
    ("returns", "worths"),
    [
        ([1, -1], [1, 0]),
        ([0, 0], [0.5, 0.5]),
        ([2, 1, 0], [1, 0, 0]),
        ([1, 1, -2], [0.5, 0.5, 0]),
        ([0, 0, 0], [0.5] * 3),
    ],
)
def test_who_has_won(returns, worths):
    assert [worth(np.array(returns, float), seat) for seat in range(len(returns))] == worths


def game(seat, first, actions=(0, 1)):
    returns = np.array([first, -first], float)
    return Result(seat, returns, (0,), Episode(1, float(returns[seat]), np.array(actions), {}))


def test_seats_and_all():
    results = [game(0, 1), game(0, 1), game(0, 0, (2,)), game(0, -1), game(1, -1), game(1, 1)]
    found = standings(results)
    first, second = found["seats"]
    assert [first[name] for name in ("seat", "games", "wins", "draws", "losses")] == [0, 4, 2, 1, 1]
    assert (first["score"], first["return"]) == (0.625, 0.25)
    assert [second[name] for name in ("seat", "games", "wins", "draws", "losses")] == [1, 2, 1, 0, 1]
    assert [found["all"][name] for name in ("games", "wins", "draws", "losses")] == [6, 3, 1, 2]
    assert found["all"]["score"] == pytest.approx(3.5 / 6)
    assert found["all"]["intervals"]["wins"] == list(wilson(0.5, 6))
    assert (found["games"], found["different"]) == (6, 3)
    assert "only 2 of 5 games differ" in notes(standings(results[:2] * 2 + [game(1, 1)]), 0)[0]
    assert notes(standings([game(0, 1), game(0, 1, (3,))]), 0) == []


def test_agreement_counts_moves_as_a_slow_count_does():
    """Random games of tic-tac-toe; the exact values are those of tests.arena.boards."""
    random = np.random.default_rng(3)
    results, kept, choices, chosen = [], 0, 0, 0
    for seat in (0, 1) * 20:
        actions, cells, plies = [], EMPTY, []
        while free(cells):
            field = int(random.choice(free(cells)))
            if len(actions) % 2 == seat:
                plies.append(len(actions))
                if len(actions) >= 3:
                    good = field in best(cells)
                    kept += good
                    choices += len(best(cells)) < len(free(cells))
                    chosen += good and len(best(cells)) < len(free(cells))
            actions.append(field)
            cells = put(cells, field)
        results.append(Result(seat, np.zeros(2), tuple(plies), Episode(0, 0.0, np.array(actions), {})))
    found = agreement(Exact(), results, 3, print)
    assert found["moves"] == sum(ply >= 3 for result in results for ply in result.plies)
    assert (found["kept"], found["choices"], found["chosen"], found["best"]) == (kept, choices, chosen, kept)
    assert 0 < chosen < choices < found["moves"]
    assert found["intervals"]["chosen"] == list(wilson(chosen / choices, choices))
    assert agreement(Exact(), results, 9, print)["words"] == ["perfect play: the model made no move from ply 9 on"]
