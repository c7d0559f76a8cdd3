"""On-policy: collects the samples of the current model, the only ones that are learned from."""

from __future__ import annotations

import numpy as np

from kaimesh.contract.arrays import Batch
from kaimesh.contract.columns import MODEL_VERSION


class CurrentRows:
    """Collects samples of the current model until there are `batch_size` of them. dropped: counts the others."""

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self._kept: list[Batch] = []
        self.dropped = 0

    def __len__(self) -> int:
        return sum(map(len, self._kept))

    def add(self, batch: Batch, version: int) -> int:
        """Keeps the samples that model `version` made and drops the others; returns how many it dropped."""
        current = np.flatnonzero(batch.columns[MODEL_VERSION] == version)
        if len(current):
            self._kept.append(batch if len(current) == len(batch) else batch.take(current))
        dropped = len(batch) - len(current)
        self.dropped += dropped
        return dropped

    def take(self) -> Batch | None:
        """A whole batch, or None: there are too few samples. More than a batch are dropped, because they are stale
        after the learn.
        """
        if len(self) < self._batch_size:
            return None
        rows = self._kept[0] if len(self._kept) == 1 else Batch.concatenate(self._kept)
        self.dropped += len(rows) - self._batch_size
        self._kept = []
        return rows if len(rows) == self._batch_size else rows[: self._batch_size]
