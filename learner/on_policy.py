"""On-policy: only rows that the current model made are learned from."""

from __future__ import annotations

import numpy as np

from kaimesh.contract.arrays import Batch
from kaimesh.contract.columns import MODEL_VERSION


class CurrentRows:
    """Collects rows of the current model version until there are `batch_size` of them; counts what it drops."""

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self._kept: list[Batch] = []
        self.dropped = 0

    def __len__(self) -> int:
        return sum(map(len, self._kept))

    def add(self, batch: Batch, version: int) -> int:
        """Keeps the rows of `version`; returns how many were dropped."""
        current = np.flatnonzero(batch.columns[MODEL_VERSION] == version)
        if len(current):
            self._kept.append(batch if len(current) == len(batch) else batch.take(current))
        dropped = len(batch) - len(current)
        self.dropped += dropped
        return dropped

    def take(self) -> Batch | None:
        """A whole batch, or None while there are too few; rows beyond it would be stale after the learn and are
        dropped.
        """
        if len(self) < self._batch_size:
            return None
        rows = self._kept[0] if len(self._kept) == 1 else Batch.concatenate(self._kept)
        self.dropped += len(rows) - self._batch_size
        self._kept = []
        return rows if len(rows) == self._batch_size else rows[: self._batch_size]
