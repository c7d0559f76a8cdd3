"""How fast something grows: the slope of a line through samples in time, with an interval that allows for waves."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_Z95 = 1.96


class Slope(NamedTuple):
    """`value` per unit of x, and the half width of its 95 % interval."""

    value: float
    plus_minus: float

    def times(self, factor: float) -> Slope:
        """In other units."""
        return Slope(self.value * factor, self.plus_minus * abs(factor))


def slope(x: np.ndarray, y: np.ndarray) -> Slope | None:
    """Of `y` over `x`, float64 `[N]`, by least squares; None for fewer than 10 samples, or where x stands still.

    Neighbouring samples of a process's memory are not independent, so the error is that of Newey and West 1987, over N
    / 10 lags.
    """
    if len(x) < 10 or np.ptp(x) == 0:
        return None
    away = x - x.mean()  # [N]
    spread = float(away @ away)
    value = float(away @ y) / spread
    score = away * (y - y.mean() - value * away)  # [N]
    lags = len(x) // 10
    variance = float(score @ score)
    for lag in range(1, lags + 1):
        variance += 2 * (1 - lag / (lags + 1)) * float(score[lag:] @ score[:-lag])
    return Slope(value, _Z95 * np.sqrt(max(variance, 0.0)) / spread)
