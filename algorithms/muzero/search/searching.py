"""Search: one call for a batch of roots.

Shape legend: B rows (roots); N nodes of a tree; A actions; P players; `*` the shape of one latent state.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from kaimesh.algorithms.muzero.search.expand import Said, new_said
from kaimesh.algorithms.muzero.search.figures import Found, nothing_found
from kaimesh.algorithms.muzero.search.fused import search_mlp
from kaimesh.algorithms.muzero.search.grow import advance
from kaimesh.algorithms.muzero.search.mlp import Mlp, Room, new_room
from kaimesh.algorithms.muzero.search.rule import Rule, plan_of
from kaimesh.algorithms.muzero.search.tree import Asked, Tree, new_asked, new_tree

ROWS_AT_ONCE = 16  # of `of_mlp`: their trees stay in the processor's cache
BEAT_EVERY = 8  # simulations of a network that is called for each one of them


class Root(NamedTuple):
    """What the representation and the prediction say of the observations.

    latent: `[B, *]`. logits: `[B, A]`, noise included. value: `[B, P]`, numbers (decoded). legal: bool `[B, A]`.
    to_play: int `[B]`, the player who moves; zeros with one player. skip: bool `[B]`, rows that need no search (the
    episode has ended), or None. Rows without a legal action are not searched either: their visits are 0, their value is
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

    latent: `[B, *]`, the new states. reward: `[B, P]` of that move, for every player. logits: `[B, A]`. value:
    `[B, P]`. to_play: int `[B]`, who moves next.
    """

    latent: np.ndarray
    reward: np.ndarray
    logits: np.ndarray
    value: np.ndarray
    to_play: np.ndarray


Recurrent = Callable[[np.ndarray, np.ndarray], Step]  # (latent [B, *], action int32 [B])


class _Arrays(NamedTuple):
    """What a search of B rows works on."""

    tree: Tree
    asked: Asked
    roots: np.ndarray  # [B, U], their latent states
    latents: np.ndarray  # [N, B, *]
    said: Said
    found: Found
    numbers: np.ndarray  # [B]


class Search:
    """A search by `rule`; its arrays are allocated once, for `rows` rows. More are searched in pieces of `rows`, with a
    call of `beat` between them.
    """

    def __init__(
        self,
        rule: Rule,
        actions: int,
        players: int = 1,
        latent: tuple[int, ...] = (64,),
        rows: int = 64,
        dtype: str = "float32",
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        """latent: shape of one latent state. dtype: of all numbers, float32 or float64.

        Raises ValueError: a rule that cannot be followed, see `plan_of`.
        """
        real, nodes = np.dtype(dtype), rule.simulations + 1
        self._plan = plan_of(rule, actions, real)
        self._actions, self._players, self._nodes, self._latent, self._rows = actions, players, nodes, latent, rows
        self._whole = _Arrays(
            new_tree(rows, nodes, actions, players, real),
            new_asked(rows, actions, players, real),
            np.full((rows, int(np.prod(latent))), np.nan, real),
            np.full((nodes, rows, *latent), np.nan, real),
            new_said(rows, actions, players, real),
            nothing_found(np.full((rows, players), np.nan, real), actions),
            np.arange(rows),
        )
        self._scores = np.full(max(self._whole.tree.edges.shape[3], players), np.nan, real)
        self._room: tuple[Mlp, Room] | None = None
        self._beat = beat
        self._of_rows = lru_cache(None)(self._first)

    def of_mlp(self, root: Root, mlp: Mlp, gumbel: np.ndarray | None = None) -> Found:
        """Searches with a network of dense layers, in one compiled function.

        gumbel: `[B, A]`, Gumbel MuZero's noise at the root; None: none, as in `exploit`.
        """

        room = self._room_of(mlp)

        def grow(at: _Arrays) -> None:
            few = self._of_rows(min(len(at.numbers), ROWS_AT_ONCE))
            given = few.tree, self._plan, mlp, room, at.roots, at.asked, few.latents, few.said
            search_mlp(*given, at.found, self._scores)

        return self._in_pieces(root, gumbel, grow)

    def of_model(self, root: Root, recurrent: Recurrent, gumbel: np.ndarray | None = None) -> Found:
        """Searches with any network: `recurrent` is called once for each simulation, with a latent state of each row
        that is searched, and `beat` after every eighth one.

        gumbel: as in `of_mlp`.
        """

        def grow(at: _Arrays) -> None:
            at.latents[0] = at.roots.reshape(at.latents.shape[1:])
            advance(at.tree, self._plan, 0, at.asked, at.said, at.found, self._scores)
            for node in range(1, self._nodes):
                step = recurrent(at.latents[at.tree.leaf, at.numbers], at.tree.move)
                at.latents[node] = step.latent
                for mine, theirs in zip(at.said, (step.reward, step.logits, step.value, step.to_play), strict=True):
                    mine[:] = theirs
                advance(at.tree, self._plan, node, at.asked, at.said, at.found, self._scores)
                if node % BEAT_EVERY == 0:
                    self._beat()

        return self._in_pieces(root, gumbel, grow)

    def warm_up(self, mlp: Mlp | None = None) -> None:
        """Compiles what `of_mlp` (with `mlp`) or `of_model` (without) calls, or reads it from numba's cache."""
        at = self._of_rows(1)
        root = Root(np.zeros_like(at.latents[0]), *(np.zeros_like(array) for array in at.asked[:4]))
        root = root._replace(legal=np.ones_like(root.legal))
        if mlp is not None:
            self.of_mlp(root, mlp)
        else:
            self.of_model(root, lambda latent, _: Step(latent, root.value, root.logits, root.value, root.to_play))

    def _room_of(self, mlp: Mlp) -> Room:
        if self._room is None or self._room[0] is not mlp:
            self._room = mlp, new_room(min(self._rows, ROWS_AT_ONCE), mlp)
        return self._room[1]

    def _in_pieces(self, root: Root, gumbel: np.ndarray | None, grow: Callable[[_Arrays], None]) -> Found:
        found = nothing_found(root.value.astype(self._scores.dtype), self._actions)
        needed = root.legal.any(1)
        if root.skip is not None:
            needed &= ~root.skip
        noise = np.zeros_like(root.logits) if gumbel is None else gumbel
        rows = np.flatnonzero(needed)
        for start in range(0, len(rows), self._rows):
            if start:
                self._beat()
            piece = rows[start : start + self._rows]
            at = self._of_rows(len(piece))
            at.roots[:] = root.latent[piece].reshape(len(piece), -1)
            for mine, theirs in zip(at.asked, (root.logits, root.value, root.legal, root.to_play, noise), strict=True):
                mine[:] = theirs[piece]
            grow(at)
            for whole, part in zip(found, at.found, strict=True):
                whole[piece] = part
        return found

    def _first(self, rows: int) -> _Arrays:
        """The arrays, cut to so many rows; each is contiguous."""
        whole = self._whole
        latents = whole.latents.reshape(-1)[: self._nodes * rows * int(np.prod(self._latent))]
        return _Arrays(
            Tree(*(array[:rows] for array in whole.tree)),
            Asked(*(array[:rows] for array in whole.asked)),
            whole.roots[:rows],
            latents.reshape(self._nodes, rows, *self._latent),
            Said(*(array[:rows] for array in whole.said)),
            Found(*(array[:rows] for array in whole.found)),
            whole.numbers[:rows],
        )
