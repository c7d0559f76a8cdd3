"""After a failed call of the agent for many requests: finds the requests that caused it, and answers the others.

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


def retry_in_halves(batcher: Batcher, lane: Lane, rows: Batch, sizes: Sequence[int]) -> list[Outcome]:
    """The act columns (a copy) or the error of each request.

    rows: `[B, ...]`, the rows of all requests one after the other; request i has `sizes[i]` of them. Requests with rows
    that are not finite get an error. All others are predicted again in one call. If that fails, each half is predicted
    by itself, and so on. So an error that one request causes costs 2 log2(requests) calls; an error that occurs in
    every call reaches every request.
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
