"""What a search found, and what is said of it.

Shape legend: B rows; A actions; P players.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Found(NamedTuple):
    """The root's statistics.

    visits: int32 `[B, A]`, 0 where an action is illegal. value: float32 `[B, P]`, the mean of all returns and of the
    network's value. q: float32 `[B, A, P]`; of an unvisited action, the root's value. policy: float32 `[B, A]`, what
    is learned: the share of the visits, or Gumbel MuZero's improved policy; zeros in a row that was not searched.
    action: int32 `[B]`: the most visited one, among equals the one with the larger q of who moves; Gumbel's choice.
    """

    visits: np.ndarray
    value: np.ndarray
    q: np.ndarray
    policy: np.ndarray
    action: np.ndarray


def entropy(policy: np.ndarray) -> np.ndarray:
    """float32 `[B]`, nats, of `policy` `[B, A]`; 0 of a row of zeros."""
    raise NotImplementedError


def visits_of(found: Found, action: np.ndarray) -> np.ndarray:
    """int32 `[B]`: visits of the chosen `action` int `[B]`."""
    raise NotImplementedError
