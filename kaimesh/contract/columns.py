"""The columns that the mesh itself adds to samples and requests, and the functions that add and remove them.

TO_PLAY, with more than one player only: who moves next, int8 0..P-1; `[N]` in requests, `[N, T+1]` in unrolls.

MODEL_VERSION: the version of the model that predicted the actions of a sample.
RUN_ID: the life of the environment that a sample belongs to.
PRIORITY, in prioritised tables: a sample's first priority, above 0; samples without the column have 1. `learn` may
return PRIORITY among its metrics: an array `[train_batch_size]`, the new priorities of its samples.
PROBABILITY: the probability that this sample is drawn, times the number of samples in its table; 1 if all are equally
likely.
POSITIONS: of how many positions (steps) a sample consists, at least 1, where samples hold several, such as whole games;
samples without the column have one. `learn` may return POSITIONS among its metrics: from how many it learned.
KEY and SERVER: which stored sample it is, and on which buffer.
REPLAYED, with `replay_share`: whether the sample was learned from before.

Two columns only go to agents that ask for them, and into no sample. ABORTED, in the unrolls of an agent with
`open_steps`: bool `[N, T]`, the environment failed in this step. ENDED, in the requests of an agent with `sees_ends`:
bool `[N]`, the episode has terminated, and the action will not be made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from kaimesh.contract.arrays import ArraySpec, Batch, Columns
from kaimesh.contract.stacking import FRAMES

MODEL_VERSION, RUN_ID = "_model_version", "_run_id"
PRIORITY, PROBABILITY = "_priority", "_probability"
KEY, SERVER, REPLAYED = "_key", "_server", "_replayed"
TO_PLAY = "to_play"
POSITIONS = "_positions"
ABORTED, ENDED = "_aborted", "_ended"


class MeshColumn(NamedTuple):
    """The rules for one of these columns.

    specs: the specs that one row of it may have, the usual one first. drawn: True: it is added when samples are drawn
    for the learner, and no aisrv may send it. for_learn: True: `learn` gets it.
    """

    specs: tuple[ArraySpec, ...]
    drawn: bool = False
    for_learn: bool = False


_INT64, _FLOAT64 = ArraySpec("<i8", ()), ArraySpec("<f8", ())

MESH_COLUMNS: Mapping[str, MeshColumn] = {
    MODEL_VERSION: MeshColumn((_INT64,)),
    RUN_ID: MeshColumn((_INT64,)),
    PRIORITY: MeshColumn((ArraySpec("<f4", ()), _FLOAT64)),
    POSITIONS: MeshColumn((ArraySpec("<i4", ()), _INT64), for_learn=True),
    PROBABILITY: MeshColumn((_FLOAT64,), drawn=True, for_learn=True),
    KEY: MeshColumn((ArraySpec("<u8", ()),), drawn=True),
    SERVER: MeshColumn((_INT64,), drawn=True),
    REPLAYED: MeshColumn((ArraySpec("|b1", ()),), drawn=True),
}
# What a sample of an unroll consists of besides the agent's own columns; no agent may add one of these names.
SAMPLE_COLUMNS = frozenset(
    {"obs", FRAMES, "legal_act", TO_PLAY, "reward", "terminated", "truncated", "mask", ABORTED, ENDED, *MESH_COLUMNS}
)
_NOT_FOR_LEARN = frozenset(name for name, column in MESH_COLUMNS.items() if not column.for_learn)


def with_run_id(columns: Columns, run_id: np.ndarray) -> Batch:
    """A request for predictions: `columns` `[B, ...]` and RUN_ID. run_id: int64 `[B]`."""
    return Batch({**columns, RUN_ID: run_id})


def with_origin(columns: Columns, version: np.ndarray, run_id: np.ndarray) -> Batch:
    """Samples: `columns` `[B, ...]`, MODEL_VERSION and RUN_ID. version, run_id: int64 `[B]`."""
    return Batch({**columns, MODEL_VERSION: version, RUN_ID: run_id})


def for_learn(samples: Batch) -> Batch:
    """`samples` as `learn` gets them: without the mesh's own columns, except for PROBABILITY and POSITIONS."""
    columns = {name: column for name, column in samples.columns.items() if name not in _NOT_FOR_LEARN}
    return Batch(columns, samples.row_type)
