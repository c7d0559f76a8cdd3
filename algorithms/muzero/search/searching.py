"""Search: one call for a batch of roots.

Shape legend: B rows (roots); A actions; P players; `*` the shape of one latent state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from kaimesh.algorithms.muzero.search.figures import Found
from kaimesh.algorithms.muzero.search.mlp import Mlp
from kaimesh.algorithms.muzero.search.rule import Rule


class Root(NamedTuple):
    """What the representation and the prediction say of the observations.

    latent: `[B, *]`. logits: `[B, A]`, noise included. value: `[B, P]`, numbers (decoded). legal: bool `[B, A]`.
    to_play: int `[B]`, the player who moves; zeros with one player. skip: bool `[B]`, rows that need no search (the
    episode has ended), or None; rows without a legal action need none either. Their visits are 0, their value is
    the network's.
    """

    latent: np.ndarray
    logits: np.ndarray
    value: np.ndarray
    legal: np.ndarray
    to_play: np.ndarray
    skip: np.ndarray | None = None


class Step(NamedTuple):
    """What the dynamics and the prediction say of latent states and actions.

    latent: `[B, *]` of the new states. reward: `[B, P]` of that move, for every player. logits: `[B, A]`. value:
    `[B, P]`. to_play: int `[B]`, who moves next.
    """

    latent: np.ndarray
    reward: np.ndarray
    logits: np.ndarray
    value: np.ndarray
    to_play: np.ndarray


Recurrent = Callable[[np.ndarray, np.ndarray], Step]  # (latent [B, *], action int32 [B])


class Search:
    """A search by `rule` over roots; its arrays are allocated once, for `rows` rows.

    More rows are searched in pieces of `rows`, with a call of `beat` between them.
    """

    def __init__(
        self,
        rule: Rule,
        actions: int,
        players: int = 1,
        latent: tuple[int, ...] = (64,),
        rows: int = 64,
        dtype: str = "float32",
        beat: Callable[[], None] | None = None,
    ) -> None:
        """latent: shape of one latent state. dtype: of all numbers, float32 or float64.

        Raises ValueError: a rule that cannot be followed.
        """
        raise NotImplementedError

    def of_mlp(self, root: Root, mlp: Mlp, gumbel: np.ndarray | None = None) -> Found:
        """Searches with a network of dense layers, in one compiled function. gumbel: `[B, A]`, Gumbel MuZero's noise
        at the root; None: none, as in `exploit`.
        """
        raise NotImplementedError

    def of_model(self, root: Root, recurrent: Recurrent, gumbel: np.ndarray | None = None) -> Found:
        """Searches with any network, which is called once for each simulation, with one latent state for each row that
        is searched. `beat` is called now and then, between simulations.
        """
        raise NotImplementedError

    def warm_up(self, mlp: Mlp | None) -> None:
        """Compiles what `of_mlp` (with `mlp`), or `of_model` (without), calls: seconds, or parts of one from the cache."""
        raise NotImplementedError
