"""Reanalyse: stored samples are searched again by a newer model, and fresh copies of them are learned from.

A process of its own draws samples, asks an actor about their positions, and stores copies in a second table of the
buffer (kaimesh/reanalyse). This is what an agent needs for that.

Shape legend: G samples; M positions of all of them; A actions; P players.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from kaimesh.contract.arrays import Batch


class Reanalysing(Protocol):
    """An agent whose samples can be searched again.

    Its table is of kind "replay", with rows_per_item = 1. Of a reanalyse process, `questions` and `copies` are called,
    on an agent of type "aisrv"; of an actor, `reanalyse`.
    """

    def questions(self, samples: Batch) -> Batch:
        """What is asked about `samples` `[G, ...]`, as they are stored: rows `[M, ...]`, sample by sample."""
        ...

    def reanalyse(self, list_obs_data: Batch) -> Any:
        """Answers questions `[M, ...]`, as `exploit` answers observations: without noise, but as thoroughly as
        `predict`.
        """
        ...

    def copies(self, samples: Batch, answers: Batch, version: np.ndarray) -> Batch:
        """Fresh copies of `samples` `[G, ...]`, with the same fields, by the answers `[M, ...]` to their questions.

        version: int64 `[M]`, of the model that gave each answer.
        """
        ...
