"""The search as the acting code calls it: networks of dense layers, rows that are skipped, pieces, noise, metrics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaimesh.algorithms.muzero.search import figures, noise
from kaimesh.algorithms.muzero.search.mlp import Mlp, packed
from kaimesh.algorithms.muzero.search.rule import Rule
from kaimesh.algorithms.muzero.search.searching import Recurrent, Root, Search, Step

UNITS, HIDDEN, ACTIONS = 16, 72, 7
Weights = dict[str, np.ndarray]


def weights(seed: int, layers: int, players: int, outputs: int) -> Weights:
    """outputs: V."""
    rng = np.random.default_rng(seed)
    found: Weights = {"dynamics/action": rng.normal(size=(ACTIONS, HIDDEN)).astype("f")}
    ends = {"dynamics": UNITS + players * outputs + (players if players > 1 else 0)}
    ends["prediction"] = ACTIONS + players * outputs
    for part, end in ends.items():
        sizes = [UNITS, *[HIDDEN] * layers, end]
        for layer, name in enumerate([*range(layers), "out"]):
            shape = sizes[layer : layer + 2]
            found[f"{part}/{name}/w"] = (rng.normal(size=shape) * 1.5 / shape[0] ** 0.5).astype("f")
            found[f"{part}/{name}/b"] = (rng.normal(size=shape[1]) * 0.2).astype("f")
    return found


def inverse(y: np.ndarray) -> np.ndarray:
    """Of h, as arXiv:1805.11593 has it, in float64."""
    return np.sign(y) * (((np.sqrt(1 + 0.004 * (np.abs(y) + 1.001)) - 1) / 0.002) ** 2 - 1)


def in_numpy(given: Weights, layers: int, players: int, support: int, transformed: bool) -> Recurrent:
    """The network of `packed`, from its description."""
    outputs = 2 * support + 1

    def through(part: str, x: np.ndarray, added: np.ndarray | float = 0.0) -> np.ndarray:
        for layer in range(layers):
            x = x @ given[f"{part}/{layer}/w"] + given[f"{part}/{layer}/b"] + (added if layer == 0 else 0)
            x = np.maximum(x, 0)
        return x @ given[f"{part}/out/w"] + given[f"{part}/out/b"]

    def numbers(heads: np.ndarray) -> np.ndarray:
        y = heads.reshape(len(heads), players, outputs).astype(np.float64)
        share = np.exp(y - y.max(2, keepdims=True))
        y = share @ np.arange(-support, support + 1) / share.sum(2) if support else y[..., 0]
        return inverse(y) if transformed else y

    def recurrent(latent: np.ndarray, action: np.ndarray) -> Step:
        out = through("dynamics", latent, given["dynamics/action"][action])
        latent, rewards, mover = np.split(out, [UNITS, UNITS + players * outputs], 1)
        least = latent.min(1, keepdims=True)
        latent = (latent - least) / (latent.max(1, keepdims=True) - least + 1e-5)
        heads = through("prediction", latent)
        to_play = mover.argmax(1) if players > 1 else np.zeros(len(latent), int)
        return Step(latent, numbers(rewards), heads[:, :ACTIONS], numbers(heads[:, ACTIONS:]), to_play)

    return recurrent


def roots(seed: int, rows: int, players: int) -> Root:
    rng = np.random.default_rng(seed)
    legal = rng.random((rows, ACTIONS)) > 0.3
    legal[:, 1] |= ~legal.any(1)
    value, to_play = rng.normal(size=(rows, players)), rng.integers(players, size=rows)
    logits = rng.normal(size=(rows, ACTIONS))
    return Root(rng.random((rows, UNITS)).astype("f"), logits.astype("f"), value.astype("f"), legal, to_play)


def of(root: Root, rows: np.ndarray) -> Root:
    return Root(*(array if array is None else array[rows] for array in root))


def network(players: int = 2) -> Mlp:
    return packed(weights(3, 1, players, 1), 1, players, 0, False)


@pytest.mark.parametrize(
    ("layers", "players", "support", "transformed"), [(1, 1, 0, True), (2, 2, 0, False), (1, 3, 5, True)]
)
@pytest.mark.parametrize("kind", ["puct", "gumbel"])
def test_a_network_inside_is_as_one_outside(kind, layers, players, support, transformed) -> None:
    given, root = weights(5, layers, players, 2 * support + 1), roots(6, 40, players)
    search = Search(Rule(30, kind, "tree"), ACTIONS, players, (UNITS,), 64)
    gumbel = noise.gumbel(np.random.default_rng(0), (40, ACTIONS))
    inside = search.of_mlp(root, packed(given, layers, players, support, transformed), gumbel)
    outside = search.of_model(root, in_numpy(given, layers, players, support, transformed), gumbel)
    same = (inside.visits == outside.visits).all(1)
    assert same.mean() >= 0.97  # rounding may decide between two actions that are about equal
    np.testing.assert_allclose(inside.value[same], outside.value[same], rtol=2e-4, atol=2e-4)
    np.testing.assert_allclose(inside.q[same], outside.q[same], rtol=2e-4, atol=2e-4)
    assert (inside.visits.sum(1) == 30).all()
    assert not inside.visits[~root.legal].any()
    assert not inside.policy[~root.legal].any()
    np.testing.assert_allclose(inside.policy.sum(1), 1, rtol=1e-5)
    assert root.legal[np.arange(40), inside.action].all()


def test_the_rows_beside_a_row_do_not_matter() -> None:
    root, mlp = roots(7, 128, 2), network()
    search = Search(Rule(50, normalise="bounds"), ACTIONS, 2, (UNITS,), 64)
    together = search.of_mlp(root, mlp)
    for rows in (1, 2, 16):
        apart = [search.of_mlp(of(root, np.arange(i, i + rows)), mlp).visits for i in range(0, 128, rows)]
        np.testing.assert_array_equal(together.visits, np.concatenate(apart))


def test_more_rows_than_room_are_searched_in_pieces_with_beats_between() -> None:
    root, mlp, beats = roots(8, 50, 2), network(), []
    search = Search(Rule(20), ACTIONS, 2, (UNITS,), 16, beat=lambda: beats.append(1))
    found = search.of_mlp(root, mlp)
    assert len(beats) == 3
    whole = Search(Rule(20), ACTIONS, 2, (UNITS,), 64).of_mlp(root, mlp)
    for one, other in zip(found, whole, strict=True):
        np.testing.assert_array_equal(one, other)
    search.of_model(root, in_numpy(weights(3, 1, 2, 1), 1, 2, 0, False))
    assert len(beats) == 3 + 3 + 4 * 2  # every eighth of 20 simulations, in four pieces


@pytest.mark.parametrize("kind", ["puct", "ucb", "gumbel"])
def test_rows_without_a_search_say_what_the_network_says(kind: str) -> None:
    root, mlp = roots(9, 12, 2), network()
    root.legal[3:5] = False
    skip = np.arange(12) % 4 == 1
    rows = np.flatnonzero(root.legal.any(1) & ~skip)
    search = Search(Rule(16, kind), ACTIONS, 2, (UNITS,), 16)
    found = search.of_mlp(root._replace(skip=skip), mlp)
    alone = search.of_mlp(of(root, rows), mlp)
    for some, whole in zip(alone, found, strict=True):
        assert np.isfinite(whole).all()
        np.testing.assert_array_equal(some, whole[rows])
    rest = np.setdiff1d(np.arange(12), rows)
    assert len(rest) == 5
    assert not found.visits[rest].any()
    assert not found.policy[rest].any()
    np.testing.assert_array_equal(found.value[rest], root.value[rest])
    assert (figures.entropy(found.policy)[rest] == 0).all()


def test_what_a_search_found_is_the_callers() -> None:
    root, mlp = roots(10, 4, 2), network()
    search = Search(Rule(10), ACTIONS, 2, (UNITS,), 8)
    found = search.of_mlp(root, mlp)
    kept = [array.copy() for array in found]
    search.of_mlp(roots(11, 4, 2), mlp)
    for array, copy in zip(found, kept, strict=True):
        np.testing.assert_array_equal(array, copy)
    assert [array.dtype for array in found] == ["int32", "float32", "float32", "float32", "int32"]


def test_among_equally_visited_actions_the_better_one_is_chosen() -> None:
    """Two actions, two simulations: each is visited once, and the second one is worth more to who moves."""

    def recurrent(latent: np.ndarray, action: np.ndarray) -> Step:
        good = np.where(action == 1, 1.0, -1.0)
        reward = np.stack([-good, good], 1)
        return Step(latent, reward, np.zeros((1, 2)), np.zeros((1, 2)), np.zeros(1, int))

    for who, best in ((0, 0), (1, 1)):
        root = Root(np.zeros((1, 1)), np.zeros((1, 2)), np.zeros((1, 2)), np.ones((1, 2), bool), np.array([who]))
        rule = Rule(2, normalise="bounds", value_min=-100.0, value_max=100.0)
        found = Search(rule, 2, 2, (1,), 1).of_model(root, recurrent)
        assert (found.visits == 1).all()
        assert found.action[0] == best
        np.testing.assert_allclose(found.q[0, :, who], [1, -1] if best == 0 else [-1, 1])


@given(st.integers(0, 10**6), st.floats(0.01, 10), st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_noise_goes_to_legal_actions_alone(seed: int, alpha: float, share: float) -> None:
    rng = np.random.default_rng(seed)
    legal = rng.random((6, 5)) > 0.5
    logits = rng.normal(size=(6, 5)) * 5
    some = legal.any(1)
    noisy = np.exp(noise.dirichlet(rng, logits, legal, alpha, share).astype(np.float64))
    assert not noisy[~legal].any()
    np.testing.assert_allclose(noisy[some].sum(1), 1, rtol=1e-5)
    prior = np.exp(logits) * legal
    prior = prior[some] / prior[some].sum(1, keepdims=True)
    assert (noisy[some] >= (1 - share) * prior - 1e-6).all()
    assert np.isfinite(noise.dirichlet(rng, logits, legal, alpha, share)).all()


def test_noise_has_the_moments_of_a_dirichlet_distribution() -> None:
    """Of three legal actions of five: mean 1/3, variance 2 / (9 (3 alpha + 1))."""
    legal = np.tile([True, False, True, True, False], (20_000, 1))
    noisy = np.exp(noise.dirichlet(np.random.default_rng(0), np.zeros(legal.shape), legal, 0.5, 1.0))
    np.testing.assert_allclose(noisy.mean(0), np.where(legal[0], 1 / 3, 0), atol=0.01)
    np.testing.assert_allclose(noisy.var(0)[legal[0]], 2 / 9 / 2.5, atol=0.003)


def test_a_network_that_says_nan_ends_nothing() -> None:
    given = {name: array * np.nan for name, array in weights(3, 1, 2, 1).items()}
    found = Search(Rule(30), ACTIONS, 2, (UNITS,), 64).of_mlp(roots(12, 20, 2), packed(given, 1, 2, 0, False))
    assert (found.visits.sum(1) == 30).all()


def test_metrics() -> None:
    policy = np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]], np.float32)
    np.testing.assert_allclose(figures.entropy(policy), [np.log(2), 0, 0], atol=1e-6)
    found = figures.nothing_found(np.zeros((2, 1), np.float32), 3)
    found.visits[:] = [[1, 2, 3], [4, 5, 6]]
    np.testing.assert_array_equal(figures.visits_of(found, np.array([2, 0])), [3, 4])


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (Rule(0), "simulations = 0"),
        (Rule(5, "uct"), "kind = 'uct'"),
        (Rule(5, normalise="all"), "normalise = 'all'"),
        (Rule(5, value_min=1.0), "value_min = 1.0, value_max = 1.0"),
        (Rule(5, discount=-1.0), "discount = -1.0"),
    ],
)
def test_a_rule_that_cannot_be_followed_is_refused(rule: Rule, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        Search(rule, 3)
