"""Continuous actions: from an agent's unit to an environment's bounds, in one formula for all who need it.

In each dimension, `u` is what an agent with `unit_actions` returned (BaseAgent), and the action is

| bounds | action | `u` is clipped to |
|---|---|---|
| `[low, high]` | `(low + high) / 2 + u (high - low) / 2` | `[-1, 1]` |
| `[low, none]` | `low + 1 + u` | `[-1, none]` |
| `[none, high]` | `high - 1 + u` | `[none, 1]` |
| none | `u` | |

So -1 stands for a lower bound and 1 for an upper one, wherever there is one; a dimension without two bounds has no
width to scale by, and keeps the environment's unit. A bound that is infinite, or the largest number of float32 or
float64, by which many environments say the same, is none.

Shape legend: N environments; A action dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_NONE = (np.inf, float(np.finfo(np.float32).max), float(np.finfo(np.float64).max))


class Scaling(NamedTuple):
    """The formula for one action space; every array is float64 `[A]`.

    low, high: the space's bounds. lowest, highest: what `u` is clipped to. centre, scale: the action is
    `centre + scale u`. exact: whether that gives all bounds to the bit, so that no action between needs to be clipped.
    """

    low: np.ndarray
    high: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray
    centre: np.ndarray
    scale: np.ndarray
    exact: bool

    @classmethod
    def of(cls, low: Sequence[float] | np.ndarray, high: Sequence[float] | np.ndarray) -> Scaling:
        """For the bounds `low` and `high`, `[A]`, with low <= high."""
        lows, highs = (np.asarray(bound, np.float64).reshape(-1) for bound in (low, high))
        below, above = (~np.isin(np.abs(bound), _NONE) for bound in (lows, highs))  # whether there is a bound
        both = below & above
        low_or_0, high_or_0 = np.where(below, lows, 0.0), np.where(above, highs, 0.0)
        # Halves, because the difference of two large bounds is infinite.
        centre = np.select(
            [both, below, above], [high_or_0 / 2 + low_or_0 / 2, low_or_0 + 1, high_or_0 - 1], default=0.0
        )
        scale = np.where(both, high_or_0 / 2 - low_or_0 / 2, 1.0)
        lowest, highest = np.where(below, -1.0, -np.inf), np.where(above, 1.0, np.inf)
        exact = (centre + scale * lowest == lows).all() and (centre + scale * highest == highs).all()
        return cls(lows, highs, lowest, highest, centre, scale, bool(exact))

    @property
    def is_identity(self) -> bool:
        """Whether every action is `u` itself: between -1 and 1, or without bounds."""
        return bool((self.centre == 0).all() and (self.scale == 1).all())

    def actions(self, units: np.ndarray) -> np.ndarray:
        """Actions float64 `[N, A]` within the bounds, of `units` `[N, A]`, which hold no NaN; the bounds are exact."""
        units = np.clip(units, self.lowest, self.highest)
        found: np.ndarray = self.centre + self.scale * units
        if self.exact:
            return found
        np.copyto(found, self.low, where=units <= self.lowest)
        np.copyto(found, self.high, where=units >= self.highest)
        return np.clip(found, self.low, self.high, out=found)
