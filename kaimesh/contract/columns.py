"""The mesh's own columns: what it adds to samples and requests beside the agent's, in one table, and where it puts them
on and off.

MODEL_VERSION and RUN_ID: the model that a sample was made with, and the life of the environment that it belongs to.
PRIORITY, of prioritised tables: a sample's first priority, above 0 (1 without it); also an array `[train_batch_size]`
among the metrics of `learn`: the priorities of its samples from now on.
PROBABILITY: of drawing this sample, times the samples in its table; 1 where all are equally likely.
KEY and SERVER: which stored sample it is. REPLAYED, with `replay_share`: whether it was learned from before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from kaimesh.contract.arrays import ArraySpec, Batch, Columns

MODEL_VERSION, RUN_ID = "_model_version", "_run_id"
PRIORITY, PROBABILITY = "_priority", "_probability"
KEY, SERVER, REPLAYED = "_key", "_server", "_replayed"


class MeshColumn(NamedTuple):
    """A column of the mesh's own. specs: what one row of it may be, the usual one first.

    drawn: True: it is put on where samples are drawn, for the learner, and no sender may send it. for_learn: `learn`
    gets it.
    """

    specs: tuple[ArraySpec, ...]
    drawn: bool = False
    for_learn: bool = False


_INT64, _FLOAT64 = ArraySpec("<i8", ()), ArraySpec("<f8", ())

MESH_COLUMNS: Mapping[str, MeshColumn] = {
    MODEL_VERSION: MeshColumn((_INT64,)),
    RUN_ID: MeshColumn((_INT64,)),
    PRIORITY: MeshColumn((ArraySpec("<f4", ()), _FLOAT64)),
    PROBABILITY: MeshColumn((_FLOAT64,), drawn=True, for_learn=True),
    KEY: MeshColumn((ArraySpec("<u8", ()),), drawn=True),
    SERVER: MeshColumn((_INT64,), drawn=True),
    REPLAYED: MeshColumn((ArraySpec("|b1", ()),), drawn=True),
}
_NOT_FOR_LEARN = frozenset(name for name, column in MESH_COLUMNS.items() if not column.for_learn)


def with_run_id(columns: Columns, run_id: np.ndarray) -> Batch:
    """A request for predictions of `columns` `[B, ...]`. run_id: int64 `[B]`."""
    return Batch({**columns, RUN_ID: run_id})


def with_origin(columns: Columns, version: np.ndarray, run_id: np.ndarray) -> Batch:
    """Samples of `columns` `[B, ...]`, marked with the model that made them and the life that they are of, int64 `[B]`
    each.
    """
    return Batch({**columns, MODEL_VERSION: version, RUN_ID: run_id})


def for_learn(samples: Batch) -> Batch:
    """`samples` as `learn` gets them: without the mesh's own columns, but for PROBABILITY."""
    columns = {name: column for name, column in samples.columns.items() if name not in _NOT_FOR_LEARN}
    return Batch(columns, samples.row_type)
