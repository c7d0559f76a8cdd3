"""mctx 0.0.5 on the same problems, without the noise of 1e-7 that it breaks ties with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import mctx
import numpy as np
from mctx._src import action_selection, qtransforms

from tests.algorithms.muzero.problems import Network, Problem


class Expected(NamedTuple):
    """What mctx finds: visits int `[B, A]`, value `[B]` of who moves at the root, policy `[B, A]`, action `[B]` (of
    Gumbel MuZero), gumbel `[B, A]` or None.
    """

    visits: np.ndarray
    value: np.ndarray
    policy: np.ndarray
    action: np.ndarray
    gumbel: np.ndarray | None


def searched(kind: str, given: Problem, simulations: int, discount: float) -> Expected:
    """kind: muzero or gumbel."""
    with jax.experimental.enable_x64(given.value.dtype == np.float64), _without_noise():
        out = _policy(kind, simulations, discount)(given.network, *given[1:], jax.random.PRNGKey(len(given.value)))
        summary = out.search_tree.summary()
        gumbel = out.search_tree.extra_data.root_gumbel if kind == "gumbel" else None
        arrays = (summary.visit_counts, summary.value, out.action_weights, out.action)
        return Expected(*map(np.asarray, arrays), gumbel if gumbel is None else np.asarray(gumbel))


@cache
def _policy(kind: str, simulations: int, discount: float) -> Any:
    def run(network: Network, latent: Any, logits: Any, value: Any, legal: Any, key: Any) -> Any:
        def recurrent(params: Network, _key: Any, action: Any, latent: Any) -> Any:
            behind, heads = params.step(jnp, latent, action)
            actions = heads.shape[1] - 2
            output = mctx.RecurrentFnOutput(
                reward=heads[:, actions + 1],
                discount=jnp.full_like(heads[:, 0], discount),
                prior_logits=heads[:, :actions],
                value=heads[:, actions],
            )
            return output, behind

        root = mctx.RootFnOutput(prior_logits=logits, value=value, embedding=latent)
        search = mctx.gumbel_muzero_policy if kind == "gumbel" else partial(mctx.muzero_policy, dirichlet_fraction=0.0)
        return search(network, key, root, recurrent, simulations, invalid_actions=(~legal).astype(value.dtype))

    return jax.jit(run)


@contextmanager
def _without_noise() -> Iterator[None]:
    with mock.patch.object(action_selection, "muzero_action_selection", _selection):
        yield


def _selection(
    rng_key: Any,
    tree: Any,
    node_index: Any,
    depth: Any,
    *,
    pb_c_init: float = 1.25,
    pb_c_base: float = 19652.0,
    qtransform: Any = qtransforms.qtransform_by_parent_and_siblings,
) -> Any:
    """mctx's `muzero_action_selection`, line by line, without `node_noise_score`."""
    del rng_key
    visit_counts = tree.children_visits[node_index]
    node_visit = tree.node_visits[node_index]
    pb_c = pb_c_init + jnp.log((node_visit + pb_c_base + 1.0) / pb_c_base)
    prior_probs = jax.nn.softmax(tree.children_prior_logits[node_index])
    policy_score = jnp.sqrt(node_visit) * pb_c * prior_probs / (visit_counts + 1)
    to_argmax = qtransform(tree, node_index) + policy_score
    return action_selection.masked_argmax(to_argmax, tree.root_invalid_actions * (depth == 0))
