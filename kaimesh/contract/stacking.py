"""Frame stacks, stored once: samples hold single frames, and have their stacks back when `learn` gets them.

An environment whose observations are the K most recent frames, the newest last, with zeros before an episode's first frame, names K
as `frame_stack` in its metadata. Then every sample on its way has the column FRAMES in place of `obs`: K - 1 frames of the first
observation's past, then each observation's newest one. Predictions get whole stacks, and so does `learn`: no agent needs to know.

Shape legend: B rows; T steps of a trajectory; K frames in a stack; `...` one frame.
"""

from __future__ import annotations

import numpy as np

from kaimesh.contract.arrays import Batch

FRAMES = "_frames"  # column [B, T + K, ...]


def write(frames: np.ndarray, step: int, stacks: np.ndarray) -> None:
    """Stores observations `[B, K, ...]` of `step`, 0..T, in `frames` `[B, T + K, ...]`; those of the steps before are there."""
    count = stacks.shape[1]
    if step:
        frames[:, step + count - 1] = stacks[:, -1]
    else:
        frames[:, :count] = stacks


def restored(batch: Batch) -> Batch:
    """`batch` with `obs` `[B, T + 1, K, ...]` in place of FRAMES, as the environment gave it; itself, where there is none.

    `mask` bool `[B, T]` is False where a step was a reset, so that the observation after it is the first of an episode.
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
