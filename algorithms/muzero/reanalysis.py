"""Stored games are searched again by a newer model (arXiv:1911.08265, appendix H; arXiv:2104.06294).

A fresh copy of a game has the same observations, actions and rewards; the policies and the values of its positions are
those of the new searches, which have no noise at their roots. Only positions that are there are searched: neither the
padding behind a game nor the state after its end.

Shape legend: G games; L positions of the longest one; M positions that are there, game by game; P players; A actions.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kaimesh.algorithms.muzero.config import Config
from kaimesh.algorithms.muzero.games import first_priorities
from kaimesh.contract.arrays import Batch, Columns
from kaimesh.contract.columns import MODEL_VERSION, PRIORITY, TO_PLAY
from kaimesh.contract.stacking import restored

_ASKED = ("obs", "legal_act", TO_PLAY)


def questions(games: Mapping[str, np.ndarray]) -> Columns:
    """`obs` `[M, ...]`, and `legal_act` `[M, A]` and `to_play` `[M]` where games `[G, L, ...]` have them.

    games: as they are stored, or with their stacks of frames.
    """
    there, whole = _there(games), restored(Batch(dict(games))).columns
    return {name: whole[name][there] for name in _ASKED if name in whole}


def copies(
    config: Config, games: Mapping[str, np.ndarray], policy: np.ndarray, root_value: np.ndarray, version: np.ndarray
) -> Columns:
    """Fresh copies of `games` `[G, L, ...]`, of which each has at least one position.

    policy float32 `[M, A]`, root_value float32 `[M, P]`: of the new searches. version: int64 `[M]`, of the models that
    searched; a copy has the oldest one of its positions.
    """
    there = _there(games)
    fresh = dict(games)
    for name, found in (("policy", policy), ("root_value", root_value)):
        fresh[name] = np.zeros_like(games[name])
        fresh[name][there] = found
    if MODEL_VERSION in games:
        starts = np.cumsum(games["length"]) - games["length"]
        fresh[MODEL_VERSION] = np.minimum.reduceat(version, starts)
    if PRIORITY in games:
        fresh[PRIORITY] = first_priorities(config, fresh)
    return fresh


def _there(games: Mapping[str, np.ndarray]) -> np.ndarray:
    """Which positions are there: bool `[G, L]`."""
    there: np.ndarray = np.arange(games["action"].shape[1]) < games["length"][:, None]
    return there
