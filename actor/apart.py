"""Telling requests of one failed call apart: the healthy ones get their answers, and whose rows failed gets the error.

Shape legend: B rows of the failed call.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kaimesh.actor.batcher import Batcher, Lane
from kaimesh.contract.arrays import Batch
from kaimesh.contract.errors import MeshError
from kaimesh.contract.finite import rows_not_finite
from kaimesh.contract.predicting import check_finite

Outcome = Batch | MeshError


def tell_apart(batcher: Batcher, lane: Lane, rows: Batch, sizes: Sequence[int]) -> list[Outcome]:
    """For each request in `rows` `[B, ...]`, of `sizes[i]` rows one after the other: its act columns, a copy, or why it
    has none.

    Requests with rows that are not finite are not asked again. The others are, together; where they fail, each half by
    itself: an error that one request causes costs 2 log2(requests) calls, and one that every call makes is everybody's.
    """
    ends = np.cumsum(sizes)
    pieces = [rows[end - size : end] for end, size in zip(ends, sizes, strict=True)]
    outcomes: list[Outcome | None] = [None] * len(pieces)
    bad = rows_not_finite(rows.columns)
    for i, piece in enumerate(pieces):
        if bad is not None and bad[ends[i] - sizes[i] : ends[i]].any():
            outcomes[i] = _error_of(piece)
    groups = [[i for i, outcome in enumerate(outcomes) if outcome is None]]
    while groups:
        group = groups.pop()
        for i in group:
            lane.add_batch(pieces[i])
        if not group:
            continue
        try:
            answer = batcher.run(lane)
        except MeshError as error:
            if len(group) == 1:
                outcomes[group[0]] = error
            else:
                groups += [group[len(group) // 2 :], group[: len(group) // 2]]
            continue
        start = 0
        for i in group:
            outcomes[i] = answer.take(np.arange(start, start + sizes[i]))
            start += sizes[i]
    return [outcome for outcome in outcomes if outcome is not None]


def _error_of(rows: Batch) -> MeshError:
    try:
        check_finite(rows)
    except MeshError as error:
        return error
    raise AssertionError("these rows are finite")
