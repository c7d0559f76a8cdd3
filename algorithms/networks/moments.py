"""Running mean and variance of observations, kept by the learner; actors get them as weights of the model."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


class RunningMoments:
    """Of all rows seen so far, in float64, merged by batches (Chan, Golub and LeVeque 1979, equation 2.1)."""

    def __init__(self, width: int) -> None:
        self._count, self._mean, self._m2 = 0.0, np.zeros(width), np.zeros(width)

    def add(self, rows: np.ndarray) -> None:
        """Merges `rows` `[N, width]`."""
        rows = rows.astype(np.float64)
        count, mean = len(rows), rows.mean(0)
        delta, total = mean - self._mean, self._count + count
        self._m2 += ((rows - mean) ** 2).sum(0) + delta**2 * self._count * count / total
        self._mean += delta * count / total
        self._count = total

    def weights(self) -> dict[str, np.ndarray]:
        """`obs/mean` and `obs/scale` (one over the standard deviation), float32 `[width]`."""
        scale = 1 / np.sqrt(self._m2 / max(self._count, 1) + 1e-8)
        return {"obs/mean": self._mean.astype(np.float32), "obs/scale": scale.astype(np.float32)}

    def state(self) -> dict[str, np.ndarray]:
        """Everything that `restore` needs, by name."""
        return {"count": np.asarray(self._count), "mean": self._mean.copy(), "m2": self._m2.copy()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Continues from what `state` returned."""
        self._count, self._mean, self._m2 = float(state["count"]), state["mean"].copy(), state["m2"].copy()
