"""Stores each image of stacked observations once: a sample holds single frames, and `learn` gets the stacks rebuilt.

A frame here is one image of an observation. An environment whose observations are its K most recent frames (the newest
last, zeros before the first frame of an episode) sets `frame_stack` to K in its metadata. Its samples then travel and
are stored with the column FRAMES in place of `obs`: the K - 1 older frames of the first observation, then the newest
frame of each observation. `predict` and `learn` get whole stacks, so an agent does not notice.

Shape legend: B rows; T steps of an unroll; K frames in a stack; `...` one frame.
"""

from __future__ import annotations

import numpy as np

from kaimesh.contract.arrays import Batch

FRAMES = "_frames"  # column [B, T + K, ...]


def write(frames: np.ndarray, step: int, stacks: np.ndarray) -> None:
    """Stores the observations `[B, K, ...]` of `step` (0..T) in `frames` `[B, T + K, ...]`; steps come in order."""
    count = stacks.shape[1]
    if step:
        frames[:, step + count - 1] = stacks[:, -1]
    else:
        frames[:, :count] = stacks


def restored(batch: Batch) -> Batch:
    """`batch` with its stacks `obs` `[B, T + 1, K, ...]` in place of FRAMES; unchanged if it has no such column.

    Its column `mask` bool `[B, T]` is False where a step was a reset: the observation after it begins an episode.
    """
    if FRAMES not in batch.columns:
        return batch
    columns = dict(batch.columns)
    obs = _stacks(columns.pop(FRAMES), columns["mask"])
    return Batch({"obs": obs, **columns}, batch.row_type)


def _stacks(frames: np.ndarray, mask: np.ndarray) -> np.ndarray:
    rows, steps = mask.shape
    count = frames.shape[1] - steps  # K
    stacks = np.empty((rows, steps + 1, count, *frames.shape[2:]), frames.dtype)
    for place in range(count):
        stacks[:, :, place] = frames[:, place : place + steps + 1]
    for row, reset in np.argwhere(~mask):
        for age, stack in enumerate(stacks[row, reset + 1 : reset + count]):
            stack[: count - 1 - age] = 0
    return stacks
