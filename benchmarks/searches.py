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
from kaimesh.algorithms.muzero.search.backup import backup
from kaimesh.algorithms.muzero.search.borrowed import part, whole
from kaimesh.algorithms.muzero.search.expand import Said, expand, new_said
from kaimesh.algorithms.muzero.search.mlp import Mlp, Room, new_room, packed
from kaimesh.algorithms.muzero.search.mlp import step as pass_on
from kaimesh.algorithms.muzero.search.rule import Plan, Rule, plan_of
from kaimesh.algorithms.muzero.search.searching import ROWS_AT_ONCE, Root, Search, Step
from kaimesh.algorithms.muzero.search.select import descend
from kaimesh.algorithms.muzero.search.tree import VISITS, Asked, Tree, new_tree, plant


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
    tree = new_tree(min(len(root.latent), ROWS_AT_ONCE), simulations + 1, ACTIONS, PLAYERS, real)
    asked = Asked(
        root.logits.copy(), root.value.copy(), root.legal, root.to_play.astype(np.int32), np.zeros_like(root.logits)
    )
    plan, scores = plan_of(rule, ACTIONS, real), np.zeros(tree.edges.shape[3], real)
    visits = np.zeros(root.logits.shape, np.int32)

    def grow() -> np.ndarray:
        _grow(tree, plan, asked, answers, visits, scores)
        return visits

    return grow, _grow(tree, plan, asked, answers, visits, scores) / simulations / len(visits)


def network(simulations: int, weights: Weights, root: Root) -> Callable[[], np.ndarray]:
    """The passes of the network of a search of all roots, without a tree."""
    mlp = packed(weights, 1, PLAYERS, 0, False)
    rows, count = min(len(root.latent), ROWS_AT_ONCE), len(root.latent)
    room, said = new_room(rows, mlp), new_said(rows, ACTIONS, PLAYERS, np.dtype(np.float32))
    room.layers[:rows, : mlp.units] = root.latent[:rows]
    move, latents = np.arange(rows, dtype=np.int32) % ACTIONS, np.zeros((simulations + 1, rows, mlp.units), np.float32)

    def run() -> np.ndarray:
        _pass(mlp, move, room, latents, said, count)
        return move

    return run


@njit(error_model="numpy")
def _grow(tree: Tree, plan: Plan, asked: Asked, answers: Said, visits: np.ndarray, scores: np.ndarray) -> float:
    """All simulations, as `search_mlp` makes them; returns the sum of their depths."""
    tree, plan, asked, answers, scores = whole(tree), whole(plan), whole(asked), whole(answers), whole(scores)
    depth = 0
    for first in range(0, visits.shape[0], tree.depth.shape[0]):
        last = min(first + tree.depth.shape[0], visits.shape[0])
        trees = part(tree, 0, last - first)
        plant(trees, plan, part(asked, first, last))
        for node in range(1, tree.visits.shape[1]):
            descend(trees, plan, scores)
            for b in range(last - first):
                depth += trees.depth[b]
            reward, logits = answers.reward[node - 1, first:last], answers.logits[node - 1, first:last]
            value, to_play = answers.value[node - 1, first:last], answers.to_play[node - 1, first:last]
            expand(trees, plan, node, Said(reward, logits, value, to_play))
            backup(trees, plan, node, scores)
        for b in range(first, last):
            for a in range(visits.shape[1]):
                visits[b, a] = int(tree.edges[b - first, 0, VISITS, a])
    return depth


@njit(error_model="numpy")
def _pass(mlp: Mlp, move: np.ndarray, room: Room, latents: np.ndarray, said: Said, count: int) -> None:
    mlp, move, room, latents, said = whole(mlp), whole(move), whole(room), whole(latents), whole(said)
    for first in range(0, count, latents.shape[1]):
        for node in range(1, latents.shape[0]):
            pass_on(mlp, move, min(latents.shape[1], count - first), room, latents, node, said)


def _rule(kind: str, normalise: str, simulations: int) -> Rule:
    return Rule(simulations, kind, normalise, discount=1.0)
