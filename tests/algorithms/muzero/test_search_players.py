"""The search for several players against the same written one root and one object at a time."""

from __future__ import annotations

import numpy as np
import pytest

from kaimesh.algorithms.muzero.search.rule import KINDS, NORMALISE, Rule
from kaimesh.algorithms.muzero.search.searching import Recurrent, Root, Search, Step
from tests.algorithms.muzero import plain_search

ROWS, ACTIONS, PLAYERS, UNITS = 12, 5, 3, 8
DTYPES = ["float32", pytest.param("float64", marks=pytest.mark.long)]  # the second is compiled for tests alone


def game(seed: int, dtype: str = "float32") -> tuple[Root, Recurrent]:
    """Three players with rewards of their own; who moves next depends on the state, and may be who moved."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(dtype)

    moves, heads = normal(ACTIONS, UNITS), normal(UNITS, ACTIONS + 3 * PLAYERS) / UNITS**0.5
    mixing = normal(UNITS, UNITS) / UNITS**0.5
    cuts = np.cumsum([ACTIONS, PLAYERS, PLAYERS])

    def heads_of(latent: np.ndarray) -> list[np.ndarray]:
        return np.split((latent[:, :, None] * heads).sum(1), cuts, 1)  # the same numbers for any number of rows

    def recurrent(latent: np.ndarray, action: np.ndarray) -> Step:
        behind = np.tanh((latent[:, :, None] * mixing).sum(1) + moves[action])
        logits, value, reward, mover = heads_of(behind)
        return Step(behind, reward, logits, value, mover.argmax(1))

    latent = np.tanh(normal(ROWS, UNITS))
    logits, value, _, mover = heads_of(latent)
    legal = rng.random((ROWS, ACTIONS)) > 0.3
    legal[:, 0] |= ~legal.any(1)
    return Root(latent, logits, value, legal, mover.argmax(1)), recurrent


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("normalise", NORMALISE)
@pytest.mark.parametrize("kind", ["puct", "ucb"])
def test_three_players(kind: str, normalise: str, dtype: str) -> None:
    root, recurrent = game(1, dtype)
    atol = 1e-12 if dtype == "float64" else 1e-5
    assert len(set(root.to_play)) == PLAYERS
    rule = Rule(40, kind, normalise, value_min=-2.0, value_max=3.0, discount=0.9)
    found = Search(rule, ACTIONS, PLAYERS, (UNITS,), ROWS, dtype).of_model(root, recurrent)
    for b in range(ROWS):
        node = plain_search.Node(root.latent[b], root.logits[b], root.value[b], root.to_play[b], root.legal[b])
        visits = plain_search.search(rule, node, recurrent)
        np.testing.assert_array_equal(found.visits[b], visits)
        np.testing.assert_allclose(found.value[b], node.mean, rtol=0, atol=atol)
        np.testing.assert_allclose(found.policy[b], visits / 40)
        for action in range(ACTIONS):
            q = node.mean
            if action in node.children:
                reward, child = node.children[action]
                q = reward + 0.9 * child.mean
            np.testing.assert_allclose(found.q[b, action], q, rtol=0, atol=atol)


@pytest.mark.parametrize("kind", KINDS)
def test_players_have_no_order(kind: str) -> None:
    """Whoever is called first: the same game with the players' numbers turned has the same visits."""
    root, recurrent = game(2)
    turned = np.array([2, 0, 1])  # the new number of each player

    def others(step: Step) -> Step:
        back = np.argsort(turned)
        return step._replace(reward=step.reward[:, back], value=step.value[:, back], to_play=turned[step.to_play])

    search = Search(Rule(40, kind, "tree", discount=0.9), ACTIONS, PLAYERS, (UNITS,), ROWS)
    found = search.of_model(root, recurrent)
    same = root._replace(value=root.value[:, np.argsort(turned)], to_play=turned[root.to_play])
    again = search.of_model(same, lambda latent, action: others(recurrent(latent, action)))
    np.testing.assert_array_equal(found.visits, again.visits)
    np.testing.assert_array_equal(found.action, again.action)
    np.testing.assert_array_equal(found.value, again.value[:, turned])
