"""The two sides of benchmarks/search: our search and mctx's, over the same roots with the same network.

Shape legend: B rows; N nodes of a tree; A actions; P players.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import mctx
import numpy as np
from numba import njit

from benchmarks.taught import ACTIONS, PLAYERS, Game, Weights, dense, scaled, step
from kaimesh.algorithms.muzero.search import noise
from kaimesh.algorithms.muzero.search.expand import Said
from kaimesh.algorithms.muzero.search.grow import advance, begin
from kaimesh.algorithms.muzero.search.mlp import packed
from kaimesh.algorithms.muzero.search.rule import Plan, Rule, plan_of
from kaimesh.algorithms.muzero.search.searching import Root, Search, Step
from kaimesh.algorithms.muzero.search.tree import VISITS, Asked, Tree, new_tree


def roots(weights: Weights, rules: Game, rows: int) -> Root:
    """Random positions, as the network sees them."""
    s = np.random.default_rng(1).integers(0, len(rules.obs) - 1, rows)
    latent = scaled(np, dense(np, weights, "representation", rules.obs[s]))
    heads = dense(np, weights, "prediction", latent)
    return Root(latent, heads[:, :ACTIONS], heads[:, ACTIONS:], rules.legal[s], rules.mover[s])


def ours(kind: str, normalise: str, simulations: int, weights: Weights, root: Root) -> Callable[[], np.ndarray]:
    """A search of all roots, which returns their visits `[B, A]`."""
    mlp = packed(weights, 1, PLAYERS, 0, False)
    search = Search(_rule(kind, normalise, simulations), ACTIONS, PLAYERS, root.latent.shape[1:], len(root.latent))
    gumbel = noise.gumbel(np.random.default_rng(2), root.logits.shape)
    return lambda: search.of_mlp(root, mlp, gumbel).visits


def theirs(kind: str, simulations: int, weights: Weights, root: Root) -> Callable[[], np.ndarray]:
    """The same by mctx, compiled: a value for who moves, whose sign changes with who moves."""
    on_device = {name: jnp.asarray(value) for name, value in weights.items()}
    rows = jnp.arange(len(root.latent))

    def recurrent(weights: Weights, _key: Any, action: Any, state: Any) -> Any:
        latent, moved = state
        latent, reward, mover = step(jnp, weights, latent, action)
        heads, follows = dense(jnp, weights, "prediction", latent), jnp.argmax(mover, 1)
        output = mctx.RecurrentFnOutput(
            reward=reward[rows, moved],
            discount=jnp.where(follows == moved, 1.0, -1.0),
            prior_logits=heads[:, :ACTIONS],
            value=heads[rows, ACTIONS + follows],
        )
        return output, (latent, follows)

    def run(weights: Weights, key: Any, latent: Any, logits: Any, value: Any, legal: Any, to_play: Any) -> Any:
        given = mctx.RootFnOutput(prior_logits=logits, value=value[rows, to_play], embedding=(latent, to_play))
        more = {"dirichlet_fraction": 0.0} if kind == "puct" else {}
        search = mctx.muzero_policy if kind == "puct" else mctx.gumbel_muzero_policy
        out = search(weights, key, given, recurrent, simulations, invalid_actions=1.0 - legal, **more)
        return out.search_tree.summary().visit_counts, out.action_weights, out.action

    compiled, key = jax.jit(run), jax.random.PRNGKey(0)
    arrays = [jnp.asarray(array) for array in root[:3]]
    more = [jnp.asarray(root.legal, jnp.float32), jnp.asarray(root.to_play, jnp.int32)]
    return lambda: np.asarray(jax.block_until_ready(compiled(on_device, key, *arrays, *more))[0])


def trees(kind: str, simulations: int, weights: Weights, root: Root) -> tuple[Callable[[], np.ndarray], float]:
    """The trees of `ours` once more with what the network said, and the mean depth of their simulations."""
    said: list[Step] = []

    def recurrent(latent: np.ndarray, action: np.ndarray) -> Step:
        latent, reward, mover = step(np, weights, latent, action)
        heads = dense(np, weights, "prediction", latent)
        said.append(Step(latent, reward, heads[:, :ACTIONS], heads[:, ACTIONS:], mover.argmax(1)))
        return said[-1]

    rule = _rule(kind, "siblings", simulations)
    shape = root.latent.shape[1:]
    Search(rule, ACTIONS, PLAYERS, shape, len(root.latent)).of_model(root, recurrent)
    reward, logits, value = (np.stack([one[i] for one in said]) for i in (1, 2, 3))  # [N - 1, B, ...]
    answers = Said(reward, logits, value, np.stack([one.to_play for one in said]).astype(np.int32))
    real = np.dtype(np.float32)
    tree = new_tree(len(root.latent), simulations + 1, ACTIONS, PLAYERS, real)
    tree.gumbel[:] = 0
    asked = Asked(root.logits.copy(), root.value.copy(), root.legal, root.to_play.astype(np.int32))
    plan, scores = plan_of(rule, ACTIONS, real), np.zeros(ACTIONS, real)

    def grow() -> np.ndarray:
        _grow(tree, plan, asked, answers, scores)
        return tree.edges[:, 0, VISITS].astype(np.int32)

    return grow, _grow(tree, plan, asked, answers, scores) / simulations


@njit(error_model="numpy")
def _grow(tree: Tree, plan: Plan, asked: Asked, answers: Said, scores: np.ndarray) -> float:
    """All simulations; returns the sum over them of the mean depth."""
    begin(tree, plan, asked, scores)
    depth = 0.0
    for node in range(1, tree.visits.shape[1]):
        depth += tree.depth.mean()
        i = node - 1
        said = Said(answers.reward[i], answers.logits[i], answers.value[i], answers.to_play[i])
        advance(tree, plan, node, said, scores)
    return depth


def _rule(kind: str, normalise: str, simulations: int) -> Rule:
    return Rule(simulations, kind, normalise, discount=1.0)
